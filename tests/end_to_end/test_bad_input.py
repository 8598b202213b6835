"""What a user may get wrong, through fairseq's commands: one line, exit status 2, no traceback."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from shared.grammar import LAYERS, RATES

RATE = "must be at least 0 and below 1, but is"
D = "`--decoder-layers-to-keep`"
TRAIN = [  # family, options, message
    ("transformer", ["--encoder-layerdrop=-0.1"], f"`--encoder-layerdrop` {RATE} -0.1 instead."),
    ("transformer_lm", ["--decoder-layerdrop", "1"], f"`--decoder-layerdrop` {RATE} 1 instead."),
    ("roberta", ["--encoder-layerdrop", "x"], f"`--encoder-layerdrop` must be {RATES}, but is 'x' instead."),
    ("transformer", ["--decoder-layers-to-keep", "0,4"], f"{D} must name layers from 0 to 3, but has 4 in '0,4'."),
    ("transformer_lm", ["--decoder-layers-to-keep=-1"], f"{D} must count layers from 0, but has -1 in '-1'."),
    ("transformer", ["--decoder-layers-to-keep", "1,1"], f"{D} must name a layer once, but has 1 twice in '1,1'."),
    ("transformer", ["--decoder-layers-to-keep="], f"{D} must keep at least one layer, but is '' instead."),
    ("transformer_lm", ["--decoder-layers-to-keep", "even"], f"{D} must be {LAYERS}, but is 'even' instead."),
    (
        "transformer_lm",
        ["--decoder-layers-to-keep", "every_other:0"],
        f"{D}: the K of 'every_other:K' must be a whole number of at least 1, but is '0' in 'every_other:0'.",
    ),
    (
        "transformer",
        ["--decoder-layers-to-keep", "every_other:5"],
        f"{D} must not keep more layers than there are, but 'every_other:5' keeps 5 of 4.",
    ),
    (
        "transformer",
        ["--decoder-layers-to-keep", "drop:0.7"],
        f"{D}: the rate P of 'drop:P' must be a number with 0 < P <= 0.5, but is '0.7' in 'drop:0.7'.",
    ),
    (
        "roberta",
        ["--decoder-layers-to-keep", "0,2"],
        f"{D} must be left out: layerdrop_roberta has no decoder (got '0,2').",
    ),
    (
        "transformer_lm",
        ["--encoder-layers-to-keep", "0,2"],
        "`--encoder-layers-to-keep` must be left out: layerdrop_transformer_lm has no encoder (got '0,2').",
    ),
    (
        "transformer_lm",
        ["--restore-file", "{missing}"],
        "`--restore-file` must be the file of a checkpoint, but {missing} does not exist.",
    ),
    (
        "transformer_lm",
        ["--finetune-from-model", "{empty}"],
        "`--finetune-from-model` must be the file of a checkpoint, but {empty} is empty.",
    ),
]
DAMAGED = "must be the file of a checkpoint, but {} is damaged or no checkpoint at all."
AFTER_DATA = [  # the first three are beginnings: why torch finds a file broken may follow
    ("transformer_lm", ["--restore-file", "{truncated}"], "`--restore-file` " + DAMAGED.format("{truncated}")),
    ("transformer_lm", ["--restore-file", "{text}"], "`--restore-file` " + DAMAGED.format("{text}")),
    ("transformer_lm", ["--restore-file", "{foreign}"], "a checkpoint must be one of fairseq, but {foreign} lacks"),
    (
        "transformer_lm",
        ["--restore-file", "{pruned}", "--decoder-layers-to-keep", "0,3"],
        "`decoder_layers_to_keep` must fit the checkpoint, but asks for layers [0,3] of 4, "
        "and {pruned} was pruned before and holds layers [0,2] of 4.",
    ),
]
PATH = ["--path", "{full}", "--model-overrides"]
OVERRIDES = [  # command, family, options, message
    (
        "fairseq-generate",
        "transformer",
        [*PATH, "{{'decoder_layers_to_keep': '0,9'}}"],
        "`decoder_layers_to_keep` must name layers from 0 to 3, but has 9 in '0,9'.",
    ),
    (
        "fairseq-eval-lm",
        "transformer_lm",
        [*PATH, "{{'encoder_layers_to_keep': '0'}}"],
        "`encoder_layers_to_keep` must be left out: the model has no encoder (got '0').",
    ),
    (
        "fairseq-eval-lm",
        "transformer_lm",
        ["--path", "{pruned}", "--model-overrides", "{{'decoder_layers_to_keep': '0,2'}}"],
        "`decoder_layers_to_keep` must name layers from 0 to 1, but has 2 in '0,2'. "
        "The checkpoint was pruned before and holds decoder layers [0,2] of 4.",
    ),
    (
        "fairseq-generate",
        "transformer",
        ["--path", "{missing}"],
        "`--path` must be the file of a checkpoint, but {missing} does not exist.",
    ),
]


@pytest.fixture(scope="module")
def paths(full, tmp_path_factory):
    """Files that are no good checkpoints, by what is wrong with them."""
    folder = tmp_path_factory.mktemp("bad")
    found = {name: folder / f"{name}.pt" for name in ("missing", "empty", "truncated", "text", "foreign", "pruned")}
    found["empty"].touch()
    found["truncated"].write_bytes(full["transformer_lm"].read_bytes()[:20000])
    found["text"].write_text("no checkpoint\n" * 10)
    torch.save({"weights": torch.zeros(3)}, found["foreign"])
    state = torch.load(full["transformer_lm"])
    state["model"] = {
        name.replace("decoder.layers.2.", "decoder.layers.1."): value
        for name, value in state["model"].items()
        if not name.startswith(("decoder.layers.1.", "decoder.layers.3."))
    }
    state["cfg"]["model"].decoder_layers = 2
    state["layerdrop"] = {"decoder": {"depth": 4, "kept": [0, 2], "last": {"depth": 4, "kept": [0, 2]}}}
    torch.save(state, found["pruned"])
    return found


@pytest.fixture(scope="module")
def finished(paths, command, tiny, data, full, tmp_path_factory):
    """All these commands, two at a time, by family and options."""
    folder = tmp_path_factory.mktemp("save")

    def train(case):
        family, options, _ = case
        argv = [data[family], "--user-dir", "layerdrop_plugin", "--arch", f"layerdrop_{family}", *tiny[family]]
        options = [option.format(**paths) for option in options]
        return command("fairseq-train", *argv, *options, "--max-update", 14, "--save-dir", folder, status=2)

    def evaluate(case):
        name, family, options, _ = case
        options = [option.format(**paths, full=full[family]) for option in options]
        if name == "fairseq-eval-lm":
            options += ["--task", "language_modeling"]
        return command(name, data[family], "--user-dir", "layerdrop_plugin", "--cpu", *options, status=2)

    with ThreadPoolExecutor(2) as pool:
        trained = pool.map(train, TRAIN + AFTER_DATA)
        evaluated = pool.map(evaluate, OVERRIDES)
        return [*trained, *evaluated]


BROKEN = [options for _, options, _ in AFTER_DATA[:3]]
CASES = [("fairseq-train", options, message) for _, options, message in TRAIN + AFTER_DATA]
CASES += [(name, options, message) for name, _, options, message in OVERRIDES]


@pytest.mark.parametrize("number", range(len(CASES)), ids=[" ".join([name, *options]) for name, options, _ in CASES])
def test_one_line_names_option_rule_and_value(number, finished, paths):
    name, _, message = CASES[number]
    process = finished[number]
    expected = f"{name}: error: {message.format(**paths)}"
    last = process.stderr.splitlines()[-1]
    if CASES[number][1] in BROKEN:
        assert last.startswith(expected)
    else:
        assert last == expected
    assert process.stderr.count("error:") == 1
    assert "Traceback" not in process.stdout + process.stderr
    if number < len(TRAIN):
        assert "examples from" not in process.stdout  # no data was read
