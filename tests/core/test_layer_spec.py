"""What a specification keeps, and the whole of what is said when it is none."""

from __future__ import annotations

import pytest
from shared.grammar import LAYERS

from layerdrop_plugin import layer_spec

NO_RATE = "`o`: the rate P of 'drop:P' must be a number with 0 < P <= 0.5, but is "
NO_COUNT = "must be a whole number of at least 1, but is "


@pytest.mark.parametrize(
    ("spec", "depth", "kept"),
    [
        ("0", 1, (0,)),
        ("5", 6, (5,)),
        ("0,2,4", 6, (0, 2, 4)),
        ("4,0,2", 6, (0, 2, 4)),
        (" 0 , 2 ", 6, (0, 2)),
        ("0-3,8", 9, (0, 1, 2, 3, 8)),
        ("2-2", 6, (2,)),
        ("4-5,0-1", 6, (0, 1, 4, 5)),
        ("0-5", 6, (0, 1, 2, 3, 4, 5)),
        ("every_other:1", 6, (0,)),
        ("every_other:3", 6, (0, 2, 4)),
        ("every_other:6", 6, (0, 1, 2, 3, 4, 5)),
        (" every_other : 4 ", 6, (0, 1, 3, 4)),
        ("first:1", 6, (0,)),
        ("first:3", 6, (0, 1, 2)),
        ("last:1", 6, (5,)),
        ("last:3", 6, (3, 4, 5)),
        ("last:6", 6, (0, 1, 2, 3, 4, 5)),
        ("drop:0.5", 16, (0, 2, 4, 6, 8, 10, 12, 14)),
        ("drop:0.2", 16, (0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 15)),  # all but 4, 9, 14
        ("drop:0.1", 20, (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18)),
        ("drop:1/3", 6, (0, 1, 3, 4)),
        ("[0, 2, 4]", 6, (0, 2, 4)),
        ([0, 2, 4], 6, (0, 2, 4)),
        ([4, 0], 6, (0, 4)),
        ((1,), 2, (1,)),
        (0, 6, (0,)),
        (3, 6, (3,)),
    ],
)
def test_kept_layers(spec, depth, kept):
    assert layer_spec.parse(spec, depth) == kept


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("0,6", "`o` must name layers from 0 to 5, but has 6 in '0,6'."),
        ("4-7", "`o` must name layers from 0 to 5, but has 6 in '4-7'."),
        ([6], "`o` must name layers from 0 to 5, but has 6 in [6]."),
        (6, "`o` must name layers from 0 to 5, but has 6 in 6."),
        ("every_other:7", "`o` must not keep more layers than there are, but 'every_other:7' keeps 7 of 6."),
        ("first:7", "`o` must not keep more layers than there are, but 'first:7' keeps 7 of 6."),
        ("last:99", "`o` must not keep more layers than there are, but 'last:99' keeps 99 of 6."),
        ("learned:7", "`o` must not keep more layers than there are, but 'learned:7' keeps 7 of 6."),
    ],
)
def test_what_does_not_fit_the_depth_is_refused(spec, message):
    layer_spec.check(spec, "o")  # some depth would fit
    with pytest.raises(ValueError) as error:
        layer_spec.parse(spec, 6, "o")
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("-1", "`o` must count layers from 0, but has -1 in '-1'."),
        ("0,-2", "`o` must count layers from 0, but has -2 in '0,-2'."),
        ([-1], "`o` must count layers from 0, but has -1 in [-1]."),
        (-3, "`o` must count layers from 0, but has -3 in -3."),
        ("0,2,2", "`o` must name a layer once, but has 2 twice in '0,2,2'."),
        ("0-3,2", "`o` must name a layer once, but has 2 twice in '0-3,2'."),
        ([1, 1], "`o` must name a layer once, but has 1 twice in [1, 1]."),
        ("", "`o` must keep at least one layer, but is '' instead."),
        ("  ", "`o` must keep at least one layer, but is '  ' instead."),
        ([], "`o` must keep at least one layer, but is [] instead."),
        ("3-1", "`o` must have rising ranges, but has '3-1' in '3-1'."),
        ("0-99999", "`o` must name existing layers, but has '0-99999' in '0-99999'."),
        ("all", f"`o` must be {LAYERS}, but is 'all' instead."),
        ("0,", f"`o` must be {LAYERS}, but is '0,' instead."),
        ("0;2", f"`o` must be {LAYERS}, but is '0;2' instead."),
        ("1.5", f"`o` must be {LAYERS}, but is '1.5' instead."),
        ("0--2", f"`o` must be {LAYERS}, but is '0--2' instead."),
        ("\uff10,\uff12", f"`o` must be {LAYERS}, but is '\uff10,\uff12' instead."),  # full-width digits
        ("[0", f"`o` must be {LAYERS}, but is '[0' instead."),
        ("0]", f"`o` must be {LAYERS}, but is '0]' instead."),
        ("middle:3", f"`o` must be {LAYERS}, but is 'middle:3' instead."),
        (":3", f"`o` must be {LAYERS}, but is ':3' instead."),
        (1.5, f"`o` must be {LAYERS}, but is 1.5 instead."),
        (True, f"`o` must be {LAYERS}, but is True instead."),
        ([0, "2"], f"`o` must be {LAYERS}, but is [0, '2'] instead."),
        ([0, True], f"`o` must be {LAYERS}, but is [0, True] instead."),
        ("every_other:0", f"`o`: the K of 'every_other:K' {NO_COUNT}'0' in 'every_other:0'."),
        ("every_other:-1", f"`o`: the K of 'every_other:K' {NO_COUNT}'-1' in 'every_other:-1'."),
        ("every_other:", f"`o`: the K of 'every_other:K' {NO_COUNT}'' in 'every_other:'."),
        ("first:1.5", f"`o`: the K of 'first:K' {NO_COUNT}'1.5' in 'first:1.5'."),
        ("last:\uff13", f"`o`: the K of 'last:K' {NO_COUNT}'\uff13' in 'last:\uff13'."),
        ("last:x", f"`o`: the K of 'last:K' {NO_COUNT}'x' in 'last:x'."),
        ("learned:0", f"`o`: the K of 'learned:K' {NO_COUNT}'0' in 'learned:0'."),
        ("learned:", f"`o`: the K of 'learned:K' {NO_COUNT}'' in 'learned:'."),
        ("learned", f"`o` must be {LAYERS}, but is 'learned' instead."),
        ("drop:0.7", f"{NO_RATE}'0.7' in 'drop:0.7'."),
        ("drop:0", f"{NO_RATE}'0' in 'drop:0'."),
        ("drop:-0.2", f"{NO_RATE}'-0.2' in 'drop:-0.2'."),
        ("drop:", f"{NO_RATE}'' in 'drop:'."),
        ("drop:nan", f"{NO_RATE}'nan' in 'drop:nan'."),
        ("drop:1/0", f"{NO_RATE}'1/0' in 'drop:1/0'."),
    ],
)
def test_what_is_wrong_at_any_depth_is_refused_without_a_depth(spec, message):
    for refused in (lambda: layer_spec.check(spec, "o"), lambda: layer_spec.parse(spec, 6, "o")):
        with pytest.raises(ValueError) as error:
            refused()
        assert str(error.value) == message


def test_an_error_names_the_option_layers_to_keep_by_default():
    with pytest.raises(ValueError) as error:
        layer_spec.parse("9", 6)
    assert str(error.value) == "`layers_to_keep` must name layers from 0 to 5, but has 9 in '9'."


def test_a_description_is_a_specification():
    assert layer_spec.describe((0, 2, 4)) == "0,2,4"
    assert layer_spec.describe([5]) == "5"
    assert layer_spec.parse(layer_spec.describe((1, 3)), 6) == (1, 3)


@pytest.mark.parametrize("value", ["1e-9999999", "\u0660.\u0662", "1/0", "0.1" * 20, "inf"])
def test_a_rate_is_a_short_plain_number(value):
    with pytest.raises(ValueError) as error:
        layer_spec.parse(f"drop:{value}", 6, "o")
    assert str(error.value) == f"{NO_RATE}{value!r} in {f'drop:{value}'!r}."


@pytest.mark.parametrize(
    ("spec", "learned_rates", "kept"),
    [
        ("learned:1", (0.3, 0.1, 0.2), (1,)),
        ("learned:2", (0.3, 0.1, 0.2), (1, 2)),
        ("learned:3", (0.3, 0.1, 0.2), (0, 1, 2)),
        (" learned : 2 ", [0.1, 0.4, 0.1], (0, 2)),
    ],
)
def test_the_layers_of_the_lowest_learned_rates(spec, learned_rates, kept):
    assert layer_spec.parse(spec, 3, learned_rates=learned_rates) == kept


def test_learned_layers_are_unknown_where_nothing_was_learned():
    layer_spec.check("learned:2", "o", 3)
    with pytest.raises(ValueError) as error:
        layer_spec.parse("learned:2", 3, "o")
    assert str(error.value) == (
        "`o` must not be 'learned:2' where no drop rates were learned (with --*-layerdrop-learned)."
    )


@pytest.mark.parametrize("spec", ["first:2", "0,1", "drop:1/3", [0, 1]])
def test_learned_rates_change_no_other_specification(spec):
    assert layer_spec.parse(spec, 3, learned_rates=(0.3, 0.2, 0.1)) == (0, 1)


def test_a_check_at_a_depth_is_that_of_parse():
    layer_spec.check("0,5", "o", 6)
    layer_spec.check("learned:6", "o", 6)
    for spec, message in [
        ("0,6", "`o` must name layers from 0 to 5, but has 6 in '0,6'."),
        ("learned:7", "`o` must not keep more layers than there are, but 'learned:7' keeps 7 of 6."),
    ]:
        with pytest.raises(ValueError) as error:
            layer_spec.check(spec, "o", 6)
        assert str(error.value) == message


@pytest.mark.parametrize(
    ("spec", "learned"),
    [("learned:3", True), (" learned :3", True), ("first:3", False), ("0,1", False), ([0, 1], False), (3, False)],
)
def test_which_specifications_need_learned_rates(spec, learned):
    assert layer_spec.is_learned(spec) == learned


@pytest.mark.parametrize(
    ("spec", "depth", "note"),
    [
        ("3", 6, "layer 3 of 6: one layer; for three layers, every_other:3"),
        (3, 6, "layer 3 of 6: one layer; for three layers, every_other:3"),
        (" 03 ", 6, "layer 3 of 6: one layer; for three layers, every_other:3"),
        ("1", 6, "layer 1 of 6: one layer; for one layer, every_other:1"),
        ("12", 16, "layer 12 of 16: one layer; for twelve layers, every_other:12"),
        ("13", 16, "layer 13 of 16: one layer; for 13 layers, every_other:13"),
        ("0", 6, None),  # nobody keeps no layer
        (0, 6, None),
        ("[3]", 6, None),
        ([3], 6, None),
        ("3-3", 6, None),
        ("0,3", 6, None),
        ("first:3", 6, None),
    ],
)
def test_a_lone_index_may_have_been_meant_as_a_number_of_layers(spec, depth, note):
    assert layer_spec.single_layer_note(spec, depth) == note
