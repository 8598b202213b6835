"""The benchmark of the budgets on a tiny model: ten budgets, and what was promised of each beside what was measured."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from shared.evaluating import load

from layerdrop_plugin.fairseq_adapter.evaluation import part_costs

FOLDER = Path(__file__).parents[2] / "scripts" / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(part_costs, "REPEATS", (1, 1))
    yield importlib.import_module("budget")
    del sys.modules["budget"]


def test_ten_budgets(script, full, data, capsys, monkeypatch):
    """By made-up times, so that two layers take half as long, as promised, but one layer 10% longer than promised."""
    model = load(full["transformer_lm"], data["transformer_lm"])

    def seconds(evaluation, candidates, batches, translating):
        return [{4: 4.0, 2: 2.0, 1: 1.0}[len(kept)] for (kept,) in candidates]

    def in_use(evaluation, candidates, batches):
        layers = [len(kept) for (kept,) in candidates]
        return [part_costs.Timed([1], [1.1 if number == 1 else float(number)]) for number in layers]

    with monkeypatch.context() as patch:
        patch.setattr(part_costs, "seconds", seconds)
        parts = part_costs.measure(model, ["decoder"], model.batches("valid")[:1])
    monkeypatch.setattr(part_costs, "measure", lambda *args: parts)
    monkeypatch.setattr(part_costs, "in_use", in_use)
    monkeypatch.setattr(
        part_costs, "seconds", lambda evaluation, candidates, *rest: [float(len(kept)) for (kept,) in candidates]
    )
    script.promise(model, 1, None)
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")][2:]
    budgets = [4 ** ((i + 1) / 10.5) for i in range(10)]
    layers = [int(4 / amount) for amount in budgets]
    assert layers == [3, 3, 2, 2, 2, 1, 1, 1, 1, 1]
    shown = {3: ("1.33", "1.33", "+0.0%"), 2: ("2.00", "2.00", "+0.0%"), 1: ("4.00", "3.64", "-9.1%")}
    assert rows == [[f"{a:.2f}", str(n), *shown[n], "+0.0%"] for a, n in zip(budgets, layers)]
    assert lines[-2:] == [
        "measured: 5 of 10 budgets are within 5%",
        "measured, same way: 10 of 10 budgets are within 5%",
    ]
