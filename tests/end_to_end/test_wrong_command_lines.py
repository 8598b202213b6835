"""What a user may get wrong on a command line: one line on standard error, exit status 2, and nothing left behind."""

import importlib
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest

ROWS = runpy.run_path(str(Path(__file__).parents[1] / "wrong_command_lines.py"))["ROWS"]
NINES = "9" * 4000
VALUES = {
    "nines": NINES,
    "cut": f"{NINES[:98]}...{NINES[:98]}",  # as a message has it
    "quoted_cut": f"'{NINES[:97]}...{NINES[:97]}'",
    "escapes": "\x1b[2J",
    "not_utf8": "a\udcff.pt",
}


@pytest.fixture(scope="module")
def names(full, data, tmp_path_factory):
    """What stands for each name in braces."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "empty_folder").mkdir()
    (folder / "brackets.json").write_text("[" * 100_000)
    shutil.copy(full["transformer_lm"], folder / "checkpoint_last-shard0.pt")
    short = {"translation": "transformer", "lm": "transformer_lm", "roberta": "roberta"}
    return {
        **VALUES,
        **{name: full[family] for name, family in short.items()},
        **{f"{name}_data": data[family] for name, family in short.items()},
        "empty_folder": folder / "empty_folder",
        "missing": folder / "missing",
        "brackets": folder / "brackets.json",
        "shard": folder / "checkpoint_last-shard0.pt",
    }


def filled(text, names):
    return re.sub(r"\{(\w+)\}", lambda match: str(names.get(match[1], match[0])), text)


def run(command, argv, monkeypatch):
    """Run a command in this process, as its console script does."""
    monkeypatch.setattr(sys, "argv", [command, *argv])
    kind, _, name = command.partition("-")
    if kind == "layerdrop":
        importlib.import_module(f"layerdrop_plugin.cli.{name}").main()
    else:
        importlib.import_module(f"fairseq_cli.{name.replace('-', '_')}").cli_main()


@pytest.mark.parametrize(("command", "argv", "expected"), ROWS, ids=[" ".join(row[:2]) for row in ROWS])
def test_one_line_and_nothing_left_behind(command, argv, expected, names, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [filled(word, names) for word in shlex.split(argv)]
    if command.startswith("fairseq-"):
        words += ["--user-dir", "layerdrop_plugin"]
    with pytest.raises(SystemExit) as end:
        run(command, words, monkeypatch)
    written = capsys.readouterr()
    assert written.err == f"{command}: error: {filled(expected, names)}\n"
    assert end.value.code == 2
    assert "Traceback" not in written.out
    assert list(tmp_path.iterdir()) == []
