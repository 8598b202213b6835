"""Drop rates, over depth and over time, and depths."""

from __future__ import annotations

import pytest
from shared.grammar import RATES

from layerdrop_plugin import rates
from layerdrop_plugin.rates import Schedule


@pytest.mark.parametrize(("value", "rate"), [(0, 0.0), ("0", 0.0), ("0.2", 0.2), (0.999, 0.999), ("1e-1", 0.1)])
def test_a_rate_is_a_number_from_0_to_below_1(value, rate):
    assert rates.check_rate(value) == rate


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1, "`--p` must be at least 0 and below 1, but is 1 instead."),
        ("1.0", "`--p` must be at least 0 and below 1, but is 1.0 instead."),
        (-0.1, "`--p` must be at least 0 and below 1, but is -0.1 instead."),
        ("nan", "`--p` must be at least 0 and below 1, but is nan instead."),
        ("inf", "`--p` must be at least 0 and below 1, but is inf instead."),
        ("x", "`--p` must be a number, but is 'x' instead."),
        ("", "`--p` must be a number, but is '' instead."),
        (None, "`--p` must be a number, but is None instead."),
        ([0.1], "`--p` must be a number, but is [0.1] instead."),
        ("\uff10.\uff12", "`--p` must be a number, but is '\uff10.\uff12' instead."),  # full-width 0.2
        ("0.\u0662", "`--p` must be a number, but is '0.\u0662' instead."),  # Arabic-Indic 2
        ("0_0.2", "`--p` must be a number, but is '0_0.2' instead."),
        (10**400, f"`--p` must be at least 0 and below 1, but is {10**400} instead."),
    ],
)
def test_what_is_no_rate_is_refused(value, message):
    with pytest.raises(ValueError) as error:
        rates.check_rate(value, "--p")
    assert str(error.value) == message


@pytest.mark.parametrize(("depth", "keep", "rate"), [(12, 12, 0.0), (16, 12, 0.25), (12, 6, 0.5), (4, 1, 0.75)])
def test_the_rate_for_a_depth_leaves_it_on_average(depth, keep, rate):
    assert rates.rate_for_depth(depth, keep) == rate
    assert rates.expected_depth(depth, rate) == keep


@pytest.mark.parametrize("keep", [0, 7, -1])
def test_a_depth_that_cannot_be_kept_has_no_rate(keep):
    with pytest.raises(ValueError) as error:
        rates.rate_for_depth(6, keep)
    assert str(error.value) == f"`keep` must be between 1 and 6, but is {keep} instead."


def test_expected_depth_takes_rates_only():
    with pytest.raises(ValueError) as error:
        rates.expected_depth(6, 1.0)
    assert str(error.value) == "`rate` must be at least 0 and below 1, but is 1.0 instead."


@pytest.mark.parametrize(
    ("spec", "depth", "expected"),
    [
        (0.2, 3, (0.2, 0.2, 0.2)),
        (0, 2, (0.0, 0.0)),
        ("0.2", 1, (0.2,)),
        (" 0.2 ", 2, (0.2, 0.2)),
        ("[0.2]", 2, (0.2, 0.2)),  # a Python list, as a string
        ([0.2], 2, (0.2, 0.2)),
        ("0.1,0.2,0.3", 3, (0.1, 0.2, 0.3)),
        (" 0.1, 0.2 , 0.3", 3, (0.1, 0.2, 0.3)),
        ("[0.1, 0.2]", 2, (0.1, 0.2)),
        ([0, 0.25], 2, (0.0, 0.25)),  # as in YAML
        ((0.5, 0.0), 2, (0.5, 0.0)),
        (["0.1", 0.2], 2, (0.1, 0.2)),
        ("linear:0:0.5", 1, (0.0,)),
        ("linear:0:0.5", 2, (0.0, 0.5)),
        ("linear:0:0.5", 5, (0.0, 0.125, 0.25, 0.375, 0.5)),
        ("linear:0.5:0", 5, (0.5, 0.375, 0.25, 0.125, 0.0)),
        ("linear:0.25:0.75", 3, (0.25, 0.5, 0.75)),
        ("linear:0.3:0.3", 1, (0.3,)),
        (" linear: 0.25 : 0.75 ", 2, (0.25, 0.75)),
        ("target:4", 4, (0.0, 0.0, 0.0, 0.0)),
        ("target:3", 4, (0.25, 0.25, 0.25, 0.25)),
        ("target:1", 4, (0.75, 0.75, 0.75, 0.75)),
        ("target:1", 1, (0.0,)),
        (" target: 1 ", 2, (0.5, 0.5)),
    ],
)
def test_the_rate_of_each_layer(spec, depth, expected):
    rates.check(spec)
    assert rates.parse(spec, depth) == expected


@pytest.mark.parametrize(
    ("spec", "depth", "groups", "expected"),
    [
        ("target:6", 2, 8, (0.25, 0.25)),  # six heads of eight, in each of two layers
        ("target:8", 2, 8, (0.0, 0.0)),
        ("target:1", 3, 8, (0.875, 0.875, 0.875)),
        ("0.1,0.2", 2, 8, (0.1, 0.2)),  # all else has one rate for each layer
        ("linear:0:0.5", 2, 8, (0.0, 0.5)),
    ],
)
def test_a_target_may_be_of_other_groups_than_layers(spec, depth, groups, expected):
    assert rates.parse(spec, depth, groups=groups) == expected


NO_COUNT = "`--p`: the K of 'target:K' must be a whole number of at least 1, but is "
GRAMMAR = f"`--p` must be {RATES}, but is "


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", f"{GRAMMAR}'' instead."),
        ("  ", f"{GRAMMAR}'  ' instead."),
        ("[]", f"{GRAMMAR}'[]' instead."),
        ([], f"{GRAMMAR}[] instead."),
        ("x", f"{GRAMMAR}'x' instead."),
        ("0.1;0.2", f"{GRAMMAR}'0.1;0.2' instead."),
        ("[0.1", f"{GRAMMAR}'[0.1' instead."),
        ("0.1]", f"{GRAMMAR}'0.1]' instead."),
        ("[[0.1]]", f"{GRAMMAR}'[[0.1]]' instead."),
        ("[0.1,0.2", "`--p` must be a number, but is '[0.1' instead."),
        ("\uff10.\uff12", f"{GRAMMAR}'\uff10.\uff12' instead."),
        ("linear:0:\uff10.\uff12", "`--p` must be a number, but is '\uff10.\uff12' instead."),
        ("liner:0:0.5", f"{GRAMMAR}'liner:0:0.5' instead."),
        ("linear:0.1", f"{GRAMMAR}'linear:0.1' instead."),
        ("linear:0:0.1:0.2", f"{GRAMMAR}'linear:0:0.1:0.2' instead."),
        ("linear:", f"{GRAMMAR}'linear:' instead."),
        ("linear:a:b", "`--p` must be a number, but is 'a' instead."),
        ("linear:0:", "`--p` must be a number, but is '' instead."),
        ("linear:0:1", "`--p` must be at least 0 and below 1, but is 1 instead."),
        ("linear:-0.1:0.5", "`--p` must be at least 0 and below 1, but is -0.1 instead."),
        ("linear:nan:0.5", "`--p` must be at least 0 and below 1, but is nan instead."),
        ("target:0", f"{NO_COUNT}'0' in 'target:0'."),
        ("target:-1", f"{NO_COUNT}'-1' in 'target:-1'."),
        ("target:", f"{NO_COUNT}'' in 'target:'."),
        ("target:1.5", f"{NO_COUNT}'1.5' in 'target:1.5'."),
        ("target:\u0663", f"{NO_COUNT}'\u0663' in 'target:\u0663'."),
        ("target:12345678901", f"{NO_COUNT}'12345678901' in 'target:12345678901'."),
        ("0.1,x", "`--p` must be a number, but is 'x' instead."),
        ("0.1,", "`--p` must be a number, but is '' instead."),
        ("0.1,1", "`--p` must be at least 0 and below 1, but is 1 instead."),
        ("nan", "`--p` must be at least 0 and below 1, but is nan instead."),
        ("inf", "`--p` must be at least 0 and below 1, but is inf instead."),
        ("-0.1", "`--p` must be at least 0 and below 1, but is -0.1 instead."),
        ("1", "`--p` must be at least 0 and below 1, but is 1 instead."),
        (1, "`--p` must be at least 0 and below 1, but is 1 instead."),
        ([0.1, 1.0], "`--p` must be at least 0 and below 1, but is 1.0 instead."),
        (True, "`--p` must be at least 0 and below 1, but is True instead."),
        (None, "`--p` must be a number, but is None instead."),
        ({"a": 0.1}, "`--p` must be a number, but is {'a': 0.1} instead."),
        ([None, 0.1], "`--p` must be a number, but is None instead."),
        ([[0.1]], "`--p` must be a number, but is [0.1] instead."),
    ],
)
def test_what_are_no_rates_at_any_depth(spec, message):
    for refused in (lambda: rates.check(spec, "--p"), lambda: rates.parse(spec, 6, "--p")):
        with pytest.raises(ValueError) as error:
            refused()
        assert str(error.value) == message


@pytest.mark.parametrize(
    ("spec", "groups", "message"),
    [
        ("0.1,0.2", None, "`--p` must have a rate for each of 6 layers, but has 2 in '0.1,0.2'."),
        ([0.1] * 7, None, f"`--p` must have a rate for each of 6 layers, but has 7 in {[0.1] * 7}."),
        ("target:7", None, "`--p` must not aim for more than there are, but 'target:7' keeps 7 of 6."),
        ("target:5", 4, "`--p` must not aim for more than there are, but 'target:5' keeps 5 of 4."),
    ],
)
def test_what_are_no_rates_at_one_depth(spec, groups, message):
    rates.check(spec, "--p")  # some depth would do
    with pytest.raises(ValueError) as error:
        rates.parse(spec, 6, "--p", groups)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.2, 0.2), 0.2),
        ((0.0,), 0.0),
        ((0.0, 0.1), "0.0,0.1"),
        ((1 / 3, 0.1 + 0.2), "0.3333333333333333,0.30000000000000004"),
        ((1e-20, 0.5), "1e-20,0.5"),
    ],
)
def test_a_description_is_read_to_the_same_floats(values, text):
    assert rates.describe(values) == text
    assert rates.parse(text, len(values)) == values


@pytest.mark.parametrize("ends", ["0.3:0", "0.003:0", "0:0.3", "0.1:0.7", "0.9:0.9", "0.999999:0"])
@pytest.mark.parametrize("depth", [2, 4, 7, 13, 48])
def test_linear_rates_are_between_their_ends_and_read_again(ends, depth):
    """The last of 0.003, 0.002, 0.001 and 0, as first + (last - first) i / (n - 1), is -4e-19: no rate."""
    first, last = map(float, ends.split(":"))
    found = rates.parse(f"linear:{ends}", depth)
    assert (found[0], found[-1]) == (first, last)
    assert all(min(first, last) <= rate <= max(first, last) for rate in found)
    assert found == pytest.approx([first + (last - first) * i / (depth - 1) for i in range(depth)], abs=1e-15)
    assert rates.parse(rates.describe(found), depth) == found


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        (Schedule(), {0: 1.0, 10**6: 1.0}),
        (Schedule(warmup=4), {0: 0.0, 1: 0.25, 3: 0.75, 4: 1.0, 5: 1.0, 10**6: 1.0}),
        (Schedule(warmup=4, max_update=100), {0: 0.0, 2: 0.5, 4: 1.0, 99: 1.0, 100: 1.0}),
        (Schedule(warmup=1), {0: 0.0, 1: 1.0}),
        # The last update of ten is number 9; those after it, of a run that goes on, stay at 0.
        (Schedule(cooldown=4, max_update=10), {0: 1.0, 5: 1.0, 6: 0.75, 8: 0.25, 9: 0.0, 10: 0.0, 99: 0.0}),
        (Schedule(4, 4, 16), {0: 0.0, 2: 0.5, 4: 1.0, 11: 1.0, 12: 0.75, 14: 0.25, 15: 0.0}),
        (Schedule(5, 5, 10), {4: 0.8, 5: 0.8, 6: 0.6, 9: 0.0}),  # adjacent: the peak would be between two updates
        (Schedule(8, 8, 9), {0: 0.0, 2: 0.25, 4: 0.5, 6: 0.25, 8: 0.0}),  # overlapping: the lower of the two
        (Schedule(0, 0, 1), {0: 1.0}),  # a run of a single update
        (Schedule(1, 0, 1), {0: 0.0}),
        (Schedule(0, 1, 1), {0: 0.0}),
    ],
)
def test_rates_over_time(schedule, factors):
    assert {update: schedule.factor(update) for update in factors} == factors


@pytest.mark.parametrize(
    ("warmup", "cooldown", "max_update"), [(0, 0, 0), (10, 0, 0), (5, 5, 10), (10, 0, 10), (0, 10, 10), (0, 0, 1)]
)
def test_a_schedule_that_there_is_time_for(warmup, cooldown, max_update):
    schedule = Schedule(warmup, cooldown, max_update)
    assert schedule.check() is schedule


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (
            Schedule(cooldown=5),
            "`cooldown` must be left out where `max_update` is not set, but is 5 instead.",
        ),
        (
            Schedule(3, 5, 0),
            "`cooldown` must be left out where `max_update` is not set, but is 5 instead.",
        ),
        (
            Schedule(5, 6, 10),
            "`warmup` and `cooldown` must fit into `max_update`, but are 5 and 6 of 10.",
        ),
        (
            Schedule(20, 0, 10),
            "`warmup` and `cooldown` must fit into `max_update`, but are 20 and 0 of 10.",
        ),
    ],
)
def test_a_schedule_that_there_is_no_time_for(schedule, message):
    with pytest.raises(ValueError) as error:
        schedule.check()
    assert str(error.value) == message
