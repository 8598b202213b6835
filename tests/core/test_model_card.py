"""Model cards, and the scores that they take from a search."""

from __future__ import annotations

import pytest

from layerdrop_plugin.model_card import Card, markdown, scores

SEARCH = {
    "checkpoint": "full.pt",
    "fingerprint": "9:ab",
    "split": "valid",
    "batches": 40,
    "predictions": 12345,
    "stacks": {"encoder": 3, "decoder": 3},
    "ranking": [
        {"rank": "1", "encoder": "0,2", "decoder": "first:1", "loss": 2.5, "perplexity": 5.65685},
        {"rank": "2", "encoder": "0,1", "decoder": "0", "loss": 3.0, "perplexity": 8.0, "bleu": None},
        {"rank": "full", "encoder": "0,1,2", "decoder": "0,1,2", "loss": 2.0},
    ],
    "report": {
        "split": "test",
        "batches": 7,
        "predictions": 990,
        "rows": [
            {"rank": "1", "encoder": "0,2", "decoder": "0", "loss": 2.75},
            {"rank": "full", "encoder": "0-2", "decoder": "0-2", "loss": 2.25},
        ],
    },
}
DEPTHS = {"encoder": 3, "decoder": 3}


def test_text():
    properties = {"encoder layers": ("6", "3 ([0,2,4] of 6)"), "parameters": ("2,035", "1,041")}
    scored = [
        {"layers": "origin", "data": "valid", "batches": 40, "predictions": 12345, "loss": 2.5, "bleu": 20.25},
        {"layers": "this", "data": "test", "batches": 7, "predictions": 990, "loss": 2.75123},
    ]
    card = Card("small.pt", "full.pt", "layerdrop-prune full.pt -o small.pt", "2026-11-30", properties, scored)
    assert (
        markdown(card)
        == """\
# small.pt

Made of `full.pt` on 2026-11-30:

```sh
layerdrop-prune full.pt -o small.pt
```

|  | origin | this |
| --- | --- | --- |
| encoder layers | 6 | 3 ([0,2,4] of 6) |
| parameters | 2,035 | 1,041 |

Scores of all layers (origin) and of these, of a search:

| layers | data | batches | predictions | loss | bleu |
| --- | --- | --- | --- | --- | --- |
| origin | valid | 40 | 12,345 | 2.5 | 20.25 |
| this | test | 7 | 990 | 2.751 |  |
"""
    )


def test_without_scores():
    assert "Scores" not in markdown(Card("small.pt", "full.pt", "layerdrop-prune", "2026-11-30", {}, []))


def test_scores_of_a_choice():
    kept = {"encoder": (0, 2), "decoder": (0,)}
    valid = {"data": "valid (searched on)", "batches": 40, "predictions": 12345}
    test = {"data": "test", "batches": 7, "predictions": 990}
    assert scores(SEARCH, "9:ab", kept, DEPTHS) == [
        {"layers": "origin", **valid, "loss": 2.0},
        {"layers": "this", **valid, "loss": 2.5, "perplexity": 5.65685},
        {"layers": "origin", **test, "loss": 2.25},
        {"layers": "this", **test, "loss": 2.75},
    ]
    assert scores(SEARCH, "9:ab", {**kept, "encoder": (0, 1)}, DEPTHS) == [
        {"layers": "origin", **valid, "loss": 2.0},
        {"layers": "this", **valid, "loss": 3.0, "perplexity": 8.0},
    ]


def test_all_layers_have_one_row():
    rows = scores({**SEARCH, "report": {"split": "test", "rows": []}}, "9:ab", {}, DEPTHS)
    assert [(row["layers"], row["loss"]) for row in rows] == [("this", 2.0)]


def test_of_another_checkpoint():
    kept = {"encoder": (0, 2), "decoder": (0,)}
    with pytest.raises(ValueError, match=r"^is of another checkpoint, full\.pt$"):
        scores(SEARCH, "9:cd", kept, DEPTHS)
    old = {name: value for name, value in SEARCH.items() if name not in ("checkpoint", "fingerprint", "split")}
    with pytest.raises(ValueError, match=r"^does not say of which checkpoint it is; search again$"):
        scores(old, "9:ab", kept, DEPTHS)


def test_a_stack_that_was_not_searched_must_be_whole():
    ranking = [{"rank": "1", "decoder": "0,1", "loss": 2.0}]
    search = {"fingerprint": "9:ab", "split": "valid", "stacks": {"decoder": 3}, "ranking": ranking}
    found = scores(search, "9:ab", {"decoder": (0, 1)}, DEPTHS)
    assert found == [{"layers": "this", "data": "valid (searched on)", "loss": 2.0}]
    with pytest.raises(ValueError, match=r"^has not scored encoder layers 0; decoder layers 0,1$"):
        scores(search, "9:ab", {"encoder": (0,), "decoder": (0, 1)}, DEPTHS)


OVERRIDDEN = {
    "fingerprint": "9:ab",
    "split": "valid",
    "held": {"encoder": "0,1", "decoder": "0,2,5"},
    "stacks": {"decoder": 3},
    "ranking": [
        {"rank": "1", "decoder": "0,5", "loss": 2.5},
        {"rank": "full", "decoder": "0,2,5", "loss": 2.25},
    ],
}


def test_a_search_of_what_overrides_left_counts_layers_as_the_checkpoint_does():
    depths = {"encoder": 2, "decoder": 6}
    (found,) = scores(OVERRIDDEN, "9:ab", {"decoder": (0, 5)}, depths)
    assert found == {"layers": "this", "data": "valid (searched on)", "loss": 2.5}  # all layers were not scored
    with pytest.raises(
        ValueError, match=r"^has not scored encoder layers 0; decoder layers 0,5: .*left encoder layers"
    ):
        scores(OVERRIDDEN, "9:ab", {"encoder": (0,), "decoder": (0, 5)}, depths)
    left = {"encoder": 4, "decoder": 6}
    assert scores(OVERRIDDEN, "9:ab", {"encoder": (0, 1), "decoder": (0, 2, 5)}, left)[0]["loss"] == 2.25
    with pytest.raises(ValueError) as error:
        scores(OVERRIDDEN, "9:ab", {"decoder": (0, 5)}, left)
    assert str(error.value) == (
        "has not scored encoder layers 0,1,2,3; decoder layers 0,5: --model-overrides left encoder layers 0,1; "
        "decoder layers 0,2,5"
    )


@pytest.mark.parametrize(
    ("search", "depths", "problem"),
    [
        ([], DEPTHS, "is no such file"),
        ({"stacks": {"encoder": 3}, "ranking": [{}]}, DEPTHS, "is no such file"),
        ({**SEARCH, "ranking": 3}, DEPTHS, "is no such file"),
        ({**SEARCH, "batches": float("inf")}, DEPTHS, "is no such file"),  # json reads 1e999 so
        ({**SEARCH, "fingerprint": "9:cd"}, {"decoder": 3}, "is of a model with 3 encoder layers and 3 decoder layers"),
        (
            {name: value for name, value in OVERRIDDEN.items() if name != "held"},  # as earlier versions wrote it
            {"encoder": 2, "decoder": 6},
            "is of a model with 3 decoder layers, which --model-overrides pruned, and does not say to which layers; "
            "search again",
        ),
        (OVERRIDDEN, {"encoder": 2, "decoder": 5}, "is of a model with 3 decoder layers, .*"),
        ({**OVERRIDDEN, "held": {"decoder": 3}}, {"encoder": 2, "decoder": 6}, "has not scored .*"),
        ({**OVERRIDDEN, "held": 3}, {"encoder": 2, "decoder": 6}, "is no such file"),
        (SEARCH, DEPTHS, "has not scored encoder layers 0,1,2; decoder layers 2"),
    ],
)
def test_problems(search, depths, problem):
    with pytest.raises(ValueError, match=f"^{problem}$"):
        scores(search, "9:ab", {"decoder": (2,)}, depths)
