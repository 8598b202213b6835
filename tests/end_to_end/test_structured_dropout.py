"""Structured dropout through fairseq's commands: rates by layer and over time, parts of layers, learned rates."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
import torch
from shared.trainings import NOTES, USER, arguments, assert_same_training, log_of, losses, run  # noqa: F401  fixtures

from layerdrop_plugin.dropping import dropped_groups

EVERYTHING = [
    *("--encoder-layerdrop", "linear:0:0.6", "--decoder-layerdrop", "0.1,0.5,0.3,0.7"),
    *("--encoder-headdrop", "target:1", "--decoder-headdrop", "linear:0.1:0.4"),
    *("--encoder-ffndrop", "0.2", "--decoder-ffndrop", "linear:0.4:0.1"),
    *("--encoder-sublayerdrop", "0.1", "--decoder-sublayerdrop", "0,0,0,0.3"),
    *("--layerdrop-warmup-updates", "4", "--layerdrop-cooldown-updates", "4", "--max-update", "12"),
]
"""Four layers in each stack, two heads in each attention."""


FACTORS = [0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]
"""Of all rates, by update."""


SUBLAYERS = {"encoder": ["self_attn", "ffn"], "decoder": ["self_attn", "encoder_attn", "ffn"]}


PARTS = {
    stack: [*(f"{name}.heads" for name in names[:-1]), "ffn", *(f"{name}.sublayer" for name in names)]
    for stack, names in SUBLAYERS.items()
}


@pytest.fixture(scope="module")
def everything(arguments, command, tmp_path_factory):
    """The log and the folder of a training by the real command that nobody interrupts."""
    folder = tmp_path_factory.mktemp("everything")
    process = command("fairseq-train", *arguments("transformer", *USER, *EVERYTHING, "--save-dir", folder))
    assert "WARNING | layerdrop_plugin" not in process.stdout + process.stderr
    return log_of(process.stdout), folder


def test_the_rates_of_each_layer_and_its_parts_are_logged_once(everything):
    found = re.findall(
        r"drop rates of the (\w+), (\S+), from the first layer to the last: (.*)", everything[0].messages
    )
    assert found == [
        ("encoder", "layer", "0 0.2 0.4 0.6"),
        ("encoder", "self_attn.heads", "0.5 0.5 0.5 0.5"),
        ("encoder", "ffn", "0.2 0.2 0.2 0.2"),
        ("encoder", "self_attn.sublayer", "0.1 0.1 0.1 0.1"),
        ("encoder", "ffn.sublayer", "0.1 0.1 0.1 0.1"),
        ("decoder", "layer", "0.1 0.5 0.3 0.7"),
        ("decoder", "self_attn.heads", "0.1 0.2 0.3 0.4"),
        ("decoder", "encoder_attn.heads", "0.1 0.2 0.3 0.4"),
        ("decoder", "ffn", "0.4 0.3 0.2 0.1"),
        ("decoder", "self_attn.sublayer", "0 0 0 0.3"),
        ("decoder", "encoder_attn.sublayer", "0 0 0 0.3"),
        ("decoder", "ffn.sublayer", "0 0 0 0.3"),
    ]


LAYER_RATES = {"encoder": (0, 0.2, 0.4, 0.6), "decoder": (0.1, 0.5, 0.3, 0.7)}


MEAN_RATES = {"encoder": [0, 0.075, 0.15, 0.225, 0.3], "decoder": [0, 0.1, 0.2, 0.3, 0.4]}
"""At factors of 0, 0.25, 0.5, 0.75 and 1."""


def shares(stack):
    """The share of layers dropped in each update."""
    rates = [[rate * factor for rate in LAYER_RATES[stack]] for factor in FACTORS]
    masks = [dropped_groups(r, seed=1, update=u, forward_pass=0, name=stack) for u, r in enumerate(rates)]
    return [sum(mask) / 4 for mask in masks]


@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_rates_and_shares_of_dropped_layers_are_logged_beside_the_loss(stack, everything):
    log, _ = everything
    assert sorted(log.updates) == list(range(1, 13))
    name = f"layerdrop_{stack[:3]}"
    rates = [MEAN_RATES[stack][int(4 * factor)] for factor in FACTORS]
    assert rates[0] == rates[11] == 0
    assert len(set(shares(stack))) > 2
    entries = [log.updates[i] for i in range(1, 13)]
    assert [float(entry[f"{name}_rate"]) for entry in entries] == pytest.approx(rates, abs=6e-4)
    assert [float(entry[name]) for entry in entries] == shares(stack)
    ends = [0, *(int(float(epoch["train_num_updates"])) for epoch in log.epochs)]
    assert len(ends) > 2
    assert ends[-1] == 12
    for begin, end, epoch in zip(ends, ends[1:], log.epochs):
        mean_rate, mean_share = (sum(of[begin:end]) / (end - begin) for of in (rates, shares(stack)))
        assert float(epoch[f"train_{name}_rate"]) == pytest.approx(mean_rate, abs=6e-4)
        assert float(epoch[f"train_{name}"]) == pytest.approx(mean_share, abs=6e-4)
    assert f"valid_{name}" not in log.messages


def masks_of(folder):
    """What a killed training noted and had drawn: by update and name."""
    lines = [line.split() for line in (folder / "masks.0").read_text().splitlines()]
    return {(int(update), int(forward_pass), name): mask for update, forward_pass, name, mask in lines}


@pytest.fixture(scope="module")
def killed(everything, arguments, command, tmp_path_factory):
    """The folder of the same training, killed in its seventh update."""
    folder = tmp_path_factory.mktemp("killed")
    argv = arguments(
        "transformer", *EVERYTHING, "--user-dir", NOTES, "--save-interval-updates", 3, "--save-dir", folder
    )
    process = command("fairseq-train", *argv, env={"KILL": "worker 0, update 7"}, status=-signal.SIGKILL)
    log = log_of(process.stdout)
    assert sorted(log.updates) == list(range(1, 8))
    assert losses(log) == {update: loss for update, loss in losses(everything[0]).items() if update < 8}
    return folder


def test_each_kind_of_group_has_masks_of_its_own(killed):
    drawn = masks_of(killed)
    assert {(update, name) for update, _, name in drawn} == {
        (update, name)
        for update in range(7)
        for stack, parts in PARTS.items()
        for name in (stack, *(f"{stack}.{part}" for part in parts))
    }
    rates = [rate * FACTORS[3] for rate in (0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4)]  # two heads in each layer
    mask = dropped_groups(rates, seed=1, update=3, forward_pass=0, name="decoder.encoder_attn.heads")
    assert drawn[3, 0, "decoder.encoder_attn.heads"] == "".join("-x"[dropped] for dropped in mask)
    assert len({drawn[6, 0, name] for name in ("decoder.self_attn.heads", "decoder.encoder_attn.heads")}) == 2
    assert {mask for (update, _, _), mask in drawn.items() if update == 0} == {"-" * n for n in (4, 8)}
    last = {mask for (_, _, name), mask in drawn.items() if name == "decoder.ffn.sublayer"}
    assert last <= {"----", "---x"}


class Writer:
    """In the place of tensorboard's."""

    written = []

    def __init__(self, folder):
        self.folder = Path(folder).name

    def add_scalar(self, name, value, step):
        self.written.append((self.folder, name, step, value))

    def add_text(self, *args):
        pass

    def flush(self):
        pass


def test_killed_and_continued_it_ends_as_if_it_were_not_and_tensorboard_has_the_rates(
    everything, killed, run, tmp_path, monkeypatch
):
    from fairseq.logging import progress_bar

    monkeypatch.setattr(progress_bar, "SummaryWriter", Writer)
    monkeypatch.setattr(progress_bar, "_tensorboard_writers", {})
    monkeypatch.setattr(Writer, "written", [])
    options = ["--save-interval-updates", 3, "--save-dir", killed, "--tensorboard-logdir", tmp_path]
    again = run("transformer", *EVERYTHING, *options)
    log, folder = everything
    assert losses(again) == {update: loss for update, loss in losses(log).items() if update > 6}
    assert_same_training(killed, folder)
    rates = {
        (name, step): value
        for kind, name, step, value in Writer.written
        if kind == "train_inner" and name.startswith("layerdrop_")
    }
    assert len(rates) == 4 * 6
    assert rates["layerdrop_dec_rate", 8] == pytest.approx(0.4)
    assert rates["layerdrop_dec_rate", 9] == pytest.approx(0.3)
    assert rates["layerdrop_enc", 9] == shares("encoder")[8]
    assert [name for kind, name, _, _ in Writer.written if kind == "train"].count("layerdrop_enc_rate") >= 1


def test_rates_by_layer_stay_with_their_layers(everything, run, command, data, load_model, outputs, capsys, tmp_path):
    from layerdrop_plugin.cli.prune import main

    path, small = everything[1] / "checkpoint_last.pt", tmp_path / "small.pt"
    main([str(path), "-o", str(small), "--encoder", "0,2", "--decoder", "1,3"])
    capsys.readouterr()
    model, cfg = load_model(small)
    rates = {
        "encoder_layerdrop": [0, 0.4],
        "decoder_layerdrop": [0.5, 0.7],
        "encoder_headdrop": [0.5],
        "decoder_headdrop": [0.2, 0.4],
        "encoder_ffndrop": [0.2],
        "decoder_ffndrop": [0.3, 0.1],
        "encoder_sublayerdrop": [0.1],
        "decoder_sublayerdrop": [0, 0.3],
    }
    for name, expected in rates.items():
        assert [float(rate) for rate in str(getattr(cfg, name)).split(",")] == pytest.approx(expected), name
    wanted, _ = load_model(path, encoder_layers_to_keep="0,2", decoder_layers_to_keep="1,3")
    assert torch.equal(outputs(model, "transformer"), outputs(wanted, "transformer"))
    keep = ["--encoder-layers-to-keep", "0,2", "--decoder-layers-to-keep", "1,3", "--restore-file", path]
    log = run("transformer", *EVERYTHING, *keep, "--max-update", 14, "--save-dir", tmp_path)
    assert sorted(log.updates) == [13, 14]
    found = re.findall(r"drop rates of the (\w+), (\S+), from the first layer to the last: (.*)", log.messages)
    assert ("decoder", "layer", "0.5 0.7") in found
    assert ("encoder", "layer", "0 0.4") in found
    assert ("decoder", "self_attn.heads", "0.2 0.4") in found
    assert ("decoder", "ffn", "0.3 0.1") in found
    assert float(log.updates[13]["layerdrop_dec_rate"]) == pytest.approx(0.6 * 0.25, abs=6e-4)
    generate = ["--cpu", "--beam", 1, "--max-len-b", 6, "--batch-size", 24]
    process = command("fairseq-generate", data["transformer"], *USER, *generate, "--path", small)
    assert process.stdout.count("\nH-") == 24


OFF = {
    "transformer": ["--encoder-layerdrop", "0", "--decoder-layerdrop", "0"],
    "transformer_lm": ["--decoder-layerdrop", "0"],
    "roberta": ["--encoder-layerdrop", "0"],
}


GIVEN_AS_0 = {
    "transformer": [
        "--decoder-headdrop",
        "linear:0:0",
        "--decoder-sublayerdrop",
        "0,0,0,0",
        "--encoder-ffndrop",
        "0.0",
    ],
    "transformer_lm": [],
    "roberta": ["--encoder-headdrop", "0", "--encoder-sublayerdrop", "0", "--layerdrop-warmup-updates", "3"],
}


NOTED = """
from fairseq.tasks.fairseq_task import FairseqTask
train_step = FairseqTask.train_step
found = []
def noted(*args, **kwargs):
    loss, size, output = train_step(*args, **kwargs)
    found.append(float(loss) / float(size))
    return loss, size, output
FairseqTask.train_step = noted
"""


EACH = """
import json
from fairseq_cli.train import cli_main
for family, arguments in json.load(open(sys.argv[1])).items():
    sys.argv = ["fairseq-train", *arguments]
    found.clear()
    cli_main()
    print("LOSSES", family, json.dumps(found))
"""


@pytest.mark.slow
def test_nothing_dropped_gives_the_losses_of_stock_fairseq(stock, arguments, train, monkeypatch, tmp_path):
    """To the last digit of float32, over 50 updates of the translation model: no rate given, or rates of 0."""
    from fairseq.tasks.fairseq_task import FairseqTask

    updates = {"transformer": 50, "transformer_lm": 10, "roberta": 10}
    ends = ["--no-save", "--disable-validation"]
    ends += ["--data-buffer-size", 0]  # the thread that stock leaves behind can abort the end of its process
    ours = {f: arguments(f, *OFF[f], *ends, "--max-update", number) for f, number in updates.items()}
    theirs = {f: [w.replace("layerdrop_", "") if w == f"layerdrop_{f}" else w for w in ours[f]] for f in ours}
    (tmp_path / "arguments.json").write_text(json.dumps(theirs))
    process = stock(NOTED + EACH, tmp_path / "arguments.json")
    expected = {family: json.loads(found) for family, found in re.findall(r"LOSSES (\w+) (.*)", process.stdout)}
    names = {"train_step": FairseqTask.train_step}
    monkeypatch.setattr(FairseqTask, "train_step", FairseqTask.train_step)  # to be put back
    exec(NOTED, names)
    for family, number in updates.items():
        names["found"].clear()
        train(*ours[family], *GIVEN_AS_0[family])
        assert len(expected[family]) == number
        assert names["found"] == pytest.approx(expected[family], rel=1e-6)
