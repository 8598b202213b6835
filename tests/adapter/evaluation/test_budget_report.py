"""The report of a search within a budget: what is said of speed that is missed, and of differences that are noise."""

from __future__ import annotations

import numpy
import pytest
from shared.evaluating import load

from layerdrop_plugin.budget import parse
from layerdrop_plugin.cost_model import CostModel
from layerdrop_plugin.fairseq_adapter.evaluation import budget_report, budget_search, part_costs, split_costs
from layerdrop_plugin.fairseq_adapter.evaluation import search as layer_search
from layerdrop_plugin.fairseq_adapter.evaluation.running_cost import Timed


@pytest.fixture
def report(full, data, monkeypatch):
    """A report on a translation model whose times, tokens and halves of the data are made up."""

    def make(kind, value, times, tokens, disagree=0.0):
        model = load(full["transformer"], data["transformer"])
        batches = model.batches("valid")[:1]
        sentences = part_costs.sentences_in(batches)

        def in_use(evaluation, candidates, timed):
            return [Timed([tokens[sum(map(len, c))]], [sentences * times[sum(map(len, c))]]) for c in candidates]

        def measure(candidates, numbers):
            losses = [10 - sum(map(len, c)) - sum(map(sum, c)) / 100 for c in candidates]
            return numpy.array(
                [[[loss, 1, 0], [loss + disagree * len(c[0]), 1, 0]] for loss, c in zip(losses, candidates)]
            )

        monkeypatch.setattr(part_costs, "in_use", in_use)
        monkeypatch.setattr(part_costs, "seconds", lambda *args, **kwargs: [0.018, 0.009])
        whole = layer_search.plan(model, None, [1], "greedy", "loss", 1)
        costs = split_costs.costs(model, whole, CostModel(0.002, (0.001, 0.003)), None)
        asked = budget_search.Asked(model, parse(kind, value), f"--{kind}", whole, "exhaustive", 1, costs)
        scoring = layer_search.Scoring(model, whole, batches)
        return budget_report.report(asked, budget_search.run(asked, measure), scoring, {})

    return make


TIMES = {8: 0.018, 5: 0.009, 4: 0.0085, 3: 0.0083, 2: 0.006}


def test_the_speed_is_missed(report):
    found = report("speedup", "1.95", {**TIMES, 5: 0.01}, {**dict.fromkeys(TIMES, 100), 5: 111})
    assert (found.chosen.split, found.chosen.promised_speedup, found.same_length) == ("4+1", pytest.approx(2.0), 2.0)
    assert found.chosen.speedup == pytest.approx(1.8)
    assert found.off == pytest.approx(0.0)
    assert found.warnings[0] == (
        "--speedup 1.95 is missed when measured, with 1.80, as its translations have 11% more tokens; ask for more."
    )
    found = report("latency", "9.1ms", {**TIMES, 5: 0.01}, dict.fromkeys(TIMES, 100))
    assert found.warnings[0] == "--latency 9.1ms is missed when measured, with 10 ms; ask for more."


def test_a_few_percent_are_not_worth_a_word(report):
    assert report("speedup", "1.95", {**TIMES, 5: 0.0094}, dict.fromkeys(TIMES, 100)).warnings == []


def test_noise(report):
    (warning,) = report("speedup", "1.95", TIMES, dict.fromkeys(TIMES, 100), disagree=2.0).warnings
    assert warning == (
        "1 of 1 other split differs from the recommended one by noise, as the halves of the data tell; "
        "the faster may do."
    )


def test_at_chance_there_is_nothing_to_choose_by(report, monkeypatch):
    """It is said in place of what is noise, and counts full depth, both splits and Every Other."""
    scored = []
    monkeypatch.setattr(budget_report, "at_chance", lambda scoring, ranked: scored.extend(ranked) or ["at chance."])
    found = report("speedup", "1.95", TIMES, dict.fromkeys(TIMES, 100), disagree=2.0)
    assert found.warnings == ["at chance."]
    assert sorted({sum(map(len, one.candidate)) for one in scored}) == [2, 3, 5, 8]  # 1+1, 1+2, 4+1, 4+4
