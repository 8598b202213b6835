"""layerdrop-search that is interrupted, resumed, or finds the state of another search."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time

import pytest
from fork_server import programs
from shared.searching import SLOW, arguments, folder, inside, read, table_of, translation, without_cost  # noqa: F401  fixtures

KEEPING_ITS_STATE = """
import time
from layerdrop_plugin import measuring
from layerdrop_plugin.cli import search

def save_after_each_score(self):
    time.sleep(0.01)  # 864 scores take long enough to be interrupted three times, on a fast machine too
    if time.monotonic() - self._saved > 0.05:
        self.save()

measuring.Measuring._save_now_and_then = save_after_each_score
search.main()
"""


def begin(argv, folder):
    """Start a search that keeps its state all the time."""
    line = [*programs.ASK, "-W", "ignore", "-c", KEEPING_ITS_STATE, *map(str, argv)]
    pipe = subprocess.PIPE
    return subprocess.Popen(line, cwd=folder, stdout=pipe, stderr=pipe, text=True, preexec_fn=heed_ctrl_c)


def heed_ctrl_c():
    """Undo what a shell does to a command that it starts in the background: it has Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def progress_in(path):
    """How many scores a state holds; 0, where there is none."""
    try:
        with open(path) as file:
            (call,) = json.load(file)["calls"]
    except FileNotFoundError:
        return 0
    return 36 * call["done"] + len(call["partial"])


def wait_for_progress(process, path, before):
    deadline = time.monotonic() + 300
    while progress_in(path) < before + 60:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def end_by(process, number, path):
    """Send a signal, and again where Python lost it: one that comes in a destructor is only noted on standard error."""
    deadline = time.monotonic() + 300
    heard = -60
    while process.poll() is None:
        assert time.monotonic() < deadline, f"{number!r} has no effect"
        if progress_in(path) >= heard + 60:  # it goes on scoring
            process.send_signal(number)
            heard = progress_in(path)
        time.sleep(0.02)
    return process.communicate()


@pytest.mark.slow
def test_interrupted_by_every_signal_and_resumed(translation, full, data, command, tmp_path):
    """Ctrl-C, kill -9 and SIGTERM one after another; what the last process finds is what one alone does."""
    argv = [data["transformer"], "--path", full["transformer"], *SLOW, "--strategy", "exhaustive"]
    argv += ["--report-subset", "test", "--json", "found.json", "--csv", "found.csv"]
    done, resume = 0, []
    for number in (signal.SIGINT, signal.SIGKILL, signal.SIGTERM):
        process = begin([*argv, *resume], tmp_path)
        if not resume:
            path = tmp_path / "none yet"
            while not path.exists():
                path = next(tmp_path.glob("layerdrop-search-*.json"), path)
                assert process.poll() is None, process.communicate()
                time.sleep(0.02)
        wait_for_progress(process, path, done)
        out, err = end_by(process, number, path)
        assert progress_in(path) >= done + 60
        done, resume = progress_in(path), ["--resume"]
        assert sorted(file for file in os.listdir(tmp_path) if not file.endswith(".tmp")) == [path.name]
        if number is signal.SIGKILL:
            assert (process.returncode, out) == (-9, "")
            continue
        assert process.returncode == 130
        assert err.splitlines()[-1] == f"layerdrop-search: interrupted; --resume goes on from {path.name}"
        assert "Traceback" not in err
        first, second = out.splitlines()
        assert re.fullmatch(
            r"best so far, 2 encoder layers and 2 decoder layers: loss \d\.\d{4}, perplexity \d+\.\d\d", first
        )
        layers = r"'\d,\d'"
        overrides = rf"\{{'encoder_layers_to_keep': {layers}, 'decoder_layers_to_keep': {layers}\}}"
        assert re.fullmatch(f'--model-overrides "{overrides}"', second)
    assert done < 36 * 24
    process = command("layerdrop-search", *argv, "--resume", cwd=tmp_path)
    expected, folder = translation
    assert without_cost(read(tmp_path / "found.json")) == without_cost(read(folder / "found.json"))
    assert (tmp_path / "found.csv").read_bytes() == (folder / "found.csv").read_bytes()
    assert table_of(process.stdout) == table_of(expected.stdout)
    again = read(tmp_path / "found.json")["cost"]["layer_evaluations"] - 24 * 63
    assert 0 <= again <= 3 * 4  # of what was done, a set's four layers at each interruption
    assert not path.exists()


def interrupt(monkeypatch, after):
    """Press Ctrl-C in this process after some scores."""
    from layerdrop_plugin.fairseq_adapter.evaluation import search as layer_search

    scored, score = [], layer_search.Scoring.__call__

    def until(self, batch, candidates):
        for found in score(self, batch, candidates):
            if len(scored) == after:
                raise KeyboardInterrupt
            scored.append(batch)
            yield found

    monkeypatch.setattr(layer_search.Scoring, "__call__", until)


def test_interrupted_before_there_is_a_best(arguments, capsys, folder, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, 0)
        said = inside(capsys, *arguments("transformer_lm"), status=130)
    (state,) = os.listdir()
    assert said.out == ""
    assert said.err.splitlines()[1:] == [f"layerdrop-search: interrupted; --resume goes on from {state}"]
    inside(capsys, *arguments("transformer_lm"), "--resume", "--json", "a.json")
    assert os.listdir() == ["a.json"]
    inside(capsys, *arguments("transformer_lm"), "--json", "b.json")
    assert without_cost(read("a.json")) == without_cost(read("b.json"))


def test_greed_that_is_interrupted_says_how_many_layers_are_left(arguments, capsys, folder, monkeypatch):
    interrupt(monkeypatch, 2)
    said = inside(capsys, *arguments("transformer_lm"), "--keep", 1, "--strategy", "greedy", status=130)
    assert said.out.startswith("best so far, 3 decoder layers: loss ")


def test_interrupted_while_the_second_split_is_scored(arguments, capsys, folder, monkeypatch):
    """After the search; nothing of it is scored again."""
    argv = [*arguments("transformer_lm"), "--num-batches", 2, "--max-tokens", 64, "--report-subset", "test"]
    with monkeypatch.context() as patch:
        interrupt(patch, 12)
        said = inside(capsys, *argv, status=130)
    assert said.out.startswith("best so far, 2 decoder layers: loss ")
    interrupt(monkeypatch, 2 + 9)  # full depth; of the test split: 3 sets, 3 batches
    inside(capsys, *argv, "--resume")
    assert os.listdir() == []


def test_results_that_cannot_be_written_are_shown_and_kept(arguments, capsys, folder, monkeypatch):
    from layerdrop_plugin.cli import results

    def full_disk(*args):
        raise ValueError("`--json` must be a file that can be written, but a.json can't be: No space left on device.")

    monkeypatch.setattr(results, "write", full_disk)
    said = inside(capsys, *arguments("transformer_lm"), "--json", "a.json", status=2)
    assert said.out.splitlines()[-1].startswith("--model-overrides ")
    assert said.err.splitlines()[-1].endswith("No space left on device.")


def test_searches_side_by_side_have_states_of_their_own(arguments, capsys, folder, monkeypatch):
    """Two in one folder; to go on, each asks for its own, and another one, or other data, for none that is there."""
    family = "transformer_lm"
    with monkeypatch.context() as patch:
        interrupt(patch, 3)
        inside(capsys, *arguments(family), "--strategy", "exhaustive", status=130)
    with monkeypatch.context() as patch:
        interrupt(patch, 2)
        inside(capsys, *arguments(family), "--strategy", "greedy", status=130)
    states = os.listdir()
    assert len(states) == 2
    said = inside(capsys, *arguments(family), "--strategy", "greedy", status=2).err
    (state,) = (name for name in states if name in said)
    assert said == (
        f"layerdrop-search: error: `--state` must be a new file, but {state} is of a search to --resume; "
        "--force starts it anew.\n"
    )
    (other,) = {*states} - {state}
    for others, said in (
        (
            ["--strategy", "racing"],
            {state: "--strategy greedy, not racing", other: "--strategy exhaustive, not racing"},
        ),
        (
            ["--strategy", "greedy", "--seed", 2],
            {state: "--seed 1, not 2", other: "--seed 1, not 2 and --strategy exhaustive, not greedy"},
        ),
        (
            ["--strategy", "greedy", "--keep", 1],
            {state: "--keep 2, not 1", other: "--keep 2, not 1 and --strategy exhaustive, not greedy"},
        ),
    ):
        found = inside(capsys, *arguments(family), *others, "--resume", status=2).err
        names = sorted(said, key=lambda name: (len(said[name].split(" and ")), name))
        listed = "; ".join(f"{name} is of one with {said[name]}" for name in names)
        assert found == (
            f"layerdrop-search: error: `--resume` must go on with the same search, but {listed}: give the options of "
            "that search, or leave --resume out.\n"
        )
    assert sorted(os.listdir()) == sorted(states)
    inside(capsys, *arguments(family), "--strategy", "greedy", "--resume")
    assert len(os.listdir()) == 1
    inside(capsys, *arguments(family), "--strategy", "exhaustive", "--force")  # anew
    assert os.listdir() == []


def test_a_state_file_with_a_name_is_for_all_searches_of_a_model(arguments, capsys, folder, monkeypatch):
    """It holds what was scored before the interruption, and stays."""
    argv = [*arguments("transformer_lm"), "--strategy", "exhaustive", "--state", "mine"]
    with monkeypatch.context() as patch:
        interrupt(patch, 3)
        said = inside(capsys, *argv, status=130)
    assert said.err.splitlines()[-1] == "layerdrop-search: interrupted; --resume goes on from mine"
    before = (folder / "mine").read_bytes()
    found = inside(capsys, *argv, "--model-overrides", "{'dropout': 0.5}", "--resume", status=2).err
    assert found == (
        "layerdrop-search: error: `--state` must have scores of the same model, but mine is of a search with "
        "--model-overrides {}, not {'dropout': 0.5}: name another file; --force without --resume starts anew.\n"
    )
    assert (folder / "mine").read_bytes() == before
    inside(capsys, *argv, "--strategy", "greedy", "--resume", "--json", "a.json")
    inside(capsys, *argv, "--json", "b.json")
    inside(capsys, *argv[:-2], "--json", "c.json")
    assert sorted(os.listdir()) == ["a.json", "b.json", "c.json", "mine"]
    assert read("b.json")["ranking"] == read("c.json")["ranking"]
    assert read("a.json")["ranking"][0] in read("c.json")["ranking"]


def test_a_search_within_a_budget_goes_on(arguments, capsys, folder, monkeypatch):
    from layerdrop_plugin.fairseq_adapter.evaluation import part_costs

    monkeypatch.setattr(part_costs, "REPEATS", (1, 1))
    argv = [word for word in arguments("transformer_lm") if word not in ("--keep", 2)]
    argv += ["--max-loss-increase", "1000%", "--strategy", "exhaustive"]
    with monkeypatch.context() as patch:
        interrupt(patch, 40)  # 5 batches of all layers, of 4 sets of 3, and some of the 6 sets of 2
        said = inside(capsys, *argv, status=130)
    (state,) = os.listdir()
    assert said.err.splitlines()[-1] == f"layerdrop-search: interrupted; --resume goes on from {state}"
    assert said.out.startswith("best so far, 2 decoder layers: loss ")
    said = inside(capsys, *argv[:-4], "--max-loss-increase", "2000%", *argv[-2:], "--resume", status=2)
    assert said.err == (
        f"layerdrop-search: error: `--resume` must go on with the same search, but {state} is of one with "
        "--max-loss-increase 1000%, not --max-loss-increase 2000%: give the options of that search, or leave --resume "
        "out.\n"
    )
    inside(capsys, *argv, "--resume", "--json", "a.json")
    assert os.listdir() == ["a.json"]
    inside(capsys, *argv, "--json", "b.json")
    a, b = read("a.json"), read("b.json")
    assert a["cost"]["layer_evaluations"] <= b["cost"]["layer_evaluations"] + 2 * 4
    assert [row["loss"] for row in a["ranking"]] == [row["loss"] for row in b["ranking"]]


def test_data_that_changed_are_scored(full, data, capsys, folder, monkeypatch):
    import shutil

    shutil.copytree(data["transformer_lm"], folder / "data")
    argv = ["data", "--path", full["transformer_lm"], "--keep", 2, "--cpu", "--state", "mine"]
    inside(capsys, *argv)
    for end in ("bin", "idx"):
        shutil.copy(folder / "data" / f"test.{end}", folder / "data" / f"valid.{end}")
    inside(capsys, *argv, "--json", "a.json")
    inside(capsys, *argv[:-2], "--json", "b.json")
    assert read("a.json")["ranking"] == read("b.json")["ranking"]
