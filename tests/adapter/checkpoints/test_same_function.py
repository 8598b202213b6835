"""Which options of a training make something else of a checkpoint's weights, and what is said of them."""

from __future__ import annotations

from argparse import Namespace

import pytest
import torch
from fairseq.data import Dictionary
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from omegaconf import OmegaConf

from layerdrop_plugin.fairseq_adapter.checkpoints.checkpoint import Checkpoint
from layerdrop_plugin.fairseq_adapter.checkpoints.same_function import check, differences

SAVED = {
    "_name": "transformer",
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "activation_fn": "relu",
    "no_scale_embedding": False,
    "share_all_embeddings": True,
    "share_decoder_input_output_embed": True,
    "dropout": 0.1,
}


def saved(**options):
    return Checkpoint.of({"model": {}, "cfg": {"model": {**SAVED, **options}}})


def model(**options):
    return Namespace(**{**SAVED, "_name": "layerdrop_transformer", **options})


def refusal(checkpoint, cfg):
    with pytest.raises(ValueError) as error:
        check(checkpoint, cfg, "a.pt")
    return str(error.value)


@pytest.mark.parametrize(
    ("options", "differs", "advice"),
    [
        (
            {"encoder_attention_heads": 4},
            "`--encoder-attention-heads` is 4 instead of 2",
            "--encoder-attention-heads 2",
        ),
        ({"activation_fn": "gelu"}, "`--activation-fn` is gelu instead of relu", "--activation-fn relu"),
    ],
)
def test_one_option_is_refused(options, differs, advice):
    expected = f"the model must be built as that of a.pt, but {differs}: add {advice}."
    assert refusal(saved(), model(**options)) == expected
    assert refusal(saved(), OmegaConf.create(vars(model(**options)))) == expected


def test_all_that_differs_is_in_one_line():
    cfg = model(
        encoder_attention_heads=4,
        no_scale_embedding=True,
        share_all_embeddings=False,
        share_decoder_input_output_embed=False,
    )
    assert refusal(saved(), cfg) == (
        "the model must be built as that of a.pt, but `--encoder-attention-heads` is 4 instead of 2, "
        "`--no-scale-embedding` is on instead of off, `--share-all-embeddings` is off instead of on: add "
        "--encoder-attention-heads 2 --share-all-embeddings and leave out --no-scale-embedding."
    )


def test_what_the_architecture_sets_is_left_out_with_it():
    checkpoint = saved(_name="transformer_iwslt_de_en", encoder_normalize_before=False)
    cfg = model(_name="layerdrop_transformer_wmt_en_de_big_t2t", encoder_normalize_before=True)
    assert refusal(checkpoint, cfg) == (
        "the model must be built as that of a.pt, but `--encoder-normalize-before` is on instead of off: leave out "
        "--encoder-normalize-before and take the --arch of the checkpoint, transformer_iwslt_de_en."
    )


def test_sharing_what_was_apart_is_refused():
    apart = saved(share_all_embeddings=False, share_decoder_input_output_embed=False)
    assert refusal(apart, model()) == (
        "the model must be built as that of a.pt, but `--share-all-embeddings` is on instead of off: "
        "leave out --share-all-embeddings."
    )
    decoders = saved(share_all_embeddings=False)
    assert refusal(decoders, model()) == (
        "the model must be built as that of a.pt, but `--share-all-embeddings` is on instead of off: "
        "add --share-decoder-input-output-embed and leave out --share-all-embeddings."
    )


def test_shared_weights_that_part_are_noted():
    """The model is the same at first, and somebody may want that; the decoder's are shared with all."""
    cfg = model(share_all_embeddings=False, share_decoder_input_output_embed=True)
    note = (
        "weights that are shared in a.pt are trained apart, as `--share-all-embeddings` is off instead of on; "
        "to share them, add --share-all-embeddings"
    )
    assert check(saved(share_decoder_input_output_embed=False), cfg, "a.pt") == note
    roberta = saved(_name="roberta", untie_weights_roberta=False)
    assert check(roberta, model(_name="roberta", untie_weights_roberta=True), "a.pt") == (
        "weights that are shared in a.pt are trained apart, as `--untie-weights-roberta` is on instead of off; "
        "to share them, leave out --untie-weights-roberta"
    )


@pytest.mark.parametrize(
    ("checkpoint", "cfg"),
    [
        (saved(), model()),
        (saved(), model(dropout=0.3)),
        (saved(activation_fn="gelu_fast"), model(activation_fn="gelu")),
        (saved(encoder_attention_heads="2"), model()),  # as from YAML
        (saved(encoder_attention_heads=None), model()),
        (Checkpoint.of({"model": {}}), model()),
        (Checkpoint.of({"model": {}, "args": Namespace(arch="transformer", encoder_layers=2)}), model()),
    ],
)
def test_nothing_is_said_where_all_is_equal_or_unknown(checkpoint, cfg):
    assert check(checkpoint, cfg, "a.pt") is None


def test_old_options():
    args = Namespace(arch="transformer", encoder_attention_heads=4)
    assert refusal(Checkpoint.of({"model": {}, "args": args}), model()) == (
        "the model must be built as that of a.pt, but `--encoder-attention-heads` is 2 instead of 4: "
        "add --encoder-attention-heads 4."
    )


NOTE = (
    "the weights of a.pt may give other results in this model, as `--activation-fn` is gelu instead of relu; for equal "
    "ones, add --activation-fn relu"
)


def test_a_model_of_another_kind_or_of_a_users_own_may_do_as_it_likes():
    cfg = model(activation_fn="gelu")
    assert check(saved(_name="transformer_lm"), cfg, "a.pt") == NOTE
    assert check(saved(_name="somebodys"), cfg, "a.pt") == NOTE
    assert check(saved(), cfg, "a.pt", is_users=True) == NOTE


SHAPE = {
    **{"encoder_layers": 2, "encoder_embed_dim": 16, "encoder_ffn_embed_dim": 16, "encoder_attention_heads": 2},
    **{"decoder_layers": 2, "decoder_attention_heads": 2, "max_positions": 32, "dropout": 0.0},
}

SILENT = {
    "transformer": {
        **{"encoder_attention_heads": 4, "decoder_attention_heads": 4, "activation_fn": "gelu"},
        **{"no_scale_embedding": True, "cross_self_attention": True},
        **{"share_all_embeddings": True, "share_decoder_input_output_embed": True},
    },
    "roberta": {
        **{"encoder_attention_heads": 4, "activation_fn": "relu", "no_scale_embedding": False},
        "untie_weights_roberta": True,
    },
}


def built(arch, **options):
    dictionary = Dictionary()
    for i in range(16):
        dictionary.add_symbol(f"w{i}")
    task = Namespace(source_dictionary=dictionary, target_dictionary=dictionary)
    cfg = Namespace(arch=arch, **{**SHAPE, **options})
    ARCH_CONFIG_REGISTRY[arch](cfg)
    torch.manual_seed(1)
    model = ARCH_MODEL_REGISTRY[arch].build_model(cfg, task).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_()
    return model, Checkpoint.of({"model": {}, "cfg": {"model": cfg}}), cfg


@pytest.mark.parametrize(("arch", "name", "value"), [(a, *item) for a in SILENT for item in SILENT[a].items()])
def test_what_is_harmless_is_so_in_fairseqs_models(arch, name, value, outputs):
    """In both directions, fairseq loads the weights in silence, and the results are others unless the table says so."""
    for given, wanted in (({}, {name: value}), ({name: value}, {})):
        (source, checkpoint, _), (target, _, cfg) = built(arch, **given), built(arch, **wanted)
        target.load_state_dict(source.state_dict())
        found = [d for d in differences(checkpoint, cfg) if d.name == name]
        equal = torch.equal(outputs(source, arch), outputs(target, arch))
        assert [d.is_harmless for d in found] == [equal]
