"""The mean of weights: worked out by hand, with the types and the sharing of the models."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from layerdrop_plugin.averaging import average


def named(*models):
    return [(f"model{i}", model) for i, model in enumerate(models, 1)]


def mean_of(*values, dtype=torch.float32):
    """The mean of models of one weight."""
    return average(named(*({"w": torch.tensor(value, dtype=dtype)} for value in values)))["w"]


def test_the_mean_of_three():
    models = [
        {"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor(3.0)},
        {"a": torch.tensor([[3.0, 2.0]]), "b": torch.tensor(6.0)},
        {"b": torch.tensor(0.0), "a": torch.tensor([[5.0, -1.0]])},  # the order of names is free
    ]
    averaged = average(named(*models))
    assert list(averaged) == ["a", "b"]
    assert averaged["a"].tolist() == [[3.0, 1.0]]
    assert averaged["b"].item() == 3.0
    assert models[0]["a"].tolist() == [[1.0, 2.0]]  # as it was


def test_one_model_is_its_own_mean():
    model = {"w": torch.tensor([0.1, 0.2])}
    averaged = average(named(model))["w"]
    assert torch.equal(averaged, model["w"])
    assert averaged.data_ptr() != model["w"].data_ptr()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_type_stays(dtype):
    averaged = mean_of([1.0, 2.0], [2.0, 4.0], dtype=dtype)
    assert averaged.dtype == dtype
    assert averaged.tolist() == [1.5, 3.0]


@pytest.mark.parametrize(
    ("dtype", "values", "mean"),
    [
        (torch.float16, [60000.0, 60000.0], 60000.0),  # the sum is beyond float16
        (torch.float16, [2048.0, 1.0, 1.0, 2046.0], 1024.0),  # 2048 + 1 is 2048 in float16
        (torch.bfloat16, [256.0, 1.0, 1.0, 254.0], 128.0),  # 256 + 1 is 256 in bfloat16
        (torch.float32, [16777216.0, 1.0, 1.0, 2.0], 4194304.5),  # 2^24 + 1 is 2^24 in float32: summed in it
    ],
)
def test_floats_are_summed_in_float32(dtype, values, mean):
    assert mean_of(*values, dtype=dtype).item() == mean


@pytest.mark.parametrize(
    ("dtype", "values", "mean"),
    [
        (torch.int64, [1, 2], 1),
        (torch.int64, [-1, -2], -2),  # down, not towards 0
        (torch.int32, [5, 5, 5], 5),
        (torch.uint8, [200, 250], 225),  # the sum is beyond uint8
        (torch.bool, [True, True], True),
        (torch.bool, [True, False], False),
    ],
)
def test_whole_numbers_are_rounded_down(dtype, values, mean):
    averaged = mean_of(*values, dtype=dtype)
    assert averaged.dtype == dtype
    assert averaged.item() == mean


def test_models_of_several_types_have_a_mean_of_the_wider():
    half, single = torch.tensor([1.0]).half(), torch.tensor([2.0])
    for models in ((half, single), (single, half)):
        averaged = average(named(*({"w": model} for model in models)))["w"]
        assert averaged.dtype == torch.float32
        assert averaged.tolist() == [1.5]


def tied(x, y):
    weight = torch.tensor([x, y])
    return {"embed": weight, "other": torch.zeros(2), "out": weight}


def test_tied_weights_stay_tied():
    averaged = average(named(tied(1.0, 2.0), tied(3.0, 6.0)))
    assert averaged["embed"].tolist() == averaged["out"].tolist() == [2.0, 4.0]
    assert averaged["embed"].data_ptr() == averaged["out"].data_ptr()
    assert averaged["other"].data_ptr() != averaged["out"].data_ptr()


@pytest.mark.parametrize(("untied", "out"), [(0, [36.0, 22.0]), (1, [35.0, 21.0]), (2, [34.0, 21.0])])
def test_weights_that_one_model_has_untied_are_not_tied(untied, out):
    models = [tied(1.0, 2.0), tied(4.0, 5.0), tied(7.0, 5.0)]
    models[untied]["out"] = torch.tensor([97.0, 56.0])
    averaged = average(named(*models))
    assert averaged["embed"].tolist() == [4.0, 4.0]
    assert averaged["out"].tolist() == out


def test_views_of_one_memory_are_not_taken_for_the_same():
    whole = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    averaged = average(named({"whole": whole, "first": whole[0], "second": whole[1], "turned": whole.t()}))
    assert {name: value.tolist() for name, value in averaged.items()} == {
        "whole": [[1.0, 2.0], [3.0, 4.0]],
        "first": [1.0, 2.0],
        "second": [3.0, 4.0],
        "turned": [[1.0, 3.0], [2.0, 4.0]],
    }


def test_parameters_leave_no_graph_behind():
    model = {"w": torch.nn.Parameter(torch.tensor([1.0]))}
    averaged = average(named(model, model))["w"]
    assert not averaged.requires_grad
    assert averaged.tolist() == [1.0]


def test_one_model_at_a_time_is_in_memory():
    alive = []

    def read(value):
        gc.collect()
        assert [reference() for reference in alive if reference() is not None] == []
        weight = torch.full((3,), value)
        alive.append(weakref.ref(weight))
        return f"model{value}", {"w": weight}

    assert average(map(read, (1.0, 2.0, 6.0)))["w"].tolist() == [3.0, 3.0, 3.0]
    assert len(alive) == 3


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (
            {"a": torch.zeros(2, 3)},
            "models to average must have the same weights, but `b` is in model1 and not in model2.",
        ),
        (
            {"a": torch.zeros(2, 3), "b": torch.zeros(4), "c": torch.zeros(1), "d": torch.zeros(1)},
            "models to average must have the same weights, but `c` is in model2 and not in model1.",
        ),
        (
            {"a": torch.zeros(2, 3), "b": torch.zeros(5)},
            "models to average must have weights of the same shape, but `b` is (4,) in model1 and (5,) in model2.",
        ),
        (
            {"a": torch.zeros(3, 2), "b": torch.zeros(5)},
            "models to average must have weights of the same shape, but `a` is (2, 3) in model1 and (3, 2) in model2.",
        ),
        (
            {"a": torch.zeros(1, 3), "b": torch.zeros(4)},  # addition would take it
            "models to average must have weights of the same shape, but `a` is (2, 3) in model1 and (1, 3) in model2.",
        ),
        ({"a": [1, 2], "b": torch.zeros(4)}, "weights to average must be tensors, but `a` of model2 is a list."),
        (
            {"a": torch.zeros(2, 3), "b": torch.zeros(4).to_sparse()},
            "weights to average must be dense tensors of real numbers, "
            "but `b` of model2 is torch.sparse_coo, torch.float32.",
        ),
        (
            {"a": torch.zeros(2, 3, dtype=torch.complex64), "b": torch.zeros(4)},
            "weights to average must be dense tensors of real numbers, "
            "but `a` of model2 is torch.strided, torch.complex64.",
        ),
        ([1, 2], "a model to average must have weights by their names, but model2 has a list."),
    ],
)
def test_models_that_have_no_mean(second, message):
    first = {"a": torch.zeros(2, 3), "b": torch.zeros(4)}
    with pytest.raises(ValueError) as error:
        average(named(first, second))
    assert str(error.value) == message


def test_no_model_at_all():
    with pytest.raises(ValueError) as error:
        average([])
    assert str(error.value) == "there must be at least one model to average, but there is none."
