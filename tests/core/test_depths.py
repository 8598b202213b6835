"""Depths that are trained: what a list of them means, and which of them a forward pass runs."""

from __future__ import annotations

import collections

import pytest

from layerdrop_plugin import depths

ONE = {"decoder": 12}
TWO = {"encoder": 6, "decoder": 4}


@pytest.mark.parametrize(
    ("spec", "shares"),
    [
        ("9,6,4", {"12": 0.4, "9": 0.2, "6": 0.2, "4": 0.2}),
        (" 6 , 3 ", {"12": 0.4, "6": 0.3, "3": 0.3}),
        ("3,6", {"12": 0.4, "6": 0.3, "3": 0.3}),
        ("12,6", {"12": 0.5, "6": 0.5}),
        ("12=0.6,6", {"12": 0.6, "6": 0.4}),
        ("12=0,6", {"12": 0.0, "6": 1.0}),
        ("6=0.5", {"12": 0.5, "6": 0.5}),
        ("6=0.1,3=0.2", {"12": 0.7, "6": 0.1, "3": 0.2}),
        ("6=.1,3,1", {"12": 0.4, "6": 0.1, "3": 0.25, "1": 0.25}),
        ("12=0.5,6=0.25,3=0.25", {"12": 0.5, "6": 0.25, "3": 0.25}),
        ("first:6,last:6", {"12": 0.4, "first:6": 0.3, "last:6": 0.3}),
    ],
)
def test_shares_of_one_stack(spec, shares):
    parsed = depths.parse(spec, ONE)
    assert {d.name: d.share for d in parsed} == pytest.approx(shares)
    assert [d.name for d in parsed] == list(shares)


@pytest.mark.parametrize(
    ("spec", "kept"),
    [
        ("3", {"encoder": (0, 2, 4), "decoder": (0, 1, 2)}),
        ("3+1", {"encoder": (0, 2, 4), "decoder": (0,)}),
        ("6+2", {"encoder": (0, 1, 2, 3, 4, 5), "decoder": (0, 2)}),
        ("first:2", {"encoder": (0, 1), "decoder": (0, 1)}),
        ("last:2+first:3", {"encoder": (4, 5), "decoder": (0, 1, 2)}),
        ("every_other:2 + 3", {"encoder": (0, 3), "decoder": (0, 1, 2)}),
    ],
)
def test_layers_of_two_stacks(spec, kept):
    full, other = depths.parse(spec, TWO)
    assert (full.name, full.kept) == ("6+4", {"encoder": tuple(range(6)), "decoder": tuple(range(4))})
    assert other.kept == kept


@pytest.mark.parametrize(
    ("spec", "stacks", "message"),
    [
        ("13", ONE, "`--d` must keep 1 to 12 decoder layers, but has '13' in '13'."),
        ("2", {"encoder": 1}, "`--d` must keep the one encoder layer, but has '2' in '2'."),
        ("5", TWO, "`--d` must keep 1 to 4 decoder layers, but has '5' in '5'."),
        ("6,0", ONE, "`--d` must keep 1 to 12 decoder layers, but has '0' in '6,0'."),
        ("6+3", ONE, "`--d` must name one depth, of the decoder, but has '6+3' in '6+3'."),
        ("3+2+1", TWO, "`--d` must name depths of encoder + decoder, but has '3+2+1' in '3+2+1'."),
        ("6,3,6", ONE, "`--d` must name each depth once, but names 6 twice in '6,3,6'."),
        ("6,first:12,12", ONE, "`--d` must name each depth once, but names 12 twice in '6,first:12,12'."),
        ("6=1.5", ONE, "`--d` must have shares from 0 to 1, but has '1.5' in '6=1.5'."),
        ("6=-0.5", ONE, "`--d` must have shares from 0 to 1, but has '-0.5' in '6=-0.5'."),
        ("6=nan", ONE, "`--d` must have shares from 0 to 1, but has 'nan' in '6=nan'."),
        ("6=", ONE, "`--d` must have shares from 0 to 1, but has '' in '6='."),
        (
            "6=0.7,3=0.3",
            ONE,
            "`--d` must leave a share for full depth, or have '12=0', but the shares are 1 together in '6=0.7,3=0.3'.",
        ),
        (
            "6=1,3=0.4",
            ONE,
            "`--d` must leave a share for full depth, or have '12=0', but the shares are 1.4 together in '6=1,3=0.4'.",
        ),
        ("12=0.5,6=0.4", ONE, "`--d` must have shares that are 1 together, but they are 0.9 in '12=0.5,6=0.4'."),
        ("12=.5,6=.6", ONE, "`--d` must have shares that are 1 together, but they are 1.1 in '12=.5,6=.6'."),
        (
            "6=0.6,3",
            ONE,
            "`--d` must leave a share for each depth that names none, but the shares are 1 together, full depth's "
            "among them, in '6=0.6,3'.",
        ),
        *(
            (spec, ONE, f"`--d` must be {depths.GRAMMAR}, but has {part!r} in {spec!r}.")
            for spec, part in (
                ("", ""),
                ("6,", ""),
                ("a", "a"),
                ("6.0", "6.0"),
                ("drop:0.5", "drop:0.5"),
                ("٣", "٣"),
                ("1e0=1", "1e0"),
            )
        ),
    ],
)
def test_what_is_refused_in_one_line(spec, stacks, message):
    with pytest.raises(ValueError) as error:
        depths.parse(spec, stacks, "--d")
    assert str(error.value) == message


def drawn(trained, seed=1, passes=4000, **options):
    runs = (depths.draw(trained, seed=seed, update=u, forward_pass=0, **options).name for u in range(passes))
    return collections.Counter(runs)


def test_depths_are_drawn_by_their_shares():
    counts = drawn(depths.parse("9=0.1,6=0.2,3=0.3", ONE))
    assert {name: count / 4000 for name, count in counts.items()} == pytest.approx(
        {"12": 0.4, "9": 0.1, "6": 0.2, "3": 0.3}, abs=0.025
    )


def test_the_draw_is_a_pure_function_of_its_key():
    trained = depths.parse("9,6,4,3", ONE)
    keys = [{"seed": s, "update": u, "forward_pass": p} for s in (1, 2) for u in (0, 7, 10**6) for p in (0, 1)]
    names = [depths.draw(trained, **key).name for key in keys]
    assert names == [depths.draw(depths.parse("9,6,4,3", ONE), **key).name for key in reversed(keys)][::-1]
    assert len(set(names)) > 1


def test_a_factor_lowers_the_shares_of_all_but_full_depth():
    trained = depths.parse("6=0.4,3=0.4", ONE)
    assert drawn(trained, factor=0.0, passes=200) == {"12": 200}
    half = drawn(trained, factor=0.5)
    assert {name: count / 4000 for name, count in half.items()} == pytest.approx(
        {"12": 0.6, "6": 0.2, "3": 0.2}, abs=0.025
    )


def test_a_share_of_0_is_never_drawn():
    assert set(drawn(depths.parse("12=0,6,3", ONE))) == {"6", "3"}


def test_depths_are_shown_with_their_shares():
    trained = depths.parse("first:2=0.25,3+1,6+2", TWO)
    assert depths.describe(trained) == "6+4=0.4,6+2=0.175,3+1=0.175,first:2+first:2=0.25"


def test_the_largest_come_first():
    trained = depths.parse("3+1,2+4,4+1,6+3", TWO)
    assert [depth.name for depth in trained] == ["6+4", "6+3", "2+4", "4+1", "3+1"]


def test_full_depth_without_a_share_gets_the_usual_one():
    trained = depths.with_full_depth(depths.parse("12=0,6=0.75,3=0.25", ONE))
    assert {depth.name: depth.share for depth in trained} == pytest.approx({"12": 0.4, "6": 0.45, "3": 0.15})
    some = depths.parse("12=0.1,6=0.9", ONE)
    assert depths.with_full_depth(some) == some
    assert depths.with_full_depth(()) == ()


def test_shares_that_are_1_up_to_rounding_are_made_so():
    trained = depths.parse("12=0,10,9=1e-9,8=2e-9", ONE)
    written = depths.spec(trained)
    assert sum(depth.share for depth in depths.parse(written, ONE)) == pytest.approx(1, abs=1e-15)


def test_a_list_is_written_as_it_is_read():
    trained = depths.parse("12=0,first:3,2,1", ONE)
    assert depths.spec(trained) == "12=0,first:3=0.333333333333,2=0.333333333333,1=0.333333333333"
