"""The options that build a checkpoint's model again: no more than the architecture leaves open."""

from __future__ import annotations

from argparse import Namespace

import pytest

from layerdrop_plugin.cli.describe import main
from layerdrop_plugin.fairseq_adapter.checkpoints.checkpoint import Checkpoint
from layerdrop_plugin.fairseq_adapter.checkpoints.describe import describe
from layerdrop_plugin.fairseq_adapter.checkpoints.repeated_options import repeated

OPTIONS = {
    "transformer": "--arch layerdrop_transformer --encoder-embed-dim 16 --encoder-ffn-embed-dim 24 --encoder-layers 4 "
    "--encoder-attention-heads 2 --decoder-layers 4 --decoder-attention-heads 2 --share-all-embeddings",
    "transformer_lm": "--arch layerdrop_transformer_lm --decoder-embed-dim 16 --decoder-ffn-embed-dim 24 "
    "--decoder-layers 4 --decoder-attention-heads 2",
    "roberta": "--arch layerdrop_roberta --encoder-layers 4 --encoder-embed-dim 16 --encoder-ffn-embed-dim 24 "
    "--encoder-attention-heads 2 --max-positions 32",
}


@pytest.mark.parametrize("family", OPTIONS)
def test_each_family(family, full):
    assert describe(str(full[family]), with_options=True).options == tuple(OPTIONS[family].split())


def test_fairseq_builds_the_model_of_them(full, data, make_trainer, tmp_path):
    path = str(full["transformer"])
    training = ["--task", "translation", "--optimizer", "adam", "--max-tokens", 300, "--cpu", "--save-dir", tmp_path]
    trainer = make_trainer(data["transformer"], *describe(path, with_options=True).options, *training)
    assert trainer.load_checkpoint(path, reset_optimizer=True, reset_lr_scheduler=True) is not None


def of(**options):
    return " ".join(repeated(Checkpoint.of({"model": {}, "cfg": {"model": Namespace(**options)}}), "a.pt"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"_name": "transformer_iwslt_de_en", "encoder_attention_heads": 4, "dropout": 0.3}, ""),
        ({"_name": "roberta", "no_scale_embedding": True, "layernorm_embedding": True}, ""),
        ({"_name": "transformer", "share_decoder_input_output_embed": True}, " --share-decoder-input-output-embed"),
        ({"_name": "transformer", "encoder_layerdrop": 0.2, "activation_fn": "gelu"}, " --activation-fn gelu"),
        (
            {"_name": "transformer", "max_source_positions": 1024, "max_target_positions": 256},
            " --max-target-positions 256",
        ),
        ({"_name": "transformer_lm", "adaptive_softmax_cutoff": "20,30"}, " --adaptive-softmax-cutoff 20,30"),
        ({"_name": "wav2vec2", "layer_norm_first": True, "extractor_mode": "default"}, " --layer-norm-first"),
    ],
)
def test_only_what_the_architecture_leaves_open(options, expected):
    assert of(**options) == f"--arch {options['_name']}{expected}"


def test_no_architecture_is_one_line():
    with pytest.raises(ValueError) as error:
        repeated(Checkpoint.of({"model": {}}), "a.pt")
    assert str(error.value) == "`--options` must go with a checkpoint that names its architecture, but a.pt does not."


def test_the_command(full, capsys):
    path = str(full["roberta"])
    main([path])
    before = capsys.readouterr().out.splitlines()
    main([path, "--options"])
    after = capsys.readouterr().out.splitlines()
    assert [line for line in after if line not in before] == [f"  options       {OPTIONS['roberta']}"]
