"""Two workers on the CPU: the same masks and weights on both, and the losses of one worker with twice the batch."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest
import torch
from shared.distilling import adaptive, distilling  # noqa: F401  fixtures
from shared.text_models import aligned, argv_of  # noqa: F401  a fixture

from layerdrop_plugin.dropping import dropped_groups

pytestmark = [pytest.mark.workers, pytest.mark.slow]

WORKERS = Path(__file__).with_name("note_workers")
UPDATES = {"transformer": 12, "transformer_lm": 10, "roberta": 10}  # 3 epochs of 4 updates, and 2 of 5
FAMILIES = list(UPDATES)
HALF = ["--encoder-layerdrop", "0.5", "--decoder-layerdrop", "0.5"]
ALMOST_ALL = ["--encoder-layerdrop", "0.95", "--decoder-layerdrop", "0.95"]  # 0.81: all four go
RATES = {"transformer": HALF, "transformer_lm": HALF[2:], "roberta": HALF[:2]}
ADAPTIVE = [  # of 48 words 10 are frequent, 32 fairly, 2 are not in most batches, and 4 in none
    *("--criterion", "adaptive_loss", "--adaptive-softmax-cutoff", "10,42,44", "--adaptive-softmax-factor", "2"),
    *("--adaptive-input", "--adaptive-input-cutoff", "10,42,44", "--adaptive-input-factor", "2"),
    *("--tie-adaptive-weights", "--tie-adaptive-proj", "--decoder-input-dim", "16", "--decoder-output-dim", "16"),
]
STRUCTURED = [
    *("--encoder-headdrop", "0.3", "--decoder-headdrop", "linear:0:0.6", "--decoder-ffndrop", "0.2"),
    *("--encoder-sublayerdrop", "0.2", "--decoder-sublayerdrop", "0.2", "--layerdrop-warmup-updates", "2"),
    *("--encoder-layerdrop-learned", "--decoder-layerdrop-learned", "--update-freq", "2"),
]
"""Beside HALF: on every worker, the loss of other sentences moves the rates."""
UNEVEN = {  # the number of batches is odd: a worker gets a dummy at an epoch's end
    "transformer": ["--batch-size", "16"],  # 15 batches: updates of 2, 2, 2 and 2 passes, the last a dummy on one
    "transformer_lm": ["--batch-size", "3", *ADAPTIVE],  # 17: updates of 2, 2, 2, 2 and 1 passes
    "roberta": ["--batch-size", "3"],  # 17
}
PASSES = {"transformer": [2], "transformer_lm": [2, 2, 2, 2, 1], "roberta": [2, 2, 2, 2, 1]}
EXACT = [  # what a worker computes depends neither on the batches beside it nor on which worker it is
    *("--dropout", "0", "--attention-dropout", "0", "--curriculum", "99", "--max-tokens", "9999"),
    *("--required-batch-size-multiple", "1", "--optimizer", "sgd", "--lr", "0.5", "--clip-norm", "1"),
]
SIZES = {"transformer": 19, "transformer_lm": 3, "roberta": 14}  # 13, 17 and 17 batches, 7, 9 and 9 twice as large


@pytest.fixture(scope="module")
def arguments(tiny, data):
    """A function that gives fairseq-train's arguments for a family."""

    def make(family, updates, *options):
        begin = [data[family], "--user-dir", WORKERS, "--arch", f"layerdrop_{family}", *tiny[family]]
        begin += ["--distributed-backend", "gloo", "--log-format", "json", "--max-update", updates]
        begin += ["--save-interval", 99]
        return [str(word) for word in [*begin, *options]]

    return make


@pytest.fixture(scope="module")
def taught(adaptive):
    """The options of a language model with an adaptive softmax that learns from another one."""
    return distilling("adaptive_loss", adaptive, "--layerdrop-distill-weight", 0.7)


@pytest.fixture(scope="module")
def jobs(arguments, full, tiny, aligned, taught):
    """What two workers train, by name."""
    made = {}
    for family in FAMILIES:
        many = [family, UPDATES[family], *RATES[family], "--update-freq", 2]
        made[family] = arguments(*many, *UNEVEN[family])
        made[f"{family} legacy_ddp"] = arguments(*many, *UNEVEN[family], "--ddp-backend", "legacy_ddp")
        made[f"{family} exact"] = arguments(*many, *exact(family, SIZES[family]))
    many = ["transformer_lm", UPDATES["transformer_lm"], *RATES["transformer_lm"], "--update-freq", 2]
    made["distilled"] = arguments(*many, *UNEVEN["transformer_lm"], *taught)
    made["distilled legacy_ddp"] = arguments(*many, *UNEVEN["transformer_lm"], *taught, "--ddp-backend", "legacy_ddp")
    made["distilled exact"] = arguments(*many, *exact("transformer_lm", SIZES["transformer_lm"]), *taught)
    few = ["--max-tokens", 100]
    made["all_dropped"] = arguments("transformer", 8, *few, *ALMOST_ALL)
    made["all_dropped language_model"] = arguments("transformer_lm", 8, *few, *ALMOST_ALL[2:], "--update-freq", 2)
    made["checkpoint_activations"] = arguments("transformer", 8, *few, *HALF, "--checkpoint-activations")
    made["structured"] = arguments("transformer", 8, *few, *HALF, *STRUCTURED)
    made["depths"] = arguments("transformer", 8, *few, "--layerdrop-depths", "3+1,2", "--update-freq", 2)
    made["structured checkpoint_activations"] = arguments(
        "transformer", 8, *few, *HALF, *STRUCTURED, "--checkpoint-activations"
    )
    _, *others = arguments("transformer", 8, *few)
    made["decoder_runs_twice"] = list(map(str, [aligned, *others, *argv_of(tiny, "transformer_align"), *HALF]))
    made["two_passes"] = arguments("transformer", 8, *few, *HALF, "--criterion", "twice")
    made["find_unused_parameters"] = arguments("transformer", 8, *few, *HALF, "--find-unused-parameters")
    prune = ["--decoder-layers-to-keep", "0,2", "--restore-file", full["transformer"], "--save-interval-updates", 1]
    made["pruned"] = arguments("transformer", 14, *few, *prune)
    made["pruned once more"] = arguments("transformer", 16, *few, *prune)
    return made


def exact(family, size):
    shorter = ["--tokens-per-sample", 8] if family == "roberta" else []  # fairseq keeps a first batch of 8 or less
    return [*EXACT, *(ADAPTIVE if family == "transformer_lm" else []), *shorter, "--batch-size", size]


@pytest.fixture(scope="module")
def trained(jobs, torchrun, tmp_path_factory):
    """The folder and the log of each of these trainings."""
    folders = {name: tmp_path_factory.mktemp("save") for name in jobs}
    folders["pruned once more"] = folders["pruned"]
    file = tmp_path_factory.mktemp("jobs") / "jobs.json"
    file.write_text(json.dumps({name: [*jobs[name], "--save-dir", str(folders[name])] for name in jobs}))
    process = torchrun("python", WORKERS / "train_each.py", file)
    _, *logs = re.split(r"^= (.*) =$", process.stdout, flags=re.MULTILINE)
    assert logs[::2] == list(jobs)
    return {name: (folders[name], log) for name, log in zip(jobs, logs[1::2])}


def weights(folder, updates):
    """The digest of both workers' weights."""
    first, second = [(folder / f"weights.{rank}").read_text() for rank in (0, 1)]
    assert first == second
    assert first.startswith(f"{updates} ")
    return first


def entries(log, kind):
    return [json.loads(line) for line in re.findall(rf"\| {kind} \| (.*)", log)]


@pytest.mark.parametrize("family", [*FAMILIES, "distilled"])
def test_both_backends_leave_the_same_weights_on_both_workers(family, trained):
    """Without any flag, and exactly: half the sum of two workers' gradients does not depend on the order."""
    folder, log = trained[family]
    updates = UPDATES.get(family, UPDATES["transformer_lm"])
    assert "training on 2 devices" in log
    assert "'ddp_backend': 'pytorch_ddp'" in log
    assert "'find_unused_parameters': False" in log
    legacy_folder, legacy_log = trained[f"{family} legacy_ddp"]
    assert "'ddp_backend': 'legacy_ddp'" in legacy_log
    assert weights(folder, updates) == weights(legacy_folder, updates)
    losses = [float(entry["loss"]) for entry in entries(log, "train_inner")]
    assert len(losses) == updates
    assert sum(losses[-5:]) < sum(losses[:5])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("backend", ["", " legacy_ddp"])
def test_masks_of_all_workers_are_the_same_at_each_update(family, backend, trained):
    folder, _ = trained[family + backend]
    stacks = {"transformer": ["encoder", "decoder"], "transformer_lm": ["decoder"], "roberta": ["encoder"]}[family]
    expected = []
    for update in range(UPDATES[family]):
        for i in range(PASSES[family][update % len(PASSES[family])]):
            for stack in stacks:
                mask = dropped_groups((0.5,) * 4, seed=1, update=update, forward_pass=i, name=stack)
                expected.append(f"{update} {i} {stack} {''.join('-x'[dropped] for dropped in mask)}")
    assert len(expected) == {"transformer": 48, "transformer_lm": 18, "roberta": 18}[family]
    for rank in (0, 1):
        assert (folder / f"masks.{rank}").read_text().splitlines() == expected


@pytest.mark.parametrize("name", [*FAMILIES, "distilled"])
def test_losses_are_those_of_one_worker_with_twice_the_batch(name, trained, taught, arguments, train, tmp_path, caplog):
    """The same sentences in each pass, so the same masks; what is left is rounding, in the sums and in the log.

    Without momentum: Adam passes over a dropped layer on one worker, as its gradient is None, and goes on with its
    momentum on several, where the mean of their gradients is zero. That is so in stock fairseq, too.
    """
    folder, log = trained[f"{name} exact"]
    family, more = ("transformer_lm", taught) if name == "distilled" else (name, [])
    options = [*RATES[family], "--update-freq", 2, *exact(family, 2 * SIZES[family]), *more]
    with caplog.at_level(logging.INFO):
        # not the user dir that notes: in this process it would go on noting in the tests that follow
        train(*arguments(family, UPDATES[family], *options), "--user-dir", "layerdrop_plugin", "--save-dir", tmp_path)
    for kind, loss in (("train_inner", "loss"), ("valid", "valid_loss")):
        one = [json.loads(record.getMessage()) for record in caplog.records if record.name == kind]
        two = entries(log, kind)
        assert len(one) == len(two) > 1
        for metric in (loss, "distill_loss") if more and kind == "train_inner" else (loss,):
            assert [float(e[metric]) for e in two] == pytest.approx([float(e[metric]) for e in one], abs=0.002)
    theirs, ours = (torch.load(path / "checkpoint_last.pt")["model"] for path in (tmp_path, folder))
    for name, value in ours.items():
        if not name.endswith("_float_tensor"):
            torch.testing.assert_close(value, theirs[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        *("all_dropped", "all_dropped language_model", "checkpoint_activations", "two_passes"),
        "decoder_runs_twice",
        *("find_unused_parameters", "structured", "structured checkpoint_activations", "depths"),
    ],
)
def test_workers_agree(name, trained):
    folder, log = trained[name]
    assert weights(folder, 8)
    assert (folder / "masks.0").read_text() == (folder / "masks.1").read_text() > ""
    assert f"'find_unused_parameters': {name == 'find_unused_parameters'}" in log


def test_both_stacks_draw_the_same_depth_on_both_workers(trained):
    folder, _ = trained["depths"]
    drawn = [line.split() for line in (folder / "masks.0").read_text().splitlines() if " depth " in line]
    assert [entry[:2] for entry in drawn[::2]] == [[str(update), str(i)] for update in range(8) for i in (0, 1)]
    assert drawn[::2] == drawn[1::2]
    assert {entry[3] for entry in drawn} == {"4+4", "3+1", "2+2"}


PARTS = {
    "encoder": ["self_attn.heads", "self_attn.sublayer", "ffn.sublayer"],
    "decoder": [
        *("self_attn.heads", "encoder_attn.heads", "ffn"),
        *("self_attn.sublayer", "encoder_attn.sublayer", "ffn.sublayer"),
    ],
}


def test_parts_of_layers_are_dropped_and_rates_learned_alike_on_both_workers(trained):
    folder, _ = trained["structured"]
    drawn = [line.split() for line in (folder / "masks.0").read_text().splitlines()]
    assert {tuple(entry[:3]) for entry in drawn} == {
        (str(update), str(i), name)
        for update in range(8)
        for i in (0, 1)
        for stack, parts in PARTS.items()
        for name in (stack, *(f"{stack}.{part}" for part in parts))
    }
    heads = (0, 0, 0.2, 0.2, 0.4, 0.4, 0.6, 0.6)  # two in each layer
    mask = dropped_groups(heads, seed=1, update=5, forward_pass=1, name="decoder.encoder_attn.heads")
    assert ["5", "1", "decoder.encoder_attn.heads", "".join("-x"[dropped] for dropped in mask)] in drawn
    saved = torch.load(folder / "checkpoint_last.pt")["model"]
    rates = [saved[f"decoder.layers.{i}.learned_rate.rate"].item() for i in range(4)]
    assert max(rates) - min(rates) > 0.01
    assert sum(rates) / 4 == pytest.approx(0.5, abs=1e-5)


def test_checkpointed_activations_change_no_mask_and_no_rate(trained):
    kept, recomputed = (trained[f"structured{more}"][0] for more in ("", " checkpoint_activations"))
    found, expected = (torch.load(folder / "checkpoint_last.pt")["model"] for folder in (recomputed, kept))
    for name, value in found.items():
        if not name.endswith(("_float_tensor", "k_proj.bias")):  # whose gradient is nothing but rounding
            torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=1e-4)
    masks = [(folder / "masks.0").read_text() for folder in (kept, recomputed)]
    assert masks[0] == masks[1]


def test_workers_pick_up_from_a_checkpoint_that_is_pruned_and_once_more(trained):
    first, again = trained["pruned"][1], trained["pruned once more"][1]
    assert "decoder keeps layers [0,2] of 4" in first
    assert "Loaded checkpoint" in first
    assert "@ 12 updates" in first
    assert "@ 14 updates" in again
    assert weights(trained["pruned once more"][0], 16)


def test_what_is_refused_is_one_line_without_a_traceback_where_fairseq_starts_the_workers(arguments, command, tmp_path):
    refused = arguments("transformer", 8, "--ddp-backend", "fully_sharded", "--save-dir", tmp_path)
    process = command("python", WORKERS / "started_by_fairseq.py", *refused, status=2)
    message = (
        "fairseq-train: error: `--ddp-backend` must be pytorch_ddp or legacy_ddp for layerdrop_transformer, but is"
    )
    reason = "fully_sharded: a layer that is split among workers can be neither dropped nor pruned."
    assert f"{message} {reason}" in process.stderr  # of both workers, perhaps in one line
    assert "Traceback" not in process.stdout + process.stderr
    assert "examples from" not in process.stdout + process.stderr  # no data was read
