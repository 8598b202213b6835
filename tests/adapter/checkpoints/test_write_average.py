"""`layerdrop-average` in this process: which checkpoints it takes, what it writes, what it refuses."""

from __future__ import annotations

import argparse
import io
import os
import sys

import pytest
import torch

from layerdrop_plugin.cli.average import main
from layerdrop_plugin.fairseq_adapter.checkpoints.write_average import choose

ORIGIN = {"decoder": {"depth": 4, "kept": [0, 2], "last": {"depth": 4, "kept": [0, 2]}}}
NUM = "`--num-epoch-checkpoints` or `--num-update-checkpoints`"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(name, *weights, **entries):
    """Save a checkpoint whose weight `w` this is, with fairseq's entries."""
    state = {
        "args": None,
        "cfg": {"model": argparse.Namespace(arch="a")},
        "model": {"w": torch.tensor(weights)},
        "optimizer_history": [{"num_updates": 7}],
        "extra_state": {"epoch": 1, "ema": {"w": torch.zeros(1)}, "ema_fp32_params": {"w": torch.zeros(1)}},
        "last_optimizer_state": {"state": {0: {"exp_avg": torch.zeros(1)}}},
    }
    torch.save({**state, **entries}, name)


def average(*argv, output="out.pt"):
    main(["--inputs", *argv, "--output", output])
    return torch.load(output)


def test_the_mean_with_what_else_the_first_holds(folder, capsys):
    save("a.pt", 1.0, 2.0, optimizer_history=[{"num_updates": 8}])
    save("b.pt", 3.0, 6.0)
    state = average("a.pt", "b.pt")
    assert capsys.readouterr() == ("out.pt: the average of a.pt, b.pt\n", "")
    assert state.pop("model")["w"].tolist() == [2.0, 4.0]
    assert state == {  # nothing of an optimizer or of a moving average
        "args": None,
        "cfg": {"model": argparse.Namespace(arch="a")},
        "optimizer_history": [{"num_updates": 8}],
        "extra_state": {"epoch": 1},
    }
    assert sorted(os.listdir()) == ["a.pt", "b.pt", "out.pt"]


def test_old_checkpoints_without_extra_state(folder):
    torch.save({"args": argparse.Namespace(arch="a"), "model": {"w": torch.ones(1)}}, "a.pt")
    state = average("a.pt")
    assert state == {"args": argparse.Namespace(arch="a"), "model": {"w": torch.ones(1)}}


def test_models_of_the_same_layers_keep_their_origin(folder):
    last = {"depth": 3, "kept": [0, 1]}
    save("a.pt", 1.0, layerdrop=ORIGIN)
    save("b.pt", 2.0, layerdrop={"decoder": {**ORIGIN["decoder"], "last": last}})  # pruned in two steps
    assert average("a.pt", "b.pt")["layerdrop"] == ORIGIN


@pytest.mark.parametrize(
    ("other", "layers"),
    [
        ({"decoder": {"depth": 4, "kept": [0, 3], "last": {"depth": 4, "kept": [0, 3]}}}, "decoder layers [0,3] of 4"),
        ({**ORIGIN, "encoder": ORIGIN["decoder"]}, "decoder layers [0,2] of 4; encoder layers [0,2] of 4"),
        (None, "all layers"),
    ],
)
def test_models_of_different_layers_have_no_mean(folder, error_of, other, layers):
    save("a.pt", 1.0, layerdrop=ORIGIN)
    save("b.pt", 2.0, layerdrop=other)
    assert error_of(main, "--inputs", "a.pt", "b.pt", "--output", "out.pt") == (
        "checkpoints to average must hold the same layers, "
        f"but a.pt holds decoder layers [0,2] of 4, and b.pt holds {layers}."
    )
    assert not os.path.exists("out.pt")


def options(seed, lr=1, **others):
    """Options in groups, as fairseq has them; a model of its older kind holds those of all groups."""
    old = argparse.Namespace(arch="a", seed=seed, lr=[lr], **others)
    return {"_name": None, "common": {"seed": seed}, "optimization": {"lr": [lr]}, "model": old}


def history(*updates):
    return [{"num_updates": number, "lr_scheduler_state": {"best": number / 2}} for number in updates]


@pytest.mark.parametrize(
    ("entries", "others"),
    [
        ({"cfg": options(1)}, {"cfg": options(1), "optimizer_history": history(9)}),
        # continued with other options: from an update later than that of a.pt, or both from one
        ({"cfg": options(1)}, {"cfg": options(1, lr=2), "optimizer_history": history(7, 9)}),
        (
            {"cfg": options(1), "optimizer_history": history(7, 9)},
            {"cfg": options(2, lr=2), "optimizer_history": history(7, 12, 15)},
        ),
        ({"cfg": None, "args": argparse.Namespace(arch="a", seed=1)},) * 2,
        # an option that only one of the versions of fairseq has says nothing
        ({"cfg": options(1)}, {"cfg": options(1, new=3)}),
    ],
)
def test_one_training_is_averaged_in_silence(folder, capsys, entries, others):
    save("a.pt", 1.0, **entries)
    save("b.pt", 3.0, **others)
    assert average("a.pt", "b.pt")["model"]["w"].tolist() == [2.0]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"cfg": options(2)}, "`seed` is 1 in a.pt and 2 in c.pt"),
        ({"cfg": options(1, lr=2)}, "`lr` is [1] in a.pt and [2] in c.pt"),
        ({"cfg": options(2, lr=2)}, "`seed` is 1 in a.pt and 2 in c.pt, and 1 more option differs"),
        ({"cfg": None, "args": argparse.Namespace(seed=1, arch="b")}, "`arch` is 'a' in a.pt and 'b' in c.pt"),
        (
            {"cfg": options(2, lr=2), "optimizer_history": history(9, 12)},  # lr may change when a training goes on
            "`seed` is 1 in a.pt and 2 in c.pt",
        ),
    ],
)
def test_a_warning_of_two_trainings(folder, capsys, entries, reason):
    for name in ("a.pt", "b.pt"):
        save(name, 1.0, cfg=options(1))
    save("c.pt", 4.0, **entries)
    assert average("a.pt", "b.pt", "c.pt")["model"]["w"].tolist() == [2.0]
    warning = f"layerdrop-average: warning: checkpoints to average should be of one training, but {reason}.\n"
    assert capsys.readouterr().err == warning
    main(["--inputs", "a.pt", "b.pt", "c.pt", "-o", "out.pt", "--force", "-q"])
    assert capsys.readouterr().err == ""


def test_a_warning_of_trainings_that_were_continued_from_different_checkpoints(folder, capsys):
    save("a.pt", 1.0, optimizer_history=history(100, 120))
    save("b.pt", 3.0, optimizer_history=history(90, 120))
    average("a.pt", "b.pt")
    assert capsys.readouterr().err == (
        "layerdrop-average: warning: checkpoints to average should be of one training, but a.pt continues from update "
        "100 with a best value of 50.0, and b.pt from update 90 with a best value of 45.0.\n"
    )


EPOCHS = ["checkpoint1.pt", "checkpoint2.pt", "checkpoint9.pt", "checkpoint10.pt"]
UPDATES = ["checkpoint_1_500.pt", "checkpoint_2_1000.pt", "checkpoint_2_900.pt"]
OTHERS = ["checkpoint_last.pt", "checkpoint_best.pt", "checkpoint11.pt.tmp", "mycheckpoint12.pt", "checkpoint.pt"]
OTHERS += ["checkpoint.best_loss_4.2.pt", "checkpoint_3_2000.pt.bak"]


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ((2, None, None), ["checkpoint10.pt", "checkpoint9.pt"]),
        ((4, None, None), ["checkpoint10.pt", "checkpoint9.pt", "checkpoint2.pt", "checkpoint1.pt"]),
        ((2, None, 9), ["checkpoint9.pt", "checkpoint2.pt"]),
        ((2, None, 8), ["checkpoint2.pt", "checkpoint1.pt"]),
        ((None, 1, None), ["checkpoint_2_1000.pt"]),
        ((None, 3, 1000), ["checkpoint_2_1000.pt", "checkpoint_2_900.pt", "checkpoint_1_500.pt"]),
        ((None, 2, 999), ["checkpoint_2_900.pt", "checkpoint_1_500.pt"]),
    ],
)
def test_the_last_checkpoints_of_a_folder(folder, options, chosen):
    for name in (*EPOCHS, *UPDATES, *OTHERS):
        (folder / name).touch()
    assert choose([str(folder)], *options) == [str(folder / name) for name in chosen]


def test_files_stay_in_the_order_given(folder):
    assert choose(["b.pt", "a.pt"]) == ["b.pt", "a.pt"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["a.pt", "missing.pt"], "`--inputs` must be the file of a checkpoint, but missing.pt does not exist."),
        (["a.pt", "empty.pt"], "`--inputs` must be the file of a checkpoint, but empty.pt is empty."),
        (
            ["a.pt", "text.pt"],
            "`--inputs` must be the file of a checkpoint, but text.pt is damaged or no checkpoint at all.",
        ),
        (
            ["a.pt", "weights.pt"],
            "a checkpoint must be one of fairseq, but weights.pt lacks the entries `model` and `cfg` or `args`.",
        ),
        (["a.pt", "none.pt"], "a checkpoint must be one of fairseq, but none.pt has no weights in `model`."),
        (
            ["a.pt", "wide.pt"],
            "models to average must have weights of the same shape, but `w` is (1,) in a.pt and (2,) in wide.pt.",
        ),
        (
            ["a.pt", "checkpoint1-shard0.pt"],
            "`--inputs` must be whole checkpoints, but checkpoint1-shard0.pt is one of several shards.",
        ),
        (["a.pt", "a.pt"], "`--inputs` must name a checkpoint once, but a.pt and a.pt are the same file."),
        (["a.pt", "./a.pt"], "`--inputs` must name a checkpoint once, but a.pt and ./a.pt are the same file."),
        (["a.pt", "link.pt"], "`--inputs` must name a checkpoint once, but a.pt and link.pt are the same file."),
        (["."], f"`--inputs` must be files, or one folder with {NUM}, but . is a folder."),
        (["a.pt", "."], f"`--inputs` must be files, or one folder with {NUM}, but . is a folder."),
        (
            [".", "--num-epoch-checkpoints", "5"],
            "`--num-epoch-checkpoints` must not be more than there are, but is 5, "
            "and . has 2 named like checkpoint7.pt.",
        ),
        (
            [".", "--num-update-checkpoints", "1", "--checkpoint-upper-bound", "99"],
            "`--num-update-checkpoints` must not be more than there are, but is 1, "
            "and . has 0 up to 99 named like checkpoint_3_500.pt.",
        ),
        (
            [".", "--num-epoch-checkpoints", "1", "--checkpoint-upper-bound", "1"],
            "`--inputs` must be whole checkpoints, but ./checkpoint1-shard0.pt is one of several shards.",
        ),
        (
            ["a.pt", "--num-epoch-checkpoints", "1"],
            "`--inputs` must be one folder with `--num-epoch-checkpoints`, but is a.pt.",
        ),
        (
            [".", ".", "--num-update-checkpoints", "1"],
            "`--inputs` must be one folder with `--num-update-checkpoints`, but is . ..",
        ),
        (
            ["a.pt", "--checkpoint-upper-bound", "5"],
            f"`--checkpoint-upper-bound` must stand beside {NUM}, but is 5 without either.",
        ),
        (
            [".", "--num-epoch-checkpoints", "1", "--num-update-checkpoints", "1"],
            "argument --num-update-checkpoints: not allowed with argument --num-epoch-checkpoints",
        ),
        (
            [".", "--num-epoch-checkpoints", "0"],
            "argument --num-epoch-checkpoints: must be a whole number of at least 1, but is '0' instead.",
        ),
        (
            [".", "--num-update-checkpoints", "-1"],
            "argument --num-update-checkpoints: must be a whole number of at least 1, but is '-1' instead.",
        ),
        (
            [".", "--num-epoch-checkpoints", "1.5"],
            "argument --num-epoch-checkpoints: must be a whole number of at least 1, but is '1.5' instead.",
        ),
        (["a.pt", "--num", "1"], "unrecognized arguments: --num"),
        (["a.pt", "--output", "old.pt"], "`--output` must be a new file, but old.pt exists; --force replaces it."),
        (["a.pt", "--output", "a.pt", "--force"], "`--output` must be none of the inputs, but is a.pt."),
        (["a.pt", "--output", "link.pt", "--force"], "`--output` must be none of the inputs, but is link.pt."),
        (
            ["missing.pt", "--output", "no/out.pt"],  # said before anything is read
            "`--output` must be in a folder that exists, but is 'no/out.pt' instead.",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_line_for_what_is_wrong(folder, error_of, argv, message):
    for name in ("a.pt", "checkpoint1-shard0.pt", "checkpoint2.pt", "old.pt"):
        save(name, 1.0)
    save("wide.pt", 1.0, 2.0)
    save("none.pt", model=None)
    torch.save({"w": torch.zeros(1)}, "weights.pt")
    (folder / "empty.pt").touch()
    (folder / "text.pt").write_text("no checkpoint\n" * 10)
    os.symlink("a.pt", "link.pt")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    output = [] if "--output" in argv else ["--output", "out.pt"]
    assert error_of(main, "--inputs", *argv, *output) == message
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_damaged_file(folder, error_of):
    save("a.pt", *[1.0] * 5000)
    content = (folder / "a.pt").read_bytes()
    (folder / "b.pt").write_bytes(content[: len(content) // 2])
    assert error_of(main, "--inputs", "a.pt", "b.pt", "--output", "out.pt").startswith(
        "`--inputs` must be the file of a checkpoint, but b.pt is damaged or no checkpoint at all."
    )
    assert not os.path.exists("out.pt")


def test_force_replaces(folder):
    save("a.pt", 1.0)
    save("out.pt", 5.0)
    main(["--inputs", "a.pt", "--output", "out.pt", "--force"])
    assert torch.load("out.pt")["model"]["w"].tolist() == [1.0]


def test_ctrl_c_ends_without_a_traceback(folder, capsys, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupted)
    torch.serialization.save({"args": None, "cfg": {}, "model": {"w": torch.ones(1)}}, "a.pt")
    with pytest.raises(SystemExit) as end:
        main(["--inputs", "a.pt", "--output", "out.pt"])
    assert end.value.code == 130
    assert capsys.readouterr().err == "layerdrop-average: interrupted\n"
    assert os.listdir() == ["a.pt"]


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    examples = capsys.readouterr().out.split("\nexamples:\n")[1].splitlines()
    assert len(examples) == 3
    assert all(line.startswith("  layerdrop-average --inputs ") for line in examples)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "bar"), [(Terminal, True), (io.StringIO, False)])
def test_a_progress_bar_on_a_terminal_only(folder, monkeypatch, stream, bar):
    save("a.pt", 1.0)
    save("wide.pt", 1.0, 2.0)
    written = stream()
    monkeypatch.setattr(sys, "stderr", written)
    with pytest.raises(SystemExit):
        main(["--inputs", "a.pt", "wide.pt", "--output", "out.pt"])
    shown, _, last = written.getvalue().rpartition("\r")
    assert ("0/2" in shown) == bar
    assert last.startswith("layerdrop-average: error: ")  # not behind the bar
