"""What all commands share: --version, --quiet, where checkpoint and output stand, and `layerdrop`, which lists them."""

from __future__ import annotations

import importlib
import re
import runpy
import sys
from pathlib import Path

import pytest

from layerdrop_plugin import __version__
from layerdrop_plugin.cli import average, describe, export, prune, search, sweep, umbrella
from layerdrop_plugin.cli.command import needing_fairseq, parse_evaluation, parse_with_checkpoint, progress

ALL = (average, describe, export, prune, search, sweep, umbrella)
TO = ["--to", "ctranslate2"]


def ended(capsys, main, *argv):
    with pytest.raises(SystemExit) as end:
        main(argv)
    return (end.value.code, *capsys.readouterr())


@pytest.mark.parametrize("module", ALL)
def test_version(module, capsys):
    name = module.__name__.rpartition(".")[2]
    name = "layerdrop" if name == "umbrella" else f"layerdrop-{name}"
    assert ended(capsys, module.main, "--version") == (0, f"{name} (layerdrop_plugin) {__version__}\n", "")


@pytest.mark.parametrize("module", ALL)
def test_python_starts_it_as_a_module(module, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, module.__name__)
    monkeypatch.setattr(sys, "argv", ["a.py", "--version"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module(module.__name__, run_name="__main__")
    assert end.value.code == 0
    assert capsys.readouterr().out.endswith(f" (layerdrop_plugin) {__version__}\n")


@pytest.mark.parametrize(
    "argv",
    [
        ["a.pt", "-o", "out"],
        ["-o", "out", "a.pt"],
        ["a.pt", "out"],
        ["a.pt", "--encoder", "0", "out"],
        ["--path", "a.pt", "--output", "out"],
        ["--path", "a.pt", "out"],
        ["out", "--path", "a.pt"],
    ],
)
@pytest.mark.parametrize("module", [export, prune])
def test_checkpoint_and_output(module, argv):
    args = parse_with_checkpoint(module._parser(), [*argv, *(TO if module is export else [])])
    assert (args.checkpoint, args.output) == ("a.pt", "out")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "the following arguments are required: CKPT, -o/--output"),
        (["-o", "out"], "the following arguments are required: CKPT"),
        (["a.pt", "out", "more"], "unrecognized arguments: more"),
        (["a.pt", "-o", "out", "more"], "unrecognized arguments: more"),
        (["--path", "a.pt", "-o", "out", "more"], "unrecognized arguments: more"),
        (["a.pt", "-o", "out", "--forse"], "unrecognized arguments: --forse; did you mean '--force'?"),
        (["a.pt", "-o", "out", "--decoders=0"], "unrecognized arguments: --decoders=0; did you mean '--decoder'?"),
        (["a.pt", "-o", "out", "--beam", "5"], "unrecognized arguments: --beam 5"),
    ],
)
def test_too_few_and_too_many(argv, said, capsys):
    assert ended(capsys, prune.main, *argv) == (2, "", f"layerdrop-prune: error: {said}\n")


@pytest.mark.parametrize(
    ("argv", "path", "others"),
    [
        (["data", "--path", "a.pt", "--beam", "5"], "a.pt", ["data", "--beam", "5"]),
        (["data", "a.pt", "--beam", "5"], "a.pt", ["data", "--beam", "5"]),
        (["data", "a.pt", "--path=b.pt"], "b.pt", ["data", "a.pt"]),  # fairseq's parser refuses it
    ],
)
@pytest.mark.parametrize("module", [search, sweep])
def test_data_and_checkpoint(module, argv, path, others):
    keep = ["--keep", "2"] if module is search else []
    args, left = parse_evaluation(module._parser(), [*argv, *keep])
    assert (args.path, left) == (path, others)


@pytest.mark.parametrize("argv", [["a.pt", "b.pt"], ["--path", "a.pt", "b.pt"], ["b.pt", "--path", "a.pt"]])
def test_describe_takes_the_names_of_fairseqs_commands(argv, monkeypatch):
    taken = []
    monkeypatch.setattr(describe.results, "check", lambda args, *paths: taken.extend(paths) or sys.exit())
    with pytest.raises(SystemExit):
        describe.main(argv)
    assert sorted(taken) == ["a.pt", "b.pt"]


@pytest.mark.parametrize("argv", [["--inputs", "a.pt", "b.pt"], ["a.pt", "b.pt"], ["--path", "a.pt", "b.pt"]])
def test_average_takes_them_without_a_name_too(argv, capsys):
    line = "layerdrop-average: error: `--inputs` must be the file of a checkpoint, but a.pt does not exist.\n"
    assert ended(capsys, average.main, *argv, "-o", "out.pt") == (2, "", line)


@pytest.mark.parametrize(
    ("version", "way"),
    [
        ((3, 11), 'pip install "layerdrop_plugin[fairseq]"'),
        ((3, 10), 'pip install "pip<24.1" && pip install fairseq==0.12.2 requests'),
    ],
)
@pytest.mark.parametrize("lacking", ["fairseq", "omegaconf"])
def test_without_fairseq(version, way, lacking, monkeypatch):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(ValueError) as error, needing_fairseq():
        raise ModuleNotFoundError(name=lacking)
    assert str(error.value) == f"fairseq must be installed for this: {way}"


def test_quiet_shows_neither_warnings_nor_progress(capsys):
    parser = prune._parser()
    parser.parse_args(["a.pt", "-q"])
    parser.warn("this")
    with progress(5, "file", quiet=True) as bar:
        assert bar.disable
    assert capsys.readouterr() == ("", "")
    parser.parse_args(["a.pt"])
    parser.warn("this")
    assert capsys.readouterr().err == "layerdrop-prune: warning: this\n"


def test_layerdrop_lists_the_commands(capsys):
    umbrella.main([])
    shown = capsys.readouterr().out
    assert ended(capsys, umbrella.main, "--help") == (0, shown, "")
    assert re.findall("^  ([a-z]+) ", shown, re.MULTILINE)[:6] == list(umbrella.COMMANDS)
    for name in umbrella.COMMANDS:
        importlib.import_module(f"layerdrop_plugin.cli.{name}")


@pytest.mark.parametrize(
    ("argv", "handed"),
    [
        (["-q", "search", "data", "a.pt", "--keep", "2"], ["data", "a.pt", "-q", "--keep", "2"]),
        (["--quiet", "-q", "search"], ["--quiet", "-q"]),
        (["search", "data", "-q"], ["data", "-q"]),
    ],
)
def test_layerdrop_takes_quiet_before_the_command(argv, handed, monkeypatch):
    taken = []
    monkeypatch.setattr(search, "main", taken.append)
    umbrella.main(argv)
    assert taken == [handed]


def test_layerdrop_starts_one(capsys):
    line = "layerdrop-prune: error: the following arguments are required: -o/--output\n"
    assert ended(capsys, umbrella.main, "prune", "a.pt") == (2, "", line)


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("serch", "; did you mean 'search'?"),
        ("x", "; there are average, describe, export, prune, search, sweep."),
    ],
)
def test_layerdrop_refuses_others(name, end, capsys):
    line = f"layerdrop: error: `COMMAND` must be one of layerdrop's, but is {name!r} instead{end}\n"
    assert ended(capsys, umbrella.main, name) == (2, "", line)


def test_the_lines_for_completion_know_all_commands():
    """Those of docs/how-to/install.md: bash's are printed from each command's parser."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "install.md").read_text(encoding="utf-8")
    lists = re.findall(r'(?:in |-W "|command:\(|layerdrop-\{)(average[a-z ,]+)', page)
    assert [re.split("[ ,]", names.strip()) for names in lists] == [list(umbrella.COMMANDS)] * 4
    assert "layerdrop_plugin.cli.$name._parser" in page
    for name in umbrella.COMMANDS:
        assert importlib.import_module(f"layerdrop_plugin.cli.{name}")._parser().prog == f"layerdrop-{name}"
