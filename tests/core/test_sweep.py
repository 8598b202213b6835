"""Depths, points and rows of a sweep, worked out by hand."""

from __future__ import annotations

import pytest

from layerdrop_plugin import sweep
from layerdrop_plugin.sweep import Point

BOTH = ["encoder", "decoder"]


@pytest.mark.parametrize(
    ("text", "depths"),
    [("6", [(6,)]), ("12,9,6", [(12,), (9,), (6,)]), ("12+6,3", [(12, 6), (3,)]), ("3,03,3+3", [(3,), (3, 3)])],
)
def test_depths_as_written(text, depths):
    assert sweep.parse_depths(text) == depths


@pytest.mark.parametrize("text", ["", "0", "3,", "3 6", "3+", "3+2+1", "-3", "1.5", "6,0+3", "all", "²"])
def test_depths_that_are_none(text):
    with pytest.raises(ValueError) as error:
        sweep.parse_depths(text)
    assert str(error.value) == (
        "`depths` must be numbers of layers from 1 as in 12,6,3, or of encoder and decoder as in 12+6,6+3, "
        f"but is {text!r} instead."
    )


def test_strategies_as_written():
    assert sweep.parse_strategies("last,every_other,last") == ["last", "every_other"]
    assert sweep.parse_strategies("learned") == ["learned"]


@pytest.mark.parametrize(("text", "wrong"), [("best", "best"), ("first,,last", ""), ("first:3", "first:3")])
def test_strategies_that_are_none(text, wrong):
    with pytest.raises(ValueError) as error:
        sweep.parse_strategies(text)
    assert str(error.value) == (
        f"`strategies` must be some of every_other,first,last,learned, but has {wrong!r} in {text!r}."
    )


@pytest.mark.parametrize(
    ("full", "swept", "depths"),
    [
        ({"decoder": 16}, ["decoder"], [(12,), (8,), (4,)]),
        ({"decoder": 2}, ["decoder"], [(1,)]),
        ({"encoder": 6, "decoder": 6}, BOTH, [(4,), (3,), (1,)]),
        ({"encoder": 12, "decoder": 6}, BOTH, [(9, 4), (6, 3), (3, 1)]),
        ({"encoder": 12, "decoder": 4}, ["decoder"], [(3,), (2,), (1,)]),
    ],
)
def test_depths_by_default(full, swept, depths):
    assert sweep.default_depths(full, swept) == depths


@pytest.mark.parametrize(
    ("depths", "swept", "counts"),
    [
        ((3,), BOTH, (3, 3)),
        ((12, 3), BOTH, (12, 3)),
        ((3,), ["encoder"], (3, 6)),
        ((6,), ["decoder"], (12, 6)),
    ],
)
def test_how_many_layers_run(depths, swept, counts):
    assert sweep.counts(depths, {"encoder": 12, "decoder": 6}, swept) == counts


@pytest.mark.parametrize(
    ("depths", "swept", "message"),
    [
        ((9,), BOTH, "`depths` must be at most the decoder's depth, 6, but has 9. Name both stacks, as in 12+6."),
        ((13,), BOTH, "`depths` must be at most the encoder's depth, 12, but has 13."),
        ((12, 7), BOTH, "`depths` must be at most the decoder's depth, 6, but has 12+7."),
        ((13,), ["encoder"], "`depths` must be at most the encoder's depth, 12, but has 13."),
        ((12, 3), ["decoder"], "`depths` must be single numbers where only the decoder is swept, but has '12+3'."),
    ],
)
def test_more_layers_than_there_are(depths, swept, message):
    with pytest.raises(ValueError) as error:
        sweep.counts(depths, {"encoder": 12, "decoder": 6}, swept)
    assert str(error.value) == message


def test_points_of_two_models():
    models = {"deep": {"decoder": 4}, "shallow": {"decoder": 2}}
    points, left_out = sweep.plan(models, ["decoder"], [(4,), (3,), (1,)], ["every_other", "last"])
    assert points == {
        "deep": [
            Point("full", ((0, 1, 2, 3),)),
            Point("every_other", ((0, 1, 2),)),  # floor of 0, 1.33, 2.67
            Point("last", ((1, 2, 3),)),
            Point("every_other", ((0,),)),
            Point("last", ((3,),)),
        ],
        "shallow": [Point("full", ((0, 1),)), Point("every_other", ((0,),)), Point("last", ((1,),))],
    }
    assert left_out == [
        "shallow has no depth 4: its row is left out",
        "shallow has no depth 3: its row is left out",
    ]


def test_a_depth_that_no_model_has():
    with pytest.raises(ValueError) as error:
        sweep.plan({"a": {"decoder": 4}, "b": {"decoder": 2}}, ["decoder"], [(2,), (5,)], ["first"])
    assert str(error.value) == "`depths` must be at most the decoder's depth, 4, but has 5."


def test_points_of_learned_rates():
    learned = {"a": {"encoder": (0.1, 0.4, 0.2, 0.3), "decoder": (0.5, 0.1)}, "b": {"encoder": (0.3, 0.1, 0.1, 0.3)}}
    points, left_out = sweep.plan(
        {"a": {"encoder": 4, "decoder": 2}}, BOTH, [(3, 1), (2, 2)], ["learned", "first"], learned
    )
    assert points == {
        "a": [
            Point("full", ((0, 1, 2, 3), (0, 1))),
            Point("learned", ((0, 2, 3), (1,))),
            Point("first", ((0, 1, 2), (0,))),
            Point("learned", ((0, 2), (0, 1))),
            Point("first", ((0, 1), (0, 1))),
        ]
    }
    assert left_out == []
    # A stack that is not swept runs whole, and needs no learned rates.
    points, _ = sweep.plan({"b": {"encoder": 4, "decoder": 2}}, ["encoder"], [(2,)], ["learned"], learned)
    assert points == {"b": [Point("full", ((0, 1, 2, 3), (0, 1))), Point("learned", ((1, 2), (0, 1)))]}


def test_learned_is_for_models_that_learned_their_rates():
    models = {"a": {"encoder": 4, "decoder": 2}, "b": {"encoder": 4, "decoder": 2}}
    learned = {"a": {"encoder": (0.1,) * 4, "decoder": (0.1,) * 2}, "b": {"encoder": (0.1,) * 4}}
    points, left_out = sweep.plan(models, BOTH, [(1,)], ["first", "learned"], learned)
    assert {label: [point.strategy for point in at] for label, at in points.items()} == {
        "a": ["full", "first", "learned"],
        "b": ["full", "first"],
    }
    assert left_out == [
        "b's decoder has no learned drop rates (--decoder-layerdrop-learned): its rows of 'learned' are left out"
    ]
    with pytest.raises(ValueError) as error:
        sweep.plan({"b": models["b"]}, BOTH, [(1,)], ["first", "learned"], learned)
    assert str(error.value) == (
        "`strategies` must not have 'learned' for b, whose decoder has no learned drop rates "
        "(--decoder-layerdrop-learned)."
    )
    assert set(sweep.plan(models, ["encoder"], [(1,)], ["learned"], learned)[0]) == {"a", "b"}
    sweep.plan(models, BOTH, [(1,)], ["first"])  # nobody asks for them


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        (["checkpoints/checkpoint_best.pt"], ["checkpoint_best.pt"]),
        (["/w/with/checkpoint_best.pt", "/w/without/checkpoint_best.pt"], ["with", "without"]),
        (["a/x/best.pt", "b/best.pt", "./a/y/best.pt"], ["a/x", "b", "a/y"]),
        (["run/best.pt", "run/last.pt"], ["best.pt", "last.pt"]),
        (["best.pt", "run/best.pt"], ["best.pt", "run"]),
        (["same.pt", "same.pt"], ["same.pt", "same.pt"]),
    ],
)
def test_what_tells_paths_apart(paths, labels):
    assert sweep.labels(paths) == labels
