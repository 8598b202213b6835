"""`layerdrop_plugin.running`: chosen layers of a loaded model, ours, fairseq's own, of a hub interface, of a list."""

from __future__ import annotations

import contextlib

import pytest
import torch
from fairseq.models import MODEL_REGISTRY
from fairseq.models.roberta import RobertaModel
from fairseq.models.transformer import TransformerModel
from shared.by_hand import build, cut, equal
from shared.tiny_families import TINY

from layerdrop_plugin import running
from layerdrop_plugin.fairseq_adapter.modeling.stacks import with_stacks

FAMILIES = [
    *("transformer", "bart", "transformer_align", "multilingual_transformer", "cmlm_transformer", "lightconv"),
    *("lightconv_lm", "transformer_lm", "roberta", "s2t_transformer", "s2t_conformer", "convtransformer"),
    *("wav2vec2", "hubert"),
]
KEPT = {"encoder": [0, 3], "decoder": [1, 3]}
SENTENCE = torch.tensor([5, 6, 7, 8, 2])


def modules(model):
    """Every module by name, with its type, its mode and what else it holds but hooks and such."""
    return {name: (id(m), type(m), m.training, sorted(vars(m))) for name, m in model.named_modules()}


def results(name, model):
    """What a model gives, without the lists of inner states: they have a place for each layer that does not run."""

    def shown(found):
        if isinstance(found, dict):
            return {key: shown(value) for key, value in found.items() if key not in ("inner_states", "layer_results")}
        return list(map(shown, found)) if isinstance(found, (list, tuple)) else found

    return shown(TINY[name].run(model))


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_it_runs_as_the_model_with_the_other_layers_taken_out(name):
    model, small, tiny = build(TINY[name]), build(TINY[name]), TINY[name]
    kept = {stack: layers for stack, layers in KEPT.items() if stack in tiny.layers}
    cut(small, tiny.layers, kept)
    if name == "transformer_align":
        small.alignment_layer = 1  # which was 3
    whole, before = results(name, model), modules(model)
    with running(model, **kept):
        found = results(name, model)
    assert equal(found, results(name, small))
    assert not equal(found, whole)
    assert modules(model) == before
    assert equal(results(name, model), whole)


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "stock"])
def test_it_is_the_model_pruned_at_load(ours, full, data, tmp_path):
    path = full["transformer"]
    if not ours:
        state = torch.load(path, weights_only=False)
        state["cfg"]["model"]._name = state["cfg"]["model"].arch = "transformer"
        path = tmp_path / "stock.pt"
        torch.save(state, path)

    def load(**overrides):
        where = (str(path.parent), path.name, str(data["transformer"]))
        return TransformerModel.from_pretrained(*where, **overrides).eval()

    hub = load()
    pruned = load(encoder_layers_to_keep="0,3", decoder_layers_to_keep="every_other:2")
    with running(hub, encoder="0,3", decoder="every_other:2"):
        assert translations(hub) == translations(pruned)
    assert translations(hub) != translations(pruned)


def translations(hub):
    """The best hypotheses for a sentence: tokens, and scores to the last bit."""
    hypotheses = hub.generate([SENTENCE], beam=3, max_len_b=6)[0]
    return [(h["tokens"].tolist(), float(h["score"])) for h in hypotheses]


def test_a_hub_interface_of_roberta(full, data):
    where = (str(full["roberta"].parent), full["roberta"].name, str(data["roberta"]))
    hub, pruned = (RobertaModel.from_pretrained(*where, bpe=None, **o) for o in ({}, {"encoder_layers_to_keep": "2"}))
    for interface in (hub, pruned):
        interface.eval()
    with running(hub, encoder=[2]):
        assert torch.equal(hub.extract_features(SENTENCE), pruned.extract_features(SENTENCE))


@torch.no_grad()
def test_contexts_nest_and_end_with_an_error():
    tiny = TINY["transformer"]
    model = build(tiny)
    whole, found = tiny.run(model), {}
    for layers in ("1", "0,1"):
        with running(model, decoder=layers):
            found[layers] = tiny.run(model)
    with running(model, decoder="1"):
        with contextlib.suppress(KeyError), running(model, decoder="0,1"):
            assert equal(tiny.run(model), found["0,1"])
            raise KeyError
        assert equal(tiny.run(model), found["1"])
    assert equal(tiny.run(model), whole)


@torch.no_grad()
def test_each_model_of_a_list():
    tiny = TINY["transformer"]
    models = [build(tiny), build(tiny)]
    whole = tiny.run(models[0])
    with running(models, encoder="first:1"):
        first, second = map(tiny.run, models)
    assert equal(first, second)
    assert not equal(first, whole)


@pytest.mark.parametrize("name", ["roberta", "layerdrop_roberta"])
def test_a_model_in_training_mode_is_refused_as_it_would_run_every_layer(name):
    model = build(TINY["roberta"]).train()
    if name == "layerdrop_roberta":
        with_stacks(model)
    before = modules(model)
    with pytest.raises(ValueError) as error, running([model], encoder="0"):
        pass
    assert str(error.value) == (
        "`model` must be in evaluation mode (call model.eval() before), but RobertaModel is in training mode."
    )
    assert modules(model) == before


@pytest.mark.parametrize(
    ("model", "shown"),
    [("x.pt", "'x.pt'"), (["x.pt"], "'x.pt'"), ([], "[]"), (None, "of type NoneType"), ({"cfg": 1}, "of type dict")],
)
def test_what_is_no_model(model, shown):
    with pytest.raises(ValueError) as error, running(model, encoder="0"):
        pass
    assert str(error.value) == (
        f"`model` must be a loaded model, a hub interface, or a list of them, but is {shown} instead."
    )


@pytest.mark.parametrize(
    ("name", "layers", "said"),
    [
        (
            "roberta",
            {"decoder": "0,2"},
            "`decoder` must be left out: RobertaModel has no decoder layers that can be chosen (got '0,2').",
        ),
        ("transformer", {"encoder": [0, 4]}, "`encoder` must name layers from 0 to 3, but has 4 in [0, 4]."),
        (
            "transformer_align",
            {"decoder": "0,2"},
            "`decoder` must hold layer 3, from which the model takes alignments, but is '0,2' instead.",
        ),
    ],
)
def test_what_can_not_run(name, layers, said):
    model = build(TINY[name])
    before = modules(model)
    with pytest.raises(ValueError) as error, running(model, **layers):
        pass
    assert str(error.value) == said
    assert modules(model) == before


def test_a_model_that_can_not_be_pruned():
    model = MODEL_REGISTRY["roberta_enc_dec"].__new__(MODEL_REGISTRY["roberta_enc_dec"])
    torch.nn.Module.__init__(model)
    with pytest.raises(ValueError) as error, running(model, encoder="0"):
        pass
    assert str(error.value) == (
        "`model` must be one that can be pruned, but the layers of a roberta_enc_dec can't be pruned, as it has one "
        "depth for both stacks."
    )
