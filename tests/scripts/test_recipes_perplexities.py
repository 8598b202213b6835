"""scripts/recipes/perplexities.py: what fairseq-eval-lm printed, as a table."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location(  # scripts/demo has another of this name
    "recipes_perplexities", Path(__file__).parents[2] / "scripts" / "recipes" / "perplexities.py"
)
perplexities = importlib.util.module_from_spec(spec)
spec.loader.exec_module(perplexities)

LOG = """\
num. model params: 2,000
Evaluated 1,234 tokens in 0.1s ({} tokens/s)
Loss (base 2): 4.0000, Perplexity: {}
"""


@pytest.fixture
def printed(tmp_path, monkeypatch, capsys):
    """A function from logs by name to the table of them."""

    def run(**logs):
        for name, log in logs.items():
            (tmp_path / f"{name.replace('_', '-')}.txt").write_text(log)
        monkeypatch.setattr(sys, "argv", ["perplexities.py", str(tmp_path), "--context-window", "32"])
        perplexities.main()
        return capsys.readouterr().out.splitlines()

    return run


@pytest.mark.parametrize(("found", "shown"), [("16.125", "16.12"), ("nan", "nan"), ("inf", "inf")])
def test_a_row(found, shown, printed):
    table = printed(valid_full=LOG.format("10.00", "17.50"), test_full=LOG.format("250.00", found))
    assert table[:3] == [
        "| layers | parameters | valid | test | tokens/s |",
        "|---|---|---|---|---|",
        f"| full | 2,000 | 17.50 | {shown} | 250 |",
    ]


@pytest.mark.parametrize("logs", [{}, {"test_full": LOG.partition("Loss")[0].format("1.00")}])
def test_a_log_that_is_missing_or_broken_off_is_named(logs, printed):
    with pytest.raises(SystemExit) as refused:
        printed(valid_full=LOG.format("10.00", "17.50"), **logs)
    assert str(refused.value) == (
        r"perplexities.py: test-full.txt must hold what fairseq-eval-lm prints, but has no 'Perplexity: (\S+)'."
    )


def test_nothing_evaluated(printed):
    with pytest.raises(SystemExit, match=r"valid-full\.txt must have evaluated tokens, but evaluated none\.$"):
        printed(valid_full=LOG.replace("1,234", "0"))
