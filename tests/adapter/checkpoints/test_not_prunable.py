"""Models whose layers can't be pruned: the reason is said, and it is true."""

from __future__ import annotations

from argparse import Namespace

import pytest
from shared.untrained import untrained

from layerdrop_plugin.cli import search as search_command
from layerdrop_plugin.cli import sweep as sweep_command
from layerdrop_plugin.fairseq_adapter.checkpoints import pruning
from layerdrop_plugin.fairseq_adapter.checkpoints.checkpoint import Checkpoint
from layerdrop_plugin.fairseq_adapter.options.declared import STACKS
from layerdrop_plugin.fairseq_adapter.options.model_options import read

LAYERS = ("encoder.embed.w", "encoder.layers.0.w", "encoder.layers.1.w")
STRANGE = {
    "lstm": (LAYERS, "the layers of a lstm can't be pruned, as they are no transformer layers"),
    "fconv_wmt_en_de": (LAYERS, "the layers of a fconv_wmt_en_de can't be pruned, as they are no transformer layers"),
    "transformer_lm": (LAYERS, "the model has no encoder"),
    "roberta_enc_dec": (
        LAYERS,
        "the layers of a roberta_enc_dec can't be pruned, as it has one depth for both stacks",
    ),
    "s2t_transformer": (LAYERS, "the encoder layers of s2t_transformer can't be pruned"),
    "transformer": (("encoder.transformer_layers.0.w",), "the encoder layers of transformer can't be pruned"),
    "mine": (
        ("encoder.blocks.0.w",),
        "the encoder layers of mine can't be pruned, unless `--user-dir` names the folder that defines it",
    ),
}


@pytest.mark.parametrize("arch", STRANGE)
def test_why_a_stack_can_not_be_pruned_is_true(arch):
    weights, why = STRANGE[arch]
    with pytest.raises(ValueError) as error:
        pruning.prune(Checkpoint(dict.fromkeys(weights, 0), args=Namespace(arch=arch)), {"encoder": "0"})
    assert str(error.value) == f"`encoder_layers_to_keep` must be left out: {why} (got '0')."


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "task", "why"),
    [
        (
            "roberta_enc_dec",
            ["--task", "translation"],
            "a model that can be pruned, but the layers of a roberta_enc_dec can't be pruned, "
            "as it has one depth for both stacks.",
        ),
    ],
)
def test_a_search_refuses_a_model_that_can_not_be_pruned(arch, task, why, data, configure, tmp_path, error_of):
    cfg = configure(data["transformer"], "--arch", arch, *task, "--optimizer", "adam", "--max-tokens", "300")
    sizes = {"encoder_layers": 2, "decoder_layers": 2, "max_positions": 64}
    sizes.update({f"{s}_{name}": n for s in STACKS for name, n in (("embed_dim", 16), ("ffn_embed_dim", 24))})
    sizes.update({f"{s}_attention_heads": 2 for s in STACKS})
    vars(cfg.model).update(sizes)
    path = str(untrained(cfg, tmp_path / "full.pt"))
    argv = [str(data["transformer"]), "--path", path, "--cpu"]
    for main, more in ((search_command.main, ["--keep", "1"]), (sweep_command.main, [])):
        assert error_of(main, *argv, *more, "--gen-subset", "valid") == f"`--path` must be {why}"


def test_an_option_of_a_stack_that_can_not_be_pruned():
    with pytest.raises(ValueError) as error:
        read(Namespace(arch="roberta_enc_dec", encoder_layers=4, decoder_layers_to_keep="0,2"))
    assert str(error.value) == (
        "`decoder_layers_to_keep` must be left out: the layers of a roberta_enc_dec can't be pruned, "
        "as it has one depth for both stacks (got '0,2')."
    )
