"""What layerdrop-search refuses, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess

import pytest
from fork_server import programs
from shared.searching import arguments, folder, inside  # noqa: F401  fixtures


def test_output_that_nobody_reads(arguments, folder, fork_server):
    """As in `... | head -1`: quiet, and the files are written."""
    program = [*programs.ASK, "-W", "ignore", programs.BIN / "layerdrop-search"]
    argv = [*program, *arguments("transformer_lm"), "--json", "a.json"]
    process = subprocess.Popen([str(w) for w in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait(timeout=60) == 141
    assert "Broken" not in said
    assert "Traceback" not in said
    assert os.listdir() == ["a.json"]


AMONG = "--keep, --speedup, --latency, --params, --size, --max-loss-increase"

SAME = "`{}` must be another file than --{}, but is {} too."


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--keep", "0"], "argument --keep: must be a whole number of at least 1, but is '0' instead."),
        (["--keep", "2,"], "argument --keep: must be a whole number of at least 1, but is '' instead."),
        (["--keep", "half"], "argument --keep: must be a whole number of at least 1, but is 'half' instead."),
        (["--keep", "5"], "`--keep` must be at most the decoder's depth, 4, but is 5 instead."),
        (["--keep", "2,2"], "`--keep` must be one number for the decoder, but is '2+2'."),
        (["--keep", "2+"], "argument --keep: must be a whole number of at least 1, but is '' instead."),
        (["--stack", "encoder"], "`--stack` must be one that can be pruned, decoder, but is 'encoder' instead."),
        (["--stack", "middle"], "argument --stack: invalid choice: 'middle' (choose from *)"),
        (["--strategy", "best"], "argument --strategy: invalid choice: 'best' (choose from *)"),
        (["--metric", "bleu"], "argument --metric: invalid choice: 'bleu' (choose from *)"),
        (
            ["--metric", "accuracy"],
            "`--metric accuracy` must go with a task that classifies sentences, but this one does not.",
        ),
        (["--num-batches", "0"], "argument --num-batches: must be a whole number of at least 1, but is '0' instead."),
        (["--gen-subset", "dev"], "`--gen-subset` must be a split of the data, but DATA has no 'dev'."),
        (["--report-subset", "dev"], "`--report-subset` must be a split of the data, but DATA has no 'dev'."),
        (["--report-subset", "valid"], "`--report-subset` must be another split than is searched, but is 'valid'."),
        (["--bleu"], "`--bleu` must be for a translation model, but this one has a stack of decoder layers only."),
        (["--path", "no.pt"], "`--path` must be the file of a checkpoint, but no.pt does not exist."),
        (["--path", "a.pt:b.pt"], "`--path` must be one checkpoint, but is 'a.pt:b.pt' instead."),
        (["--model-overrides", "3"], "`--model-overrides` must be a Python dict, but is '3' instead."),
        (
            ["--resume", "--state", "no"],
            "`--resume` must find the state of an interrupted search, but no does not exist.",
        ),
        (["--resume", "--state", "old"], "`--state` must be a file that a search keeps its scores in, but old is not."),
        (["--state", "old"], "`--state` must be a file that a search keeps its scores in, but old is not."),
        (["--state", "old", "--force"], "`--state` must be a file that a search keeps its scores in, but old is not."),
        (["--state", "."], "`--state` must name a file, no folder or device, but is '.' instead."),
        (["--state", "no/state"], "`--state` must be in a folder that exists, but is 'no/state' instead."),
        (["--json", "old"], "`--json` must be a new file, but old exists; --force replaces it."),
        (["--csv", "old"], "`--csv` must be a new file, but old exists; --force replaces it."),
        (["--json", "no/file"], "`--json` must be in a folder that exists, but is 'no/file' instead."),
        (["--json", "old", "--path", "old", "--force"], "`--json` must be another file than old, but is old."),
        (["--json", "a", "--csv", "./a"], SAME.format("--csv", "json", "./a")),
        (["--json", "a", "--state", "./a"], SAME.format("--state", "json", "./a")),
        (["--csv", "a", "--state", "a"], SAME.format("--state", "csv", "a")),
        (["--max-tokens", "0"], "`--max-tokens` must be at least 1, but is 0 instead."),
        (["--fp16"], "`--fp16` must go with a GPU, but the model runs on the CPU."),
        (["--kept", "2"], "unrecognized arguments: --kept 2; did you mean '--keep'?"),
        (["--num-batch", "2"], "unrecognized arguments: --num-batch 2; did you mean '--num-batches'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_line_for_what_is_wrong(arguments, data, capsys, folder, options, said):
    (folder / "old").write_text("old")
    found = inside(capsys, *arguments("transformer_lm"), *options, status=2)
    assert found.out == ""
    line = re.sub(r"\(choose from .*\)", "(choose from *)", found.err)
    assert line == f"layerdrop-search: error: {said}\n".replace("DATA", str(data["transformer_lm"]))
    assert os.listdir() == ["old"]
    assert (folder / "old").read_text() == "old"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "the following arguments are required: --path"),
        (["DATA", "--path", "a.pt"], f"one of {AMONG} must be given, but none is."),
        (["DATA", "--keep", "2"], "the following arguments are required: --path"),
    ],
)
def test_options_that_are_missing(capsys, argv, said):
    assert inside(capsys, *argv, status=2).err == f"layerdrop-search: error: {said}\n"


def test_no_data(arguments, capsys, folder):
    said = inside(capsys, *arguments("transformer_lm")[1:], status=2).err
    assert said == "layerdrop-search: error: the following arguments are required: data\n"


def test_a_folder_that_is_read_only(arguments, capsys, folder, monkeypatch):
    """Said at once: the state could not be kept."""
    monkeypatch.setattr(os, "access", lambda path, mode: not (path == "." and mode == os.W_OK))  # root may write
    said = inside(capsys, *arguments("transformer_lm"), status=2).err
    assert re.fullmatch(
        r"layerdrop-search: error: `--state` must be in a folder that can be written, "
        r"but is 'layerdrop-search-[0-9a-f]{8}\.json' instead\.\n",
        said,
    )


def test_the_handlers_of_signals_are_given_back(arguments, capsys, folder):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    inside(capsys, *arguments("transformer_lm"))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_help_has_examples(capsys):
    examples = inside(capsys, "--help", status=0).out.split("\nexamples:\n")[1].splitlines()
    assert len(examples) == 5
    assert all("--path" in line and ("--keep" in line or "--speedup" in line) for line in examples)
