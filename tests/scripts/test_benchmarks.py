"""The benchmarks' arithmetic and tables, and how a measured process waits for its turn."""

from __future__ import annotations

import io
import re
import sys
from argparse import Namespace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "benchmarks"))
import fairseq_side
import report
import speed
import workers


@pytest.mark.parametrize(
    ("count", "layers", "rate", "expected"),
    [
        (1, 16, 0.2, 12.8),  # one worker: the mean
        (2, 1, 0.5, 0.75),  # two coins, at least one of them up
        (2, 2, 0.5, 1.375),  # at most 0, 1 layers: 1/16, 9/16 of the time; 15/16 + 7/16
        (3, 1, 0.2, 0.992),  # 1 - 0.2 ** 3
        (10**6, 3, 0.5, 3.0),
        (2, 3, 0.0, 3.0),
    ],
)
def test_layers_of_the_slowest_worker(count, layers, rate, expected):
    assert workers.most_layers(count, layers, rate) == pytest.approx(expected, abs=1e-12)


def test_kinds_are_compared_at_their_expected_numbers_of_layers():
    # Two workers, two layers, p = 0.5: a step of 1 s and 1 s per layer takes 2 s on average, or 2.375 s.
    ran = {"same": (0, 2), "independent": (1, 2)}
    steps = [workers.Step(0.5, kind, r, n, 1.0 + n) for r in (0, 1) for kind in ran for n in ran[kind]]
    assert workers.compare(steps, 2, 0.5, 2) == ("2000.0", "2375.0", "1.188 (1.188 to 1.188)")


def test_numbers_of_workers_that_were_not_measured_stay_empty():
    assert workers.compare([], 512, 0.5, 16) == ("", "", "")


@pytest.mark.parametrize(("cores", "said"), [(2, "Here 4 workers share 2 cores: "), (4, None)])
def test_shared_cores_are_told(monkeypatch, cores, said):
    monkeypatch.setattr(workers, "cores_here", lambda: cores)
    args = Namespace(layers=16, width=8, tokens=64, rounds=2, steps=3, processes=[2, 4])
    *first, last = workers.explanation(args, 0.01, 0.002).splitlines()
    assert "Predicted: 10.0 ms + 2.00 ms per layer" in "\n".join((*first, last))
    assert last.startswith(said) if said else "share" not in last


def test_a_line_through_steps_that_all_ran_as_many_layers_is_flat():
    assert report.straight_line([4, 4], [1.0, 2.0]) == (1.5, 0.0)


def test_time_is_moved_to_the_expected_number_of_layers():
    assert report.had_they_run(2, layers=[1, 3, 2], seconds=[2.0, 4.0, 9.0], per_layer=1.0) == 3.0


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ([1.0], [2.0], "0.500"),
        ([1.0, 3.0, 4.0, 2.0, 5.0], [1.0] * 5, "3.000 (2.000 to 4.000)"),
    ],
)
def test_ratio_is_that_of_the_rounds(first, second, text):
    assert report.ratio(first, second) == text


def test_table_is_markdown():
    assert report.table(("p", "words/s"), [(0, "1,000"), (0.5, "1,500")]).splitlines() == [
        "| p | words/s |",
        "| --- | --- |",
        "| 0 | 1,000 |",
        "| 0.5 | 1,500 |",
    ]


def test_head_names_command_processor_and_versions():
    head = report.head("Speed", "bash it.sh")
    assert head.startswith("### Speed\n\n`bash it.sh`\n\n")
    assert f" of {report.processor(report._text('/proc/cpuinfo'))}" in head
    assert "; Python 3." in head
    assert ", torch " in head
    assert re.search(", fairseq(-fixed)? 0.12", head)


def test_processor_is_the_first_that_linux_names():
    assert (
        report.processor("processor\t: 0\nmodel name\t: A CPU: fast\nprocessor\t: 1\nmodel name\t: B\n")
        == "A CPU: fast"
    )
    assert "model" not in report.processor("")


@pytest.mark.parametrize(
    ("rate", "half", "expected"),
    [(0.0, 6.0, 1.0), (0.5, 5.0, 2.0), (0.5, 7.5, 4 / 3)],  # layers are all or half of the time
)
def test_ideal_speed_up(rate, half, expected):
    assert speed.ideal_speed_up(rate, full=10.0, half=half) == pytest.approx(expected)


def test_words_per_second_are_those_at_the_expected_number_of_layers():
    # 1 s and 1 s per layer: the first round was lucky, the second was not; both take 3 s with 2 layers.
    rounds = [[speed.Step(2.0, 1, 300)], [speed.Step(4.0, 3, 300), speed.Step(5.0, 4, 300)]]
    assert speed.words_per_second(rounds, expected=2) == pytest.approx([100.0, 100.0])


def test_half_the_layers():
    assert (speed.every_other(4), speed.every_other(5)) == ("0,2", "0,2,4")


def test_an_evaluation_has_the_batches_of_the_training():
    args = Namespace(model="--dropout 0.1 --tokens-per-sample 64 --share-it --batch-size 3")
    assert speed.batches(args) == ["--tokens-per-sample", "64", "--batch-size", "3"]


@pytest.fixture
def exits(monkeypatch):
    """`os._exit` raises SystemExit."""
    monkeypatch.setattr(fairseq_side.os, "_exit", sys.exit)


@pytest.mark.parametrize(
    ("side", "plugin", "status"), [("stock", False, 0), ("stock", True, 3), ("ours", False, 3), ("ours", True, 0)]
)
def test_a_process_that_was_the_other_side_ends_with_status_3(side, plugin, status, exits, monkeypatch):
    monkeypatch.setitem(sys.modules, "layerdrop_plugin", None)
    if not plugin:
        monkeypatch.delitem(sys.modules, "layerdrop_plugin")
    with pytest.raises(SystemExit) as end:
        fairseq_side.leave(side)
    assert end.value.code == status


def test_a_process_takes_as_many_steps_as_it_is_told_and_answers_before_it_waits(exits, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("2\n1\n"))
    answers = io.StringIO()
    turns = fairseq_side.Turns(answers, "stock")
    layer = turns.counted(lambda x: x + 1)
    step = turns.timed(lambda words, layers: [layer(0) for _ in range(layers)], lambda words: words)
    assert step(10, layers=3) == [1, 1, 1]
    step(20, layers=0)
    assert answers.getvalue() == ""
    step(30, layers=1)
    with pytest.raises(SystemExit):
        step(40, layers=1)
    first, second = (fairseq_side.json.loads(line) for line in answers.getvalue().splitlines())
    assert [step[1:] for step in first + second] == [[3, 10], [0, 20], [1, 30]]
    assert all(0 < step[0] < 5 for step in first + second)
