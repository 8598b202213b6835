"""Drop rates and depths."""

import pytest

from layerdrop_plugin import rates


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
