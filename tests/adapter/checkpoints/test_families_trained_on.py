"""Training goes on from a pruned model of another family than ours: the small model, with its optimizer's state."""

from __future__ import annotations

import pytest
import torch

from layerdrop_plugin.fairseq_adapter.checkpoints.write_pruned import prune_checkpoint

pytestmark = pytest.mark.slow

SIZE = [
    *("--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "24", "--decoder-ffn-embed-dim", "24"),
    *("--encoder-attention-heads", "2", "--decoder-attention-heads", "2", "--optimizer", "adam", "--lr", "0.01"),
    *("--max-tokens", "300", "--cpu", "--no-progress-bar", "--num-workers", "0", "--no-epoch-checkpoints"),
    "--disable-validation",
]
MODELS = {
    "bart": ["--arch", "bart_base", "--share-all-embeddings", "--decoder-embed-dim", "16"],
    "nonautoregressive_transformer": [
        *("--arch", "nonautoregressive_transformer", "--share-all-embeddings", "--task", "translation_lev"),
        *("--criterion", "nat_loss", "--noise", "full_mask", "--apply-bert-init", "--pred-length-offset"),
    ],
    "multilingual_transformer": [
        *("--arch", "multilingual_transformer", "--share-all-embeddings", "--decoder-embed-dim", "16"),
        *("--task", "multilingual_translation", "--lang-pairs", "en-de"),
    ],
    "lightconv": ["--arch", "lightconv", "--share-all-embeddings", "--decoder-embed-dim", "16"],
}
DEEP = ["--encoder-layers", "4", "--decoder-layers", "3"]
KERNELS = {"deep": ["[3,5,7,9]", "[3,5,7]"], "pruned": ["[3,9]", "[5,7]"]}


def kernels(model, size):
    encoder, decoder = KERNELS[size]
    sizes = ["--encoder-kernel-size-list", encoder, "--decoder-kernel-size-list", decoder]
    return sizes if model == "lightconv" else []


HOW = [*((model, "file") for model in MODELS), *((model, "at load") for model in MODELS if model != "lightconv")]
"""lightconv has no option to prune."""


@pytest.mark.parametrize(("model", "how"), HOW)
def test_training_goes_on(model, how, data, train, tmp_path):
    argv = [data["transformer"], *MODELS[model], *SIZE]
    train(*argv, *DEEP, *kernels(model, "deep"), "--max-update", 2, "--save-dir", tmp_path)
    full = path = tmp_path / "checkpoint_last.pt"
    if how == "file":
        path = tmp_path / "small.pt"
        prune_checkpoint(str(full), str(path), {"encoder": "0,3", "decoder": "1,2"}, keep_optimizer=True)
        size = ["--encoder-layers", "2", "--decoder-layers", "2", *kernels(model, "pruned")]
    else:
        size = [*DEEP, "--encoder-layers-to-keep", "0,3", "--decoder-layers-to-keep", "1,2"]
    train(*argv, *size, "--max-update", 3, "--restore-file", path, "--save-dir", tmp_path / "small")
    before, after = (torch.load(f, weights_only=False) for f in (full, tmp_path / "small" / "checkpoint_last.pt"))
    assert after["optimizer_history"][-1]["num_updates"] == 3
    options = after["cfg"]["model"]
    assert (options.encoder_layers, options.decoder_layers) == (2, 2)
    prefix = "models.en-de." if model == "multilingual_transformer" else ""
    layers = {f"{prefix}encoder.layers.0.": 0, f"{prefix}encoder.layers.1.": 3, f"{prefix}decoder.layers.0.": 1}
    for new, old in layers.items():  # one update of Adam moves a weight by at most the learning rate, or little more
        name = f"{new}fc1.bias"
        was = name.replace(f"layers.{new[-2]}.", f"layers.{old}.")
        assert 0 < (after["model"][name] - before["model"][was]).abs().max() < 0.02
    moments = after["last_optimizer_state"]["state"]
    assert {float(entry["step"]) for entry in moments.values()} == {3.0}
