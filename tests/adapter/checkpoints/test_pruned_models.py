"""Models pruned at load, against the full model with the same layers."""

from __future__ import annotations

import logging

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from layerdrop_plugin.dropping import LayerDropStack

SPECS = {
    "transformer": {"encoder_layers_to_keep": "0,3", "decoder_layers_to_keep": "1"},
    "transformer_lm": {"decoder_layers_to_keep": "0,2"},
    "roberta": {"encoder_layers_to_keep": "every_other:2"},  # 0, 2
}


KEPT = {
    "transformer": {"encoder": [0, 3], "decoder": [1]},
    "transformer_lm": {"decoder": [0, 2]},
    "roberta": {"encoder": [0, 2]},
}


def stacks(model):
    return {module.name: module for module in model.modules() if isinstance(module, LayerDropStack)}


def owners(model):
    """The part of the model that has each stack as its `layers`."""
    for part in model.modules():
        layers = getattr(part, "layers", None)
        if isinstance(layers, LayerDropStack):
            yield part, layers


def cut_by_hand(model, kept):
    for part, layers in owners(model):
        if layers.name in kept:
            part.layers = nn.ModuleList([layers[i] for i in kept[layers.name]])
    return model


@pytest.mark.parametrize("family", list(SPECS))
def test_outputs_equal_the_full_models_with_the_same_layers_bit_for_bit(family, full, load_model, outputs):
    model, cfg = load_model(full[family])
    pruned, pruned_cfg = load_model(full[family], **SPECS[family])
    whole, small = outputs(model, family), outputs(pruned, family)
    assert not torch.equal(whole, small)
    for name, stack in stacks(pruned).items():
        assert len(stack) == len(KEPT[family][name])
        assert getattr(pruned_cfg, f"{name}_layers") == len(stack)
        assert getattr(pruned_cfg, f"{name}_layers_to_keep") is None
        assert getattr(cfg, f"{name}_layers") == 4
    chosen = stacks(model)
    contexts = [chosen[name].running(kept) for name, kept in KEPT[family].items()]
    for context in contexts:
        context.__enter__()
    running = outputs(model, family)
    for context in contexts:
        context.__exit__(None, None, None)
    assert torch.equal(small, running)
    assert torch.equal(outputs(model, family), whole)
    assert torch.equal(outputs(cut_by_hand(model, KEPT[family]), family), small)


def test_alignments_under_running_are_those_of_the_pruned_model(full, load_model, tokens):
    model, _ = load_model(full["transformer"])
    pruned, _ = load_model(full["transformer"], decoder_layers_to_keep="0,2")
    with torch.no_grad(), model.decoder.layers.running([0, 2]):
        (running,) = model(tokens, None, tokens)[1]["attn"]
    with torch.no_grad():
        (expected,) = pruned(tokens, None, tokens)[1]["attn"]
    assert torch.equal(running, expected)


def test_a_decoder_specification_leaves_the_encoder_as_it_is(full, load_model):
    model, _ = load_model(full["transformer"])
    pruned, _ = load_model(full["transformer"], decoder_layers_to_keep="0,2")
    whole, small = dict(model.named_parameters()), dict(pruned.named_parameters())
    encoder = [name for name in whole if name.startswith("encoder.")]
    assert encoder == [name for name in small if name.startswith("encoder.")]
    assert all(torch.equal(whole[name], small[name]) for name in encoder)
    assert len(stacks(pruned)["encoder"]) == 4
    assert len(stacks(pruned)["decoder"]) == 2


def test_one_line_says_what_is_kept_and_the_count_is_that_of_the_small_model(full, caplog, load_model):
    with caplog.at_level(logging.INFO):
        model, _ = load_model(full["transformer"], **SPECS["transformer"])
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("layerdrop_plugin")]
    count = sum(p.numel() for p in model.parameters())
    kept = "encoder keeps layers [0,3] of 4; decoder keeps layers [1] of 4"
    note = "layer 1 of 4: one layer; for one layer, every_other:1"
    assert lines.pop(1) == f"{full['transformer']}: `decoder_layers_to_keep` 1 keeps {note}"
    assert lines == [
        f"Pruning model to specified layer configuration: {kept} ({full['transformer']})",
        f"num. model params: {count:,}",
    ]
    whole, _ = load_model(full["transformer"])
    # Each encoder layer: 4 projections, 2 norms, 16 to 24 and back; a decoder's has 4 projections and a norm more.
    encoder = 4 * (16 * 16 + 16) + 2 * 32 + (16 * 24 + 24) + (24 * 16 + 16)
    decoder = encoder + 4 * (16 * 16 + 16) + 32
    assert sum(p.numel() for p in whole.parameters()) - count == 2 * encoder + 3 * decoder


@pytest.mark.slow
def test_a_stock_architecture_is_pruned_too(stock_full, load_model, outputs):
    model, _ = load_model(stock_full)
    pruned, cfg = load_model(stock_full, encoder_layers_to_keep="1,2", decoder_layers_to_keep=[0, 2])
    assert (cfg.encoder_layers, cfg.decoder_layers) == (2, 2)
    model.encoder.layers = nn.ModuleList([model.encoder.layers[i] for i in (1, 2)])
    model.decoder.layers = nn.ModuleList([model.decoder.layers[i] for i in (0, 2)])
    assert torch.equal(outputs(pruned, "transformer"), outputs(model, "transformer"))


def without_cfg(state):
    """As fairseq saved before 2020: `args`, no `cfg`."""
    args = state.pop("cfg")["model"]
    del args._name
    state["args"] = args


def with_old_names(state):
    """As RoBERTa's were: a decoder, and no layer norm in the state before that was split off."""
    state["model"] = {name.replace("encoder.", "decoder.", 1): value for name, value in state["model"].items()}


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    ("family", "age"),
    [
        ("transformer", without_cfg),
        ("transformer_lm", without_cfg),
        ("roberta", without_cfg),
        ("roberta", with_old_names),
    ],
)
def test_old_checkpoints_are_pruned_alike(family, age, zipped, full, tmp_path, load_model, outputs):
    state = torch.load(full[family])
    age(state)
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=zipped)
    pruned, _ = load_model(full[family], **SPECS[family])
    old, _ = load_model(tmp_path / "old.pt", **SPECS[family])
    assert torch.equal(outputs(old, family), outputs(pruned, family))


@pytest.mark.parametrize(("family", "stack"), [("transformer_lm", "encoder"), ("roberta", "decoder")])
def test_a_stack_that_the_model_lacks_is_refused(family, stack, full, load_model):
    with pytest.raises(ValueError) as error:
        load_model(full[family], **{f"{stack}_layers_to_keep": "0,2"})
    message = f"`{stack}_layers_to_keep` must be left out: the model has no {stack} (got '0,2')."
    assert str(error.value) == message


def test_from_pretrained_prunes_a_translation_model(full, data, load_model, outputs):
    from fairseq.models.transformer import TransformerModel

    folder = full["transformer"].parent
    hub = TransformerModel.from_pretrained(
        str(folder), "checkpoint_last.pt", str(data["transformer"]), **SPECS["transformer"]
    )
    pruned, _ = load_model(full["transformer"], **SPECS["transformer"])
    assert torch.equal(outputs(hub.models[0], "transformer"), outputs(pruned, "transformer"))
    assert len(hub.translate("w1 w2 w3").split()) > 0


def test_from_pretrained_prunes_a_language_model(full, data, load_model):
    from fairseq.models.transformer_lm import TransformerLanguageModel

    folder = full["transformer_lm"].parent
    hub = TransformerLanguageModel.from_pretrained(
        str(folder), "checkpoint_last.pt", str(data["transformer_lm"]), decoder_layers_to_keep="0,2"
    )
    scores = hub.score("w1 w2 w3")["positional_scores"]
    model, _ = load_model(full["transformer_lm"])
    words = hub.encode("w1 w2 w3")[:-1]  # its end is not scored
    source = torch.cat([torch.tensor([2]), words[:-1]])[None]
    with torch.no_grad(), stacks(model)["decoder"].running([0, 2]):
        by_hand = model(source)[0].log_softmax(-1)[0, torch.arange(len(words)), words]
    assert torch.allclose(scores, by_hand, atol=1e-5)


@pytest.mark.parametrize("name", ["RobertaModel", "XLMRModel", "CamembertModel"])
def test_from_pretrained_prunes_a_roberta_with_a_head(name, full, data, tmp_path, load_model, tokens):
    """See fairseq #2507."""
    from fairseq.models import roberta

    model, _ = load_model(full["roberta"])
    model.register_classification_head("x", num_classes=3)
    state = torch.load(full["roberta"])
    state["model"] = model.state_dict()
    torch.save(state, tmp_path / "model.pt")
    options = {"bpe": None, "encoder_layers_to_keep": "0,2"}
    hub = getattr(roberta, name).from_pretrained(str(tmp_path), "model.pt", str(data["roberta"]), **options)
    hub.eval()
    assert len(stacks(hub.model)["encoder"]) == 2
    head = hub.model.classification_heads["x"]
    assert torch.equal(head.dense.weight, model.classification_heads["x"].dense.weight)
    with torch.no_grad(), stacks(model)["encoder"].running([0, 2]):
        features = model(tokens[:1], features_only=True)[0]
        by_hand = model.classification_heads["x"](features).log_softmax(-1)
    assert torch.equal(hub.extract_features(tokens[:1]), features)
    assert torch.allclose(hub.predict("x", tokens[:1]), by_hand, atol=1e-6)


def test_from_pretrained_prunes_a_bart_with_a_head(configure, data, tmp_path, tokens):
    from fairseq import tasks
    from fairseq.models.bart import BARTModel

    sizes = [f"--{stack}-{name}" for stack in ("encoder", "decoder") for name in ("embed-dim=16", "layers=4")]
    sizes += ["--encoder-ffn-embed-dim=24", "--encoder-attention-heads=2", "--decoder-attention-heads=2"]
    cfg = configure(data["transformer"], "--arch", "bart_base", *sizes, "--max-tokens", 100)
    task = tasks.setup_task(cfg.task)
    model = task.build_model(cfg.model).eval()
    model.register_classification_head("layers", num_classes=3)
    history = [{"num_updates": 1, "optimizer_name": "", "lr_scheduler_state": {}, "criterion_name": ""}]
    saved = OmegaConf.to_container(cfg, enum_to_str=True)
    torch.save({"cfg": saved, "model": model.state_dict(), "optimizer_history": history}, tmp_path / "model.pt")
    options = {"bpe": None, "encoder_layers_to_keep": "0,3", "decoder_layers_to_keep": "1"}
    hub = BARTModel.from_pretrained(str(tmp_path), "model.pt", str(data["transformer"]), **options).eval()
    model.encoder.layers = nn.ModuleList([model.encoder.layers[i] for i in (0, 3)])
    model.decoder.layers = nn.ModuleList([model.decoder.layers[1]])
    model.decoder.num_layers = 1
    with torch.no_grad():
        expected, _ = model(tokens[:1], torch.tensor([5]), tokens[:1], classification_head_name="layers")
        found, _ = hub.model(tokens[:1], torch.tensor([5]), tokens[:1], classification_head_name="layers")
    assert (len(hub.model.encoder.layers), len(hub.model.decoder.layers)) == (2, 1)
    assert torch.equal(found, expected)


def test_a_model_is_loaded_with_the_layers_of_the_lowest_learned_rates(full, tmp_path, load_model, outputs):
    state = torch.load(full["transformer_lm"])
    state["cfg"]["model"].decoder_layerdrop_learned = True
    for i, rate in enumerate((0.4, 0.1, 0.3, 0.2)):
        for name in ("weight", "bias", "change", "loss", "rate"):
            state["model"][f"decoder.layers.{i}.learned_rate.{name}"] = torch.tensor([rate])
    torch.save(state, tmp_path / "learned.pt")
    pruned, _ = load_model(tmp_path / "learned.pt", decoder_layers_to_keep="learned:2")
    assert pruned.decoder.layers.learned_rates == pytest.approx((0.1, 0.2))
    wanted, _ = load_model(full["transformer_lm"], decoder_layers_to_keep="1,3")
    assert torch.equal(outputs(pruned, "transformer_lm"), outputs(wanted, "transformer_lm"))
    fixed, _ = load_model(tmp_path / "learned.pt", decoder_layers_to_keep="learned:2", decoder_layerdrop_learned=False)
    assert fixed.decoder.layers.learned_rates is None
    assert torch.equal(outputs(fixed, "transformer_lm"), outputs(wanted, "transformer_lm"))
