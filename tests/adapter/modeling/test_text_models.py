"""LayerDrop in fairseq's other models that are built on its transformer."""

from __future__ import annotations

import pickle
from argparse import ArgumentParser
from types import SimpleNamespace

import pytest
import torch
from fairseq import models
from fairseq.data import Dictionary
from fairseq.models import ARCH_MODEL_NAME_REGISTRY, MODEL_REGISTRY
from omegaconf import OmegaConf
from shared.text_models import RATES, TEXT_MODELS, aligned, argv_of, loss_of, watch  # noqa: F401  a fixture
from shared.trainings import assert_same_training

from layerdrop_plugin.dropping import LayerDropStack

pytestmark = pytest.mark.slow

FAMILIES = list(TEXT_MODELS)
DISTINCT = ["bart", "transformer_align", "iterative_nonautoregressive_transformer"]
"""The others have the last one's decoder, and run it once."""
UPDATE = 3
MASKS = {"encoder": ["1100", "1000"], "decoder": ["0110", "0001"]}
"""What seed 1 drops at rate 0.5 in the first two passes of this update; a layer that aligns, 2, is never dropped."""
TIMES = {"transformer_align": 2, "iterative_nonautoregressive_transformer": 3}
"""How often the decoder runs in a pass, where it is not once."""


@pytest.fixture
def build(make_trainer, tiny, aligned):
    """A function from a family and options to a trainer, whose model is in training."""

    def run(family, *options, prefix="layerdrop_"):
        torch.manual_seed(1)
        trainer = make_trainer(aligned, *argv_of(tiny, family, prefix), *options)
        trainer._model.train()
        return trainer

    return run


def stacks(trainer):
    return {module.name: module for module in trainer._model.modules() if isinstance(module, LayerDropStack)}


def test_every_architecture_of_fairseqs_has_ours():
    ours = {name for name, of in ARCH_MODEL_NAME_REGISTRY.items() if of in {f"layerdrop_{f}" for f in FAMILIES}}
    assert ours == {
        *("layerdrop_bart_base", "layerdrop_bart_large"),
        *("layerdrop_mbart_base", "layerdrop_mbart_base_wmt20", "layerdrop_mbart_large"),
        *("layerdrop_transformer_align", "layerdrop_transformer_wmt_en_de_big_align"),
        "layerdrop_nonautoregressive_transformer",
        "layerdrop_nonautoregressive_transformer_wmt_en_de",
        *("layerdrop_cmlm_transformer", "layerdrop_cmlm_transformer_wmt_en_de"),
        "layerdrop_iterative_nonautoregressive_transformer",
        "layerdrop_iterative_nonautoregressive_transformer_wmt_en_de",
        "layerdrop_nacrf_transformer",
    }


OWN = {
    "bart": "--pooler-dropout",
    "transformer_align": "--alignment-layer",
    "nonautoregressive_transformer": "--src-embedding-copy",
    "cmlm_transformer": "--pred-length-offset",
    "iterative_nonautoregressive_transformer": "--dae-ratio",
    "nacrf_transformer": "--crf-beam-approx",
}


@pytest.mark.parametrize(("family", "own"), OWN.items())
def test_help_has_fairseqs_options_and_ours(family, own):
    parser = ArgumentParser()
    MODEL_REGISTRY[f"layerdrop_{family}"].add_args(parser)
    text = parser.format_help()
    for option in (own, "--encoder-layerdrop P", "--decoder-headdrop P", "--layerdrop-validate-depths"):
        assert f"  {option}" in text


@pytest.mark.parametrize("arch", ["bart_base", "transformer_align", "cmlm_transformer", "nacrf_transformer"])
def test_from_yaml_it_has_what_fairseqs_model_reads_as_its_own(arch):
    sizes = {"encoder_embed_dim": 8, "encoder_layers": 2, "decoder_layers": 2}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_layerdrop": 0.5}
    root = OmegaConf.create(
        {
            "model": {"_name": f"layerdrop_{arch}", **sizes, **heads},
            "task": {"_name": "multilingual_denoising"},
            "criterion": {"label_smoothing": 0.3},
            "common": {"seed": 7},
        }
    )
    words = Dictionary()
    if arch == "transformer_align":
        root.model.alignment_layer = 1
    model = models.build_model(root.model, SimpleNamespace(source_dictionary=words, target_dictionary=words))
    assert (model.decoder.layers.dropping.seed, model.decoder.layers.rates[0]) == (7, 0.5)
    if arch == "bart_base":
        assert model.args.task == "multilingual_denoising"
    elif arch != "transformer_align":
        assert model.args.label_smoothing == 0.3


@pytest.mark.parametrize("family", DISTINCT)
def test_it_is_pickled(family, build):
    model = build(family, *RATES)._model
    again = pickle.loads(pickle.dumps(model))
    assert type(again) is type(model)
    assert [stack.rates for stack in (again.encoder.layers, again.decoder.layers)] == [
        stack.rates for stack in (model.encoder.layers, model.decoder.layers)
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pass_runs_the_layers_that_the_seed_says_and_the_others_get_no_gradient(family, build):
    trainer = build(family, *RATES)
    trainer._model.set_num_updates(UPDATE)
    ran = {name: watch(stack) for name, stack in stacks(trainer).items()}
    for forward_pass in (0, 1):
        trainer._model.zero_grad(set_to_none=True)
        loss_of(trainer).backward()
        for name, stack in stacks(trainer).items():
            mask = MASKS[name][forward_pass]
            runs = [i for i in range(4) if mask[i] == "0" or (family, name, i) == ("transformer_align", "decoder", 2)]
            assert ran[name] == runs * (TIMES.get(family, 1) if name == "decoder" else 1)
            assert [any(p.grad is not None for p in stack[i].parameters()) for i in range(4)] == [
                i in runs for i in range(4)
            ]
            ran[name].clear()


@pytest.mark.parametrize("family", FAMILIES)
def test_at_rate_0_it_is_fairseqs_model_bit_for_bit(family, build):
    found = []
    for prefix in ("", "layerdrop_"):
        trainer = build(family, prefix=prefix)
        loss = loss_of(trainer)
        loss.backward()
        gradients = {name: p.grad for name, p in trainer._model.named_parameters() if p.grad is not None}
        found.append((trainer._model.state_dict(), loss, gradients))
    (weights, loss, gradients), (our_weights, our_loss, our_gradients) = found
    assert list(weights) == list(our_weights)
    assert torch.equal(loss, our_loss)
    assert list(gradients) == list(our_gradients)
    assert all(torch.equal(gradients[name], our_gradients[name]) for name in gradients)


@pytest.mark.parametrize("family", DISTINCT)
def test_the_trained_depths_are_what_runs(family, build):
    trainer = build(family, "--layerdrop-depths", "4+4=0,3+3=0.5,1+3=0.5")
    ran = {name: watch(stack) for name, stack in stacks(trainer).items()}
    layers = {"3+3": {"encoder": {0, 1, 2}, "decoder": {0, 1, 2}}, "1+3": {"encoder": {0}, "decoder": {0, 1, 2}}}
    seen = set()
    for _ in range(8):
        loss_of(trainer)
        now = {name: set(indices) for name, indices in ran.items()}
        seen.update(name for name, wanted in layers.items() if now == wanted)
        assert now in layers.values()
        for indices in ran.values():
            indices.clear()
    assert seen == set(layers)


@pytest.mark.parametrize("family", DISTINCT)
def test_heads_ffns_and_sublayers_are_dropped_too(family, build):
    drops = [
        f"--{stack}-{kind}" for stack in ("encoder", "decoder") for kind in ("headdrop", "ffndrop", "sublayerdrop")
    ]
    trainer = build(family, *(word for option in drops for word in (option, 0.5)))
    trainer._model.set_num_updates(8)
    loss_of(trainer).backward()
    skipped = {
        f"{name}.{part}": "".join(
            "01"[all(p.grad is None for p in getattr(stack[i], part).parameters())] for i in range(4)
        )
        for name, stack in stacks(trainer).items()
        for part in ("self_attn", "encoder_attn", "fc1")
        if hasattr(stack[0], part)
    }
    assert skipped == {
        "encoder.self_attn": "0010",
        "encoder.fc1": "1111",  # 1101 as an FFN, 0110 as a sub-layer
        "decoder.self_attn": "0011",
        "decoder.encoder_attn": "0000" if family == "transformer_align" else "0010",
        "decoder.fc1": "1001",
    }


@pytest.fixture(scope="session")
def trained(train, made_once, tiny, aligned):
    """A function from a family to a checkpoint after two updates with LayerDrop."""

    def checkpoint(family):
        argv = [aligned, *argv_of(tiny, family), *RATES, "--max-update", 2, "--disable-validation", "--save-dir"]
        return made_once(f"trained_{family}", lambda folder: train(*argv, folder)) / "checkpoint_last.pt"

    return checkpoint


KEPT = {"encoder": [0, 3], "decoder": [2]}
SPECS = {"encoder_layers_to_keep": "0,3", "decoder_layers_to_keep": "2"}


@torch.no_grad()
def outputs_of(model, tokens):
    """What a model gives for two sentences, a target of which is the source again."""
    torch.manual_seed(1)
    if hasattr(model, "tgt_dict"):  # it predicts whole sentences
        return model(tokens, tokens.ne(1).sum(1), tokens, tokens)["word_ins"]["out"]
    return model(tokens, None, tokens)[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_pruned_at_load_it_is_the_model_without_those_layers_bit_for_bit(family, trained, load_model, tokens):
    model, _ = load_model(trained(family))
    assert type(model).__name__.startswith("LayerDrop")
    pruned, cfg = load_model(trained(family), **SPECS)
    assert (cfg.encoder_layers, cfg.decoder_layers) == (2, 1)
    whole = outputs_of(model, tokens)
    with model.encoder.layers.running(KEPT["encoder"]), model.decoder.layers.running(KEPT["decoder"]):
        running = outputs_of(model, tokens)
    for stack, kept in KEPT.items():
        part = getattr(model, stack)
        part.layers = torch.nn.ModuleList([part.layers[i] for i in kept])
    if family == "transformer_align":
        model.alignment_layer = 0
        assert cfg.alignment_layer == 0
    small = outputs_of(pruned, tokens)
    assert not torch.equal(small, whole)
    assert torch.equal(small, outputs_of(model, tokens))
    assert torch.equal(small, running)


def test_a_training_that_is_started_again_ends_as_one_that_was_not(train, tiny, aligned, tmp_path):
    argv = [aligned, *argv_of(tiny, "iterative_nonautoregressive_transformer"), *RATES, "--save-dir"]
    train(*argv, tmp_path / "whole", "--max-update", 5)
    for updates in (3, 5):
        train(*argv, tmp_path / "again", "--max-update", updates)
    assert_same_training(tmp_path / "whole", tmp_path / "again")
