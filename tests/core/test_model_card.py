"""Model cards, and the scores that they take from a search."""

from __future__ import annotations

import pytest

from layerdrop_plugin.model_card import Card, markdown, scores

SEARCH = {
    "stacks": {"encoder": 3, "decoder": 3},
    "ranking": [
        {"rank": "1", "encoder": "0,2", "decoder": "first:1", "loss": 2.5, "perplexity": 5.65685},
        {"rank": "2", "encoder": "0,1", "decoder": "0", "loss": 3.0, "perplexity": 8.0, "bleu": None},
    ],
    "report": {"split": "test", "rows": [{"rank": "1", "encoder": "0,2", "decoder": "0", "loss": 2.75}]},
}
DEPTHS = {"encoder": 3, "decoder": 3}


def test_text():
    properties = {"encoder layers": ("6", "3 ([0,2,4] of 6)"), "parameters": ("2,035", "1,041")}
    scored = {"searched on": {"loss": 2.5, "bleu": 20.25}, "test": {"loss": 2.75123}}
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

Scores of these layers, of a search:

| data | loss | bleu |
| --- | --- | --- |
| searched on | 2.5 | 20.25 |
| test | 2.751 |  |
"""
    )


def test_without_scores():
    assert "Scores" not in markdown(Card("small.pt", "full.pt", "layerdrop-prune", "2026-11-30", {}, {}))


def test_scores_of_a_choice():
    kept = {"encoder": (0, 2), "decoder": (0,)}
    assert scores(SEARCH, kept, DEPTHS) == {"searched on": {"loss": 2.5, "perplexity": 5.65685}, "test": {"loss": 2.75}}
    assert scores(SEARCH, {**kept, "encoder": (0, 1)}, DEPTHS) == {"searched on": {"loss": 3.0, "perplexity": 8.0}}


def test_a_stack_that_was_not_searched_must_be_whole():
    search = {"stacks": {"decoder": 3}, "ranking": [{"rank": "1", "decoder": "0,1", "loss": 2.0}]}
    assert scores(search, {"decoder": (0, 1)}, DEPTHS) == {"searched on": {"loss": 2.0}}
    with pytest.raises(ValueError, match=r"^has not scored encoder layers 0; decoder layers 0,1$"):
        scores(search, {"encoder": (0,), "decoder": (0, 1)}, DEPTHS)


@pytest.mark.parametrize(
    ("search", "depths", "problem"),
    [
        ([], DEPTHS, "is no such file"),
        ({"stacks": {"encoder": 3}, "ranking": [{}]}, DEPTHS, "is no such file"),
        ({**SEARCH, "ranking": 3}, DEPTHS, "is no such file"),
        (SEARCH, {"decoder": 3}, "is of a model with 3 encoder layers and 3 decoder layers"),
        (SEARCH, {"encoder": 6, "decoder": 3}, "is of a model with 3 encoder layers and 3 decoder layers"),
        (SEARCH, DEPTHS, "has not scored encoder layers 0,1,2; decoder layers 2"),
    ],
)
def test_problems(search, depths, problem):
    with pytest.raises(ValueError, match=f"^{problem}$"):
        scores(search, {"decoder": (2,)}, depths)
