"""scripts/demo.sh from data to plot, with a handful of updates."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.recipe, pytest.mark.slow]

DEMO = Path(__file__).parents[2] / "scripts" / "demo.sh"
TINY = {"UPDATES": "10", "RATE": "0.5", "PAIRS": "1000", "DEPTHS": "3 1", "LM_DEPTHS": "6 3"}


@pytest.fixture(scope="module")
def demo(path):
    """A function that runs the demonstration in the environment of the tests."""

    def run(folder, *options, **settings):
        env = {**os.environ, **TINY, "DEMO_DIR": str(folder), "SETUP": "0", "PATH": path, **settings}
        argv = ["bash", str(DEMO), *options]
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=600)

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("a demo")


@pytest.fixture(scope="module")
def first(demo, folder):
    process = demo(folder)
    assert process.returncode == 0, process.stderr[-4000:]
    return process


def test_it_ends_with_a_table_a_plot_and_what_to_try_next(first, folder):
    translation, _, lm = first.stdout.partition("language model")
    rows, lm = ([ln.split() for ln in t.splitlines() if ln.startswith("with LayerDrop")] for t in (translation, lm))
    half, least = (int(row[3].replace(",", "")) for row in rows)
    assert [row[2] for row in rows] == ["3+3", "1+1"]
    assert half - least == 2 * (132_480 + 198_784)  # an encoder and a decoder layer of width 128, FFN 256
    assert "sacrebleu nrefs:1|" in first.stdout
    assert [row[2] for row in lm] == ["6", "3"]
    assert int(lm[0][3].replace(",", "")) - int(lm[1][3].replace(",", "")) == 3 * 132_480
    assert "Try next" in first.stdout
    assert (folder / "scores.png").stat().st_size > 10_000


def test_how_long_it_takes_is_said_before_it_starts(first):
    line = "demo: takes about 1 min on two idle cores, and some more for the set-up the first time"
    assert first.stderr.splitlines()[0] == line


def test_progress_is_shown_while_it_trains(first):
    assert "of 10 updates, loss" in first.stderr


def test_a_second_run_reuses_everything_and_options_add_other_models(demo, first, folder):
    again = demo(folder, "--compare")
    assert again.returncode == 0, again.stderr[-4000:]
    assert "train 6+6 layers with LayerDrop: there already" in again.stderr
    table = again.stdout.partition("language model")[0].splitlines()
    names = [name for name in ("with LayerDrop", "at each depth", "without LayerDrop") for _ in range(2)]
    assert [line[:18].strip() for line in table if re.match("with|at ", line)] == names
    log = (folder / "log" / "train-depths.txt").read_text()
    assert re.findall(r"depth (\S+) is trained", log) == ["6+6", "3+3", "1+1"]
    other = demo(folder, DEPTHS="6 3")
    assert other.returncode == 2
    assert "was made with other settings" in other.stderr.splitlines()[-1]


def test_other_settings_do_not_reuse_it(demo, first, folder):
    other = demo(folder, UPDATES="20")
    assert other.returncode == 2
    assert "was made with other settings" in other.stderr.splitlines()[-1]


def test_when_it_is_stopped_both_trainings_stop_with_it(first, folder, path):
    (folder / "done" / "train-with").unlink()
    (folder / "done" / "train-depths").unlink()
    env = {**os.environ, **TINY, "DEMO_DIR": str(folder), "SETUP": "0", "PATH": path}
    argv = ["bash", str(DEMO)]
    process = subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while "at each depth" not in (line := process.stderr.readline()):
        assert line, "it ended by itself"
    process.terminate()
    rest = process.stderr.read()  # as long as anybody has it open
    assert process.wait() == 130
    assert rest.splitlines()[-1] == "demo: stopped; the same command goes on from here"
    assert not (folder / "done" / "train-with").exists()


def test_a_failed_step_is_named(demo, tmp_path):
    """In .venv, after scripts/setup.sh has looked at it."""
    process = demo(tmp_path, PAIRS="10", SETUP="", PATH=os.environ["PATH"])
    assert process.returncode == 1
    assert process.stderr.splitlines()[1].startswith("setup: ")
    assert "step 'data' failed" in process.stderr.splitlines()[-1]


def test_an_unknown_option_is_refused(demo, tmp_path):
    process = demo(tmp_path / "new", "--comprae")
    assert (process.returncode, (tmp_path / "new").exists()) == (2, False)
    assert process.stderr == "demo.sh: the options are --compare and --help, but one is '--comprae'.\n"


def test_help_costs_nothing(demo, tmp_path):
    process = demo(tmp_path / "new", "--help")
    assert (process.returncode, (tmp_path / "new").exists()) == (0, False)
    assert "--compare" in process.stdout
