"""What stands first in the pages of `--report`: the warnings."""

from __future__ import annotations

from argparse import Namespace

import pytest

from layerdrop_plugin.budget import parse
from layerdrop_plugin.budget_report import BudgetReport
from layerdrop_plugin.budget_report import Row as BudgetRow
from layerdrop_plugin.cli import budget_page, budget_text, plots, search_page, search_text, sweep_page
from layerdrop_plugin.cost_model import CostModel
from layerdrop_plugin.html_report import Commands
from layerdrop_plugin.search_report import Cost, Row, SearchReport
from layerdrop_plugin.sweep import Point
from layerdrop_plugin.sweep_report import Measured, Measurements, SweepReport, rows

WARNINGS = ["there is nothing to choose by."]
ARGS = Namespace(path="full.pt", gen_subset="valid", json="found.json", model_overrides="{}")


@pytest.fixture(autouse=True)
def _without_plots(monkeypatch):
    monkeypatch.setattr(plots, "can_draw", lambda: False)


def searched():
    row = Row("1", {"decoder": "0,2"}, 2.0, 4.0, None, 2.0, 2.0)
    found, overrides = {"decoder": "0,2"}, "{'decoder_layers_to_keep': '0,2'}"
    sizes = ({"decoder": 4}, {"decoder": 2})
    return SearchReport(
        *sizes, "greedy", "loss", 2, 20, found, found, overrides, [row], Cost(26, 1.5, 70, 100, 280), WARNINGS
    )


def within_budget(split="2", speedup=1.9):
    row = BudgetRow(split, "best", {"decoder": "0,2"}, 10, None, 2.0, 4.0, None, None, 2.0, speedup, 0.5, 5)
    found, overrides = {"decoder": "0,2"}, "{'decoder_layers_to_keep': '0,2'}"
    costs = (CostModel(0.1, (0.1,)), ["decoder"])
    return BudgetReport(
        parse("speedup", "2"), {"decoder": 4}, None, "loss", 2, 20, 1, "cpu", *costs, [row], row, found, overrides, 26,
        1.5, WARNINGS,
    )  # fmt: skip


def test_warnings_stand_above_what_is_recommended():
    said = "Warning: there is nothing to choose by."
    assert search_page.sections(ARGS, searched())["Recommended"] == [
        *(said, "decoder layers 0,2.", Commands("--model-overrides \"{'decoder_layers_to_keep': '0,2'}\"")),
    ]
    assert budget_page.sections(ARGS, within_budget())["Recommended"][:2] == [
        *(said, "2 layers, 1.90 times as fast, promised 2.00 (-5.0%)."),
    ]
    assert budget_text.recommended(within_budget("1")).startswith("1 layer, 1.90 times as fast, ")


def test_a_search_that_scores_some_sets_says_so():
    assert search_text.cost(searched()) == (
        "greedy, some of 70 sets: 26 layer evaluations (one layer, one batch) in 1.5 s; all of them: 200"
    )


def test_a_page_goes_on_with_the_scores_where_they_are_in_a_file():
    prune = "layerdrop-prune full.pt --output small.pt --decoder 0,2 --card"
    without = Namespace(**{**vars(ARGS), "json": None})
    pruned = Namespace(**{**vars(ARGS), "model_overrides": "{'encoder_layers_to_keep': '0'}"})
    for page, report in ((search_page, searched()), (budget_page, within_budget())):
        texts = [page.sections(args, report)["Go on"][0].text for args in (ARGS, without, pruned)]
        assert [text.splitlines()[0] for text in texts] == [f"{prune} --scores found.json", prune, prune]


def test_warnings_stand_above_the_table_of_a_sweep():
    measured = Measured(10, 2.0, 50.0, None, 100.0, None)
    of = Measurements(2, 9, "cpu", None, rows("a", ["encoder"], [Point("full", ((0,),))], {((0,),): measured}))
    report = SweepReport({"a": "a.pt"}, "valid", 3, of, None, WARNINGS)
    assert sweep_page.sections(ARGS, report)["Depths, on valid"][0] == "Warning: there is nothing to choose by."
