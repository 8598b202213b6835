"""The command `layerdrop-prune` on trained checkpoints; fairseq's commands on what it writes, with and without us."""

from __future__ import annotations

import json
import os
import re
import signal
import site
import subprocess
import sys
import time
import venv
import zipfile
from pathlib import Path

import pytest
import torch

SPECS = {
    "transformer": ["--encoder", "0,3", "--decoder", "1-2"],
    "transformer_lm": ["--decoder", "every_other:2"],
    "roberta": ["--encoder", "last:2"],
}
OVERRIDES = {
    "transformer": "{'encoder_layers_to_keep': '0,3', 'decoder_layers_to_keep': '1-2'}",
    "transformer_lm": "{'decoder_layers_to_keep': 'every_other:2'}",
}
USER = ["--user-dir", "layerdrop_plugin", "--cpu"]
GENERATE = ["--beam", "2", "--max-tokens", "200", "--gen-subset", "test"]
EVAL_LM = ["--tokens-per-sample", "32", "--sample-break-mode", "none", "--gen-subset", "test"]
TOKENS = [[0, 5, 6, 7, 8, 2]]


@pytest.fixture(scope="module")
def small(full, command, tmp_path_factory):
    """The finished command and the checkpoint that it wrote, by family."""
    folder = tmp_path_factory.mktemp("small")
    found = {}
    for family in ("transformer", "transformer_lm"):
        path = folder / f"{family}.pt"
        argv = [full[family], "-o", path, *SPECS[family], "--json", folder / f"{family}.json"]
        found[family] = command("layerdrop-prune", *argv), path
    return found


@pytest.fixture(scope="module")
def generated(full, command, data):
    """What the full checkpoint, pruned at load, gives for the test set."""
    argv = [data["transformer"], *USER, *GENERATE, "--path", full["transformer"]]
    return hypotheses(command("fairseq-generate", *argv, "--model-overrides", OVERRIDES["transformer"]).stdout)


@pytest.fixture(scope="module")
def perplexity_at_load(full, command, data):
    argv = [data["transformer_lm"], *USER, *EVAL_LM, "--path", full["transformer_lm"]]
    return perplexity(command("fairseq-eval-lm", *argv, "--model-overrides", OVERRIDES["transformer_lm"]))


def hypotheses(text):
    return sorted(line for line in text.splitlines() if line.startswith("H-"))


def perplexity(process):
    (found,) = re.findall(r"Evaluated ([1-9]\d*) tokens.*\n.*Loss \(base 2\): (.*)", process.stdout + process.stderr)
    return found


def test_the_table_and_the_data(small, full):
    process, path = small["transformer"]
    before, after = (p.stat().st_size for p in (full["transformer"], path))
    assert [line.split() for line in process.stdout.splitlines()] == [
        ["before", "after", "kept"],
        ["encoder", "layers", "4", "2", "[0,3]", "of", "4"],
        ["decoder", "layers", "4", "2", "[1,2]", "of", "4"],
        ["parameters", "21,568", "11,488", "-"],  # an encoder layer has 1960, a decoder layer 3080
        ["bytes", f"{before:,}", f"{after:,}", "-"],
        ["of", "which", "optimizer", f"{8 * 21568:,}", "0", "-"],  # Adam's two moments, 4 bytes each
    ]
    assert process.stderr == ""
    data = json.loads(path.with_suffix(".json").read_text())
    assert data["after"]["stacks"]["decoder"]["pruned"] == {"depth": 4, "kept": [1, 2]}
    assert (data["before"]["parameters"], data["after"]["bytes"]["optimizer"]) == (21568, 0)


def test_generate_needs_no_option(small, generated, command, data):
    process = command("fairseq-generate", data["transformer"], *USER, *GENERATE, "--path", small["transformer"][1])
    assert hypotheses(process.stdout) == generated
    assert len(generated) == 24


def test_eval_lm_needs_no_option(small, perplexity_at_load, command, data):
    process = command("fairseq-eval-lm", data["transformer_lm"], *USER, *EVAL_LM, "--path", small["transformer_lm"][1])
    assert perplexity(process) == perplexity_at_load


def test_train_starts_from_it(small, command, data, tiny, tmp_path):
    argv = [data["transformer_lm"], "--user-dir", "layerdrop_plugin", "--arch", "layerdrop_transformer_lm"]
    argv += [*tiny["transformer_lm"], "--max-update", "3", "--save-dir", tmp_path]
    argv += ["--restore-file", small["transformer_lm"][1], "--decoder-layers", "2"]
    command("fairseq-train", *argv)
    assert torch.load(tmp_path / "checkpoint_last.pt")["optimizer_history"][-1]["num_updates"] == 3


def test_from_pretrained_needs_no_option(full, data, tmp_path):
    from fairseq.models.roberta import RobertaModel

    from layerdrop_plugin.cli.prune import main

    main([str(full["roberta"]), "--output", str(tmp_path / "small.pt"), *SPECS["roberta"]])
    hub = RobertaModel.from_pretrained(str(tmp_path), "small.pt", str(data["roberta"]), bpe=None)
    options = {"bpe": None, "encoder_layers_to_keep": "2,3"}
    at_load = RobertaModel.from_pretrained(
        str(full["roberta"].parent), full["roberta"].name, str(data["roberta"]), **options
    )
    assert torch.equal(*(h.eval().extract_features(torch.tensor(TOKENS)) for h in (hub, at_load)))


PLAIN = """
import sys
from importlib.util import find_spec
assert not find_spec("layerdrop_plugin") and not find_spec("layerdrop_plugin_startup")

import argparse, dataclasses, functools, types
import numpy, torch
dataclass = dataclasses.dataclass
dataclasses.dataclass = functools.partial(dataclass, unsafe_hash=True)  # Python 3.11
import fairseq
dataclasses.dataclass = dataclass
numpy.compat = types.SimpleNamespace(long=int)  # numpy 2
if hasattr(torch.serialization, "add_safe_globals"):
    torch.serialization.add_safe_globals([argparse.Namespace])  # torch 2.6

path, data, roberta_data = sys.argv[1:]
from fairseq_cli import eval_lm, generate
from fairseq.models.roberta import RobertaModel
from fairseq.modules.transformer_layer import TransformerEncoderLayerBase as Layer
Layer.can_use_fastpath = property(lambda self: False, lambda self, value: None)  # torch 1.13
hub = RobertaModel.from_pretrained(path, "roberta.pt", roberta_data, bpe=None).eval()
print("FEATURES", hub.extract_features(torch.tensor([[0, 5, 6, 7, 8, 2]])).tolist())
for command, name, options in OPTIONS:
    sys.argv = [f"fairseq-{command}", f"{data}{name}", "--cpu", "--path", f"{path}/{name}.pt", *options]
    {"generate": generate, "eval-lm": eval_lm}[command].cli_main()
"""


@pytest.fixture(scope="module")
def plain_python(tmp_path_factory):
    """The interpreter of an environment with the packages of this one, but for all that this project installs."""
    folder = tmp_path_factory.mktemp("plain")
    venv.create(folder, symlinks=True)
    packages = Path(site.getsitepackages()[0])
    for entry in packages.iterdir():
        if not re.match(r"layerdrop_plugin|__editable__|.*\.pth$", entry.name):
            (folder / packages.relative_to(sys.prefix) / entry.name).symlink_to(entry)
    return folder / "bin" / "python"


def test_stock_works_in_plain_fairseq_without_this_package(
    full, data, plain_python, generated, perplexity_at_load, tmp_path
):
    from fairseq.models.roberta import RobertaModel

    from layerdrop_plugin.cli.prune import main

    for family, specs in SPECS.items():
        main([str(full[family]), "-o", str(tmp_path / f"{family}.pt"), *specs, "--stock"])
    commands = [("generate", "transformer", GENERATE), ("eval-lm", "transformer_lm", EVAL_LM)]
    for name in ("transformer", "transformer_lm"):
        (tmp_path / f"data_{name}").symlink_to(data[name])
    code = PLAIN.replace("OPTIONS", repr(commands))
    argv = [plain_python, "-W", "ignore", "-c", code, tmp_path, tmp_path / "data_", data["roberta"]]
    process = subprocess.run(list(map(str, argv)), cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-4000:]
    assert hypotheses(process.stdout) == generated
    assert perplexity(process) == perplexity_at_load
    hub = RobertaModel.from_pretrained(str(tmp_path), "roberta.pt", str(data["roberta"]), bpe=None).eval()
    (features,) = re.findall("FEATURES (.*)", process.stdout)
    assert json.loads(features) == hub.extract_features(torch.tensor(TOKENS)).tolist()


@pytest.fixture(scope="module")
def large(full, tmp_path_factory):
    """A checkpoint that takes a while to write."""
    state = torch.load(full["transformer_lm"])
    state["model"]["decoder.layers.0.fc1.weight"] = torch.zeros(1, 40_000_000)
    path = tmp_path_factory.mktemp("large") / "large.pt"
    torch.save(state, path)
    return path


@pytest.mark.parametrize("old", [None, b"what was there"], ids=["new", "replaced"])
def test_killed_while_it_writes_it_leaves_no_half_file(old, large, tmp_path):
    out = tmp_path / "out.pt"
    if old is not None:
        out.write_bytes(old)
    program = [sys.executable, "-W", "ignore", Path(sys.executable).with_name("layerdrop-prune")]
    argv = [*program, large, "-o", out, "--decoder", "0,1", "--force"]
    process = subprocess.Popen(list(map(str, argv)), stderr=subprocess.DEVNULL)
    wait_for(lambda: any(map(os.path.getsize, tmp_path.glob(".out.pt.*.tmp"))), process)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (half,) = tmp_path.glob(".out.pt.*.tmp")
    assert not zipfile.is_zipfile(half)
    assert (out.read_bytes() if out.exists() else None) == old


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.001)
