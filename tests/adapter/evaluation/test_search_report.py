"""The report of a search: its rows, its references and its warnings."""

from __future__ import annotations

import json

import numpy
from shared.layer_scores import ranked, report

from layerdrop_plugin.search import Ranked


def test_report():
    found = report([ranked(((1,),), 1, 2), ranked(((0,),), 3, 5)], [ranked(((2,),), 9, 9)]).as_json()
    rows = found.pop("ranking")
    assert found == {
        "stacks": {"decoder": 3},
        "keep": {"decoder": 1},
        "strategy": "racing",
        "metric": "loss",
        "batches": 2,
        "predictions": 20,
        "best": {"decoder": "1"},
        "kept": {"decoder": "1"},
        "model_overrides": "{'decoder_layers_to_keep': '1'}",
        "cost": {
            "layer_evaluations": 7,
            "seconds": 1.5,
            "candidates": 3,
            "exhaustive_layer_evaluations_a_batch": 3,
            "one_by_one_layer_evaluations_a_batch": 3,
        },
        "warnings": [],
    }
    assert [(row["rank"], row["decoder"], row["loss"], row["perplexity"]) for row in rows] == [
        *(("1", "1", 1.5, 2**1.5), ("2", "0", 4.0, 16.0), ("3", "2", 9.0, 512.0)),
        *(("every_other:1", "0", 4.0, 16.0), ("first:1", "0", 4.0, 16.0), ("last:1", "2", 9.0, 512.0)),
        ("full", "0,1,2", 0.5, 2**0.5),
    ]
    assert [(row["loss_1st_half"], row["loss_2nd_half"]) for row in rows[:2]] == [(1.0, 2.0), (3.0, 5.0)]


def test_every_other_leads_where_a_race_has_passed_over_it():
    found = report([ranked(((1,),), 1, 2)], [ranked(((0,),), 1, 1), ranked(((2,),), 9, 9)])
    assert found.best == {"decoder": "0"}
    assert [(row.rank, row.specs["decoder"]) for row in found.ranking[:3]] == [("1", "0"), ("2", "1"), ("3", "2")]


def test_ten_are_shown():
    found = report([ranked(((i,),), i, i + 0.5) for i in range(12)], depths=(12,))
    assert [row.rank for row in found.ranking] == [
        *map(str, range(1, 11)),
        *("every_other:1", "first:1", "last:1", "full"),
    ]


def test_warnings_of_noise():
    best, near, far = ranked(((1,),), 2, 3), ranked(((0,),), 2.5, 2.75), ranked(((2,),), 4, 5.25)
    assert report([best, near, far]).warnings == [
        "the best is better than Every Other by 0.1250 bits, which is noise: from one half of the data to "
        "the other, this difference changes by 0.7500 bits; search on more data.",
        "1 of the 2 next best differs from the best by noise: from one half of the data to "
        "the other, the difference to the best changes by up to 0.7500 bits.",
    ]


def test_warnings_in_accuracy():
    def of(candidate, first, second):
        return Ranked(candidate, numpy.array([[5, 10, first], [5, 10, second]], dtype=float))

    found = report([of(((1,),), 9, 7), of(((0,),), 8, 7), of(((2,),), 5, 3)], metric="accuracy")
    assert found.warnings == [
        "the best is better than Every Other by 5.00 points, which is noise: from one half of the data to "
        "the other, this difference changes by 10.00 points; search on more data.",
        "1 of the 2 next best differs from the best by noise: from one half of the data to "
        "the other, the difference to the best changes by up to 10.00 points.",
    ]


def test_one_batch_cannot_tell_what_is_noise():
    found = report([ranked(((i,),), i) for i in range(3)])
    assert found.warnings == [
        "the data make one batch, so what is noise can't be told; make --max-tokens or --batch-size smaller."
    ]
    assert [row.loss_2nd_half for row in found.ranking[:-1]] == [None] * 6


def test_losses_that_are_no_numbers_are_left_open():
    nan, inf = float("nan"), float("inf")
    found = report([ranked(((0,),), 1, 2000), ranked(((1,),), 1, inf), ranked(((2,),), nan, 1)])
    rows = found.ranking[:3]
    assert [(row.specs["decoder"], row.loss, row.perplexity) for row in rows] == [
        ("0", 1000.5, 2**1000.5),
        ("1", None, None),
        ("2", None, None),
    ]
    json.dumps(found.as_json(), allow_nan=False)
