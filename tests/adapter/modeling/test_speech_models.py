"""Speech models with LayerDrop, against fairseq's own with the dropped layers taken out by hand."""

from __future__ import annotations

import contextlib
from argparse import ArgumentParser, Namespace

import pytest
import torch
from fairseq import models
from fairseq.models import ARCH_MODEL_NAME_REGISTRY, ARCH_MODEL_REGISTRY
from omegaconf import OmegaConf
from shared.speech import (
    DEPTH,
    MODELS,
    WAV2VEC2,
    batch,
    build,
    loss_of,
    output,
    pretrained,
    stacks,
    watch,
    without_layers,
)
from torch.nn.parallel import DistributedDataParallel

from layerdrop_plugin.fairseq_adapter.modeling.stacks import with_stacks
from layerdrop_plugin.masks import dropped_groups

each = pytest.mark.parametrize("case", MODELS)
RATES = {"encoder": "encoder_layerdrop", "decoder": "decoder_layerdrop"}


def rates(case, rate=0.5):
    return {{**RATES, "encoder": MODELS[case].rate}[stack]: rate for stack in MODELS[case].stacks}


REPEATS_CONVOLUTIONS = int(torch.__version__.partition(".")[0]) > 1
"""With torch 1.13, fairseq's first convolutions do not repeat their gradients, which are of 1e28 here, to the bit."""


def same(first, second):
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    return torch.equal(first, second)


def gradients(model, case):
    loss_of(output(model, case)).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@each
def test_at_rate_0_it_is_fairseqs_model(case):
    ours, theirs = build(case), build(case, ours=False)
    weights = dict(theirs.named_parameters())
    assert list(weights) == list(dict(ours.named_parameters()))
    assert all(torch.equal(value, weights[name]) for name, value in ours.named_parameters())
    assert {name: len(stack) for name, stack in stacks(ours).items()} == dict.fromkeys(MODELS[case].stacks, DEPTH)
    grads, wanted = gradients(ours, case), gradients(theirs, case)
    repeated = [name for name in wanted if REPEATS_CONVOLUTIONS or "feature_extractor.conv_layers" not in name]
    assert all(grads[name] is wanted[name] is None or torch.equal(grads[name], wanted[name]) for name in repeated)
    assert same(output(ours.eval(), case), output(theirs.eval(), case))


@each
def test_dropped_layers_cost_nothing_and_the_others_are_as_if_alone(case):
    ours, kept = build(case, **rates(case)), {}
    ours.set_num_updates(5)
    for name in stacks(ours):
        mask = dropped_groups((0.5,) * DEPTH, seed=1, update=5, forward_pass=0, name=name)
        kept[name] = [i for i in range(DEPTH) if not mask[i]]
    ran = {name: watch(stack) for name, stack in stacks(ours).items()}
    out = output(ours, case)
    assert same(out, output(without_layers(case, kept), case))
    assert ran == kept
    loss_of(out).backward()
    for name, stack in stacks(ours).items():
        for i in range(DEPTH):
            without = [p.grad is None for p in stack[i].parameters()]
            assert all(without) if i not in kept[name] else not all(without)


@each
def test_masks_repeat_from_the_seed_and_after_a_restart(case):
    def ran_in(updates, seed=1):
        """The layers of each stack that ran, in each of two forward passes of each update."""
        model = build(case, seed=seed, **rates(case))
        ran, passes = [watch(stack) for stack in stacks(model).values()], []
        for update in updates:
            model.set_num_updates(update)
            for _ in range(2):
                output(model, case)
                passes.append([list(layers) for layers in ran])
                for layers in ran:
                    layers.clear()
        return passes

    first = ran_in(range(4))
    assert ran_in(range(2, 4)) == first[4:]
    assert ran_in(range(4), seed=2) != first


@each
def test_a_trained_depth_runs_just_its_layers(case):
    depths = "2+2=1,4+4=0" if "decoder" in MODELS[case].stacks else "2=1,4=0"
    ours, small = build(case, layerdrop_depths=depths), without_layers(case, {"encoder": [0, 2], "decoder": [0, 2]})
    assert same(output(ours, case), output(small, case))


@each
def test_layers_to_keep_are_those_of_the_model_that_is_built(case):
    keep = {f"{stack}_layers_to_keep": "0,3" for stack in MODELS[case].stacks}
    ours = build(case, **keep, **rates(case, "linear:0:0.6"))
    assert {name: stack.rates for name, stack in stacks(ours).items()} == dict.fromkeys(MODELS[case].stacks, (0.0, 0.6))


@each
def test_a_model_of_fairseqs_runs_some_of_its_layers_for_an_evaluation(case):
    theirs, small = build(case, ours=False), without_layers(case, {"encoder": [0, 3], "decoder": [0, 3]}).eval()
    with_stacks(theirs.eval())
    theirs.eval()
    found = stacks(theirs)
    assert tuple(found) == MODELS[case].stacks
    full = output(theirs, case)
    with contextlib.ExitStack() as running:
        for stack in found.values():
            running.enter_context(stack.running([0, 3]))
        assert same(output(theirs, case), output(small, case))
    assert same(output(theirs, case), full)


FROZEN = {case: "freeze_finetune_updates" for case in MODELS if case.endswith("_ctc")}
FROZEN["s2t_transformer"] = "encoder_freezing_updates"


@pytest.mark.parametrize(("case", "frozen"), [*((case, None) for case in MODELS), *FROZEN.items()])
def test_several_workers_wait_for_no_dropped_layer_and_no_frozen_encoder(case, frozen, one_worker):
    """DistributedDataParallel says so in the pass that follows."""
    model = build(case, **rates(case, 0.9), **({frozen: 99} if frozen else {}))
    parallel = DistributedDataParallel(model)
    for update in range(4):
        model.set_num_updates(update)
        loss_of(output(parallel, case)).backward()


@pytest.mark.parametrize("case", [case for case in MODELS if case.startswith("wav2vec2")])
@pytest.mark.parametrize("padded", [True, False])
def test_features_of_layers_are_those_of_the_layers_that_run(case, padded):
    """With an odd number of frames fairseq pads it, and cuts off what is padded of each layer's result."""
    sound = {**batch(case), "mask": False, "features_only": True}
    sound["source"] = sound["source"][:, : 1005 if padded else 1013]
    ours, small = build(case).eval(), without_layers(case, {"encoder": [1, 2]}).eval()
    theirs = build(case, ours=False).eval()
    for layer in (None, 1):
        assert equal(ours(**sound, layer=layer), theirs(**sound, layer=layer))
    with stacks(ours)["encoder"].running([1, 2]):
        assert equal(ours(**sound), small(**sound))
        with_padding = ours(**sound, layer=2)["layer_results"]
        assert equal(with_padding, small(**sound, layer=1)["layer_results"])


def equal(first, second):
    """Whether two results of a model are the same, to any depth."""
    if isinstance(first, dict):
        return list(first) == list(second) and all(equal(first[name], second[name]) for name in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(equal, first, second))
    return torch.equal(first, second) if isinstance(first, torch.Tensor) else first is second is None


REFUSED = [
    ("wav2vec2", ["--encoder-headdrop", "0.2"], "drops its layers as a whole only (got '0.2')"),
    ("hubert", ["--encoder-ffndrop", "0.2"], "drops its layers as a whole only (got '0.2')"),
    ("wav2vec2", ["--decoder-layerdrop", "0.2"], "has no decoder (got '0.2')"),
    ("wav2vec_ctc", ["--encoder-layerdrop", "0.2"], "has `--layerdrop` instead (got '0.2')"),
    ("hubert_ctc", ["--encoder-layerdrop-learned"], "learns no rates: the pretrained model does (got True)"),
    ("s2t_conformer", ["--encoder-sublayerdrop", "0.2"], "drops its layers as a whole only (got '0.2')"),
]


@pytest.mark.parametrize(("model", "argv", "why"), REFUSED)
def test_what_a_model_can_not_do_is_refused_and_in_no_help(model, argv, why, in_fairseq_train, capsys):
    parser = ArgumentParser(allow_abbrev=False)
    ARCH_MODEL_REGISTRY[f"layerdrop_{model}"].add_args(parser)
    with pytest.raises(SystemExit):
        in_fairseq_train(parser.parse_args, argv)
    line = f"fairseq-train: error: `{argv[0]}` must be left out: layerdrop_{model} {why}.\n"
    assert capsys.readouterr().err == line
    shown = parser.format_help()
    assert argv[0] not in shown
    assert "--layerdrop-depths DEPTHS" in shown
    assert ("--layerdrop P" if model.endswith("ctc") else "--encoder-layerdrop P") in shown


@pytest.mark.parametrize(
    ("case", "options", "message"),
    [
        (
            "wav2vec2",
            {"encoder_headdrop": 0.2},
            "`model.encoder_headdrop` must be an option of layerdrop_wav2vec2, but is none.",
        ),
        (
            "hubert_ctc",
            {"encoder_layerdrop": 0.2},
            "`model.encoder_layerdrop` must be an option of layerdrop_hubert_ctc, but is none.",
        ),
        ("wav2vec_ctc", {"layerdrop": 1}, "`--layerdrop` must be at least 0 and below 1, but is 1 instead."),
        (
            "wav2vec_ctc",
            {"layerdrop": "0.1,0.2"},
            "`--layerdrop` must have a rate for each of 4 layers, but has 2 in '0.1,0.2'.",
        ),
        (
            "s2t_conformer",
            {"encoder_ffndrop": 0.2},
            "`--encoder-ffndrop` must be left out: a ConformerEncoderLayer is dropped as a whole only (got 0.2).",
        ),
        (
            "wav2vec_ctc",
            {"w2v_args": None},
            "`--w2v-path` must name the checkpoint of a pretrained model, but is missing.",
        ),
    ],
)
def test_wrong_options_in_yaml_or_a_program(case, options, message):
    if case not in MODELS:
        pytest.skip("fairseq-fixed builds none")
    with pytest.raises(ValueError) as error:
        build(case, **options)
    assert str(error.value) == message


@pytest.mark.parametrize("model", ["s2t_transformer", "s2t_conformer", "convtransformer", "wav2vec2", "hubert_ctc"])
def test_each_of_fairseqs_architectures_has_a_counterpart(model):
    names = {arch for arch, of in ARCH_MODEL_NAME_REGISTRY.items() if of == model}
    ours = {arch for arch, of in ARCH_MODEL_NAME_REGISTRY.items() if of == f"layerdrop_{model}"}
    assert ours == {f"layerdrop_{arch}" for arch in names}


def test_parts_of_layers_are_dropped_where_fairseqs_layers_have_them():
    """That is so in speech_to_text; its convolutions before the layers are none of them."""
    model = build("s2t_transformer", encoder_headdrop=0.5, decoder_ffndrop=0.5, encoder_layerdrop=0.5)
    found = {name: [group.name for group in stack.dropping.groups] for name, stack in stacks(model).items()}
    assert found == {"encoder": ["self_attn.heads"], "decoder": ["ffn"]}
    loss_of(output(model, "s2t_transformer")).backward()


@pytest.mark.parametrize("case", [case for case in MODELS if case.endswith("_ctc")])
def test_a_users_model_that_inherits_from_one_that_fine_tunes_has_its_rates(case, monkeypatch):
    ours = models.MODEL_REGISTRY[f"layerdrop_{case}"]
    monkeypatch.setitem(models.MODEL_REGISTRY, "mine", type("Mine", (ours,), {}))
    monkeypatch.setitem(models.ARCH_MODEL_REGISTRY, "mine", models.MODEL_REGISTRY["mine"])
    monkeypatch.setitem(models.MODEL_DATACLASS_REGISTRY, "mine", models.MODEL_DATACLASS_REGISTRY[f"layerdrop_{case}"])
    (stack,) = stacks(build(case, _name="mine", layerdrop="linear:0:0.6")).values()
    assert stack.rates == pytest.approx((0.0, 0.2, 0.4, 0.6))


def test_what_is_fine_tuned_may_be_a_users_model_that_inherits_from_ours(monkeypatch):
    """Its own rates are those of its pretraining."""
    monkeypatch.setitem(models.MODEL_REGISTRY, "mine", type("Mine", (models.MODEL_REGISTRY["layerdrop_wav2vec2"],), {}))
    monkeypatch.setitem(models.ARCH_MODEL_REGISTRY, "mine", models.MODEL_REGISTRY["mine"])
    monkeypatch.setitem(models.MODEL_DATACLASS_REGISTRY, "mine", models.MODEL_DATACLASS_REGISTRY["layerdrop_wav2vec2"])
    inner = pretrained({"_name": "mine", **WAV2VEC2, "encoder_layerdrop": 0.1}, _name="audio_pretraining")
    model = build("wav2vec_ctc", w2v_args=inner, layerdrop=0.5)
    (stack,) = stacks(model).values()
    assert type(model.w2v_encoder.w2v_model).__name__ == "Mine"
    assert stack.rates == (0.5, 0.5, 0.5, 0.5)


def test_a_program_may_leave_out_options_or_give_a_namespace():
    sizes = {"encoder_layers": 2, "encoder_embed_dim": 48, "conv_feature_layers": "[(4, 10, 5)]"}
    cfg = OmegaConf.create({"_name": "layerdrop_wav2vec2", **sizes, "encoder_layerdrop": "0.1,0.2"})
    model = models.build_model(cfg, None)
    assert stacks(model)["encoder"].rates == (0.1, 0.2)
    assert (cfg.encoder_ffn_embed_dim, cfg.layerdrop_depths) == (3072, None)
    small = Namespace(arch="layerdrop_wav2vec2", **{**sizes, "encoder_layers": 1}, encoder_layerdrop=0.3)
    assert stacks(models.build_model(small, None))["encoder"].rates == (0.3,)
