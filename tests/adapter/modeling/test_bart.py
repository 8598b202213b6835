"""`layerdrop_bart` in the tasks that fairseq has for BART, and its hub interface."""

from __future__ import annotations

import pytest
import torch
from shared.text_models import RATES, aligned, argv_of  # noqa: F401  a fixture

from layerdrop_plugin.dropping import LayerDropStack

SPECS = {"encoder_layers_to_keep": "0,3", "decoder_layers_to_keep": "2"}
DENOISING = ["--mask", "0.3", "--mask-length", "span-poisson", "--replace-length", "1", "--tokens-per-sample", "32"]
PAIRS = ["--lang-pairs", "en-de", "--source-lang", "en", "--target-lang", "de"]
TASKS = {
    "denoising": [*DENOISING, "--criterion", "cross_entropy"],
    "multilingual_denoising": [*DENOISING, "--criterion", "cross_entropy", "--langs", "en", "--add-lang-token"],
    "sentence_prediction": [
        *("--criterion", "sentence_prediction", "--num-classes", "2", "--add-prev-output-tokens"),
        *("--init-token", "0", "--separator-token", "2", "--max-positions", "32"),
    ],
    "translation_from_pretrained_bart": ["--langs", "en,de", "--prepend-bos"],
    "translation_multi_simple_epoch": ["--langs", "en,de", *PAIRS[:2], "--decoder-langtok"],
}


@pytest.fixture(scope="module")
def folders(data, classifier, aligned, tmp_path_factory):
    """The data of each task."""
    languages = tmp_path_factory.mktemp("languages")
    (languages / "en").symlink_to(data["roberta"])
    (languages / "dict.txt").symlink_to(data["roberta"] / "dict.txt")
    return {
        **dict.fromkeys(TASKS, aligned),
        "denoising": data["roberta"],
        "multilingual_denoising": languages,
        "sentence_prediction": classifier[0],
    }


@pytest.mark.slow
@pytest.mark.parametrize("task", list(TASKS))
def test_a_task_trains_it_and_what_it_saves_is_pruned(task, folders, tiny, train, load_model, tmp_path):
    argv = [*argv_of(tiny, "bart"), "--task", task, *TASKS[task], *RATES, "--max-update", 3]
    train(folders[task], *argv, "--save-dir", tmp_path)
    path = tmp_path / "checkpoint_last.pt"
    heads = {"load_checkpoint_heads": True}
    model, _ = load_model(path, **heads)
    pruned, _ = load_model(path, **heads, **SPECS)
    weights = pruned.state_dict()
    by_hand = {}
    for name, value in model.state_dict().items():
        for stack, kept in (("encoder", (0, 3)), ("decoder", (2,))):
            for i in range(4):
                if name.startswith(f"{stack}.layers.{i}."):
                    new = kept.index(i) if i in kept else "-"
                    name = name.replace(f"layers.{i}.", f"layers.{new}.", 1)
        if "layers.-." not in name and not name.endswith("_float_tensor"):
            by_hand[name] = value
    assert set(by_hand) == {name for name in weights if not name.endswith("_float_tensor")}
    assert all(torch.equal(weights[name], value) for name, value in by_hand.items())
    assert bool(model.classification_heads) == (task == "sentence_prediction")


@pytest.fixture(scope="module")
def trained(tiny, aligned, train, tmp_path_factory):
    """The folder of a checkpoint with a classification head, `layers.1` in its name."""
    from fairseq import checkpoint_utils

    folder = tmp_path_factory.mktemp("bart")
    train(aligned, *argv_of(tiny, "bart"), *RATES, "--max-update", 2, "--disable-validation", "--save-dir", folder)
    (model,), _ = checkpoint_utils.load_model_ensemble([str(folder / "checkpoint_last.pt")])
    model.register_classification_head("layers", num_classes=3)
    state = torch.load(folder / "checkpoint_last.pt")
    state["model"] = model.state_dict()
    torch.save(state, folder / "model.pt")
    return folder


@pytest.mark.slow
def test_the_hub_interface_extracts_predicts_and_generates_pruned_or_not(trained, aligned, load_model):
    from fairseq.models.bart import BARTModel

    whole, _ = load_model(trained / "model.pt", load_checkpoint_heads=True)
    sentence = torch.tensor([0, 5, 6, 7, 2])
    for specs, runs in (({}, (range(4), range(4))), (SPECS, ([0, 3], [2]))):
        hub = BARTModel.from_pretrained(str(trained), "model.pt", str(aligned), bpe=None, **specs)
        hub.eval()
        assert [len(hub.model.encoder.layers), len(hub.model.decoder.layers)] == list(map(len, runs))
        assert all(isinstance(part.layers, LayerDropStack) for part in (hub.model.encoder, hub.model.decoder))
        before = torch.tensor([[2, 0, 5, 6, 7]])  # the hub interface rolls the sentence
        stacks = (whole.encoder.layers, whole.decoder.layers)
        with torch.no_grad(), stacks[0].running(runs[0]), stacks[1].running(runs[1]):
            features = whole(sentence[None], None, before, features_only=True)[0]
            logits = whole.classification_heads["layers"](features[:, -1])
        with torch.no_grad():
            assert torch.equal(hub.extract_features(sentence), features)
            assert torch.equal(hub.predict("layers", sentence, return_logits=True), logits)
        hypotheses = hub.generate([sentence], beam=2, max_len_b=8)
        assert 0 < len(hypotheses[0][0]["tokens"]) <= 9
