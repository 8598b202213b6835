"""Progress without a terminal: a line a minute."""

from __future__ import annotations

import pytest

from layerdrop_plugin.cli import progress


def test_a_line_each_minute(capsys):
    now = iter([0, 30, 59, 61, 100, 121, 200])
    with progress.Lines(10, lambda: next(now)) as lines:
        for _ in range(4):
            lines.update(1)
        lines.update(4)
        lines.update(2)  # done: the results say so
    assert capsys.readouterr().err.splitlines() == [
        "progress: 30% after 1 min, about 2 min left",  # 61 s for 3, so 142 s for 7
        "progress: 80% after 2 min, about 30 s left",
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_on_a_terminal_only(terminal, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    with progress.progress(3, "batch") as bar:
        bar.update(1)
    assert isinstance(bar, progress.Lines) != terminal


def test_quiet(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    for quiet, lines in ((True, 0), (False, 1)):
        with progress.progress(3, "batch", quiet) as bar:
            bar.update(1)
        assert len(capsys.readouterr().err.splitlines()) == lines
