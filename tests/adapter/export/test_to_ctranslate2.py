"""Exported to CTranslate2, a model scores every word as fairseq does; what would come out otherwise is refused."""

from __future__ import annotations

import argparse
import os

import pytest
import torch
from shared.big_weights import save_with_big_weights

ctranslate2 = pytest.importorskip("ctranslate2")


SOURCE, TARGET = ["w1", "w30", "w9", "w2", "w17"], ["v3", "v1", "v22", "v39"]


PRE_NORM = ["--encoder-normalize-before", "--decoder-normalize-before"]


NO_OTHER_DIM = ["--no-scale-embedding", "--decoder-input-dim", "12", "--decoder-output-dim", "8"]


@pytest.fixture(scope="module")
def to_ctranslate2(full):
    """The module, our models registered."""
    from layerdrop_plugin.fairseq_adapter.export import to_ctranslate2

    return to_ctranslate2


@pytest.fixture(scope="module")
def lively(configure, tiny, data, full, tmp_path_factory):
    """A function from a family and options to a checkpoint whose random weights are big, its model and task."""
    from fairseq import tasks

    def make(family, *options):
        joined = "--share-all-embeddings" if "--encoder-embed-dim" in options else None
        usual = [option for option in tiny[family] if option != joined]
        cfg = configure(data[family], "--arch", f"layerdrop_{family}", *usual, *options)
        task = tasks.setup_task(cfg.task)
        torch.manual_seed(1)
        model = task.build_model(cfg.model).eval()
        path = str(tmp_path_factory.mktemp("lively") / "checkpoint.pt")
        save_with_big_weights(model, cfg, full[family], path)
        return path, model, task

    return make


@torch.no_grad()
def scores(model, task):
    """Return fairseq's log-probabilities of each word and of the end, after the end of another sentence."""
    wanted = numbers(task.target_dictionary, SOURCE if task.target_dictionary.index("v1") == 3 else TARGET)
    before = wanted.roll(1)
    if hasattr(model, "encoder"):
        source = numbers(task.source_dictionary, SOURCE)
        logits = model(source, torch.tensor([source.shape[1]]), before)[0]
    else:
        logits = model(before)[0]
    return torch.log_softmax(logits, -1)[0].gather(1, wanted.T)[:, 0]


def numbers(dictionary, words):
    return torch.tensor([[*map(dictionary.index, words), dictionary.eos()]])


def exported_scores(out, family, compute_type="default"):
    """The same from CTranslate2."""
    if family == "transformer":
        (found,) = ctranslate2.Translator(str(out), compute_type=compute_type).score_batch([SOURCE], [TARGET])
        assert found.tokens == [*TARGET, "</s>"]
    else:
        (found,) = ctranslate2.Generator(str(out), compute_type=compute_type).score_batch([["</s>", *SOURCE, "</s>"]])
        assert found.tokens == [*SOURCE, "</s>"]
    return torch.tensor(found.log_probs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("transformer", []),
        ("transformer", ["--no-scale-embedding", "--checkpoint-activations", *PRE_NORM]),
        ("transformer", ["--encoder-learned-pos", "--decoder-learned-pos", "--activation-fn", "gelu"]),
        ("transformer", ["--layernorm-embedding", "--activation-fn", "gelu_accurate", "--encoder-embed-dim", "24"]),
        ("transformer_lm", []),
        ("transformer_lm", ["--share-decoder-input-output-embed", "--activation-fn", "gelu_accurate"]),
        ("transformer_lm", ["--decoder-learned-pos", "--layernorm-embedding", "--no-decoder-final-norm"]),
        ("transformer_lm", NO_OTHER_DIM),
    ],
)
def test_the_same_scores(family, options, to_ctranslate2, lively, tmp_path):
    path, model, task = lively(family, *options)
    expected = scores(model, task)
    assert expected.max() - expected.min() > 0.5  # not just anything would do
    assert to_ctranslate2.export(path, str(tmp_path / "out"), {}) == {}
    assert torch.allclose(exported_scores(tmp_path / "out", family), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "kept"),
    [("transformer", {"encoder": "0,3", "decoder": "1"}), ("transformer_lm", {"decoder": "every_other:2"})],
)
def test_the_same_scores_pruned(family, kept, to_ctranslate2, lively, tmp_path):
    from fairseq import checkpoint_utils

    path, full_model, _ = lively(family)
    overrides = {f"{stack}_layers_to_keep": layers for stack, layers in kept.items()}
    (model,), _, task = checkpoint_utils.load_model_ensemble_and_task([path], arg_overrides=overrides)
    expected = scores(model.eval(), task)
    assert not torch.allclose(expected, scores(full_model, task), atol=0.1)
    pruned = to_ctranslate2.export(path, str(tmp_path / "out"), kept)
    assert {stack: p.depth for stack, p in pruned.items()} == dict.fromkeys(kept, 4)
    assert torch.allclose(exported_scores(tmp_path / "out", family), expected, atol=1e-4)


LEARNED = {
    "transformer": [
        *("--encoder-layerdrop", "0.1,0.2,0.3,0.4", "--encoder-sublayerdrop", "linear:0:0.5"),
        *("--decoder-layerdrop-learned", "--decoder-headdrop", "target:1", "--layerdrop-warmup-updates", "9"),
    ],
    "transformer_lm": [
        "--decoder-layerdrop",
        "linear:0:0.4",
        "--decoder-layerdrop-learned",
        "--decoder-ffndrop",
        "0.1",
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize(("kept", "layers"), [({}, "0-3"), ({"decoder": "learned:2"}, "1,3")], ids=["full", "pruned"])
@pytest.mark.parametrize("family", list(LEARNED))
def test_the_same_scores_with_rates_by_layer_and_learned_ones(
    family, kept, layers, to_ctranslate2, lively, load_model, tmp_path
):
    path, _, task = lively(family, *LEARNED[family])
    state = torch.load(path)
    for i, rate in enumerate((0.4, 0.1, 0.3, 0.2)):
        state["model"][f"decoder.layers.{i}.learned_rate.rate"].fill_(rate)
    torch.save(state, path)
    expected = scores(load_model(path, decoder_layers_to_keep=layers)[0], task)
    to_ctranslate2.export(path, str(tmp_path / "out"), kept)
    assert torch.allclose(exported_scores(tmp_path / "out", family), expected, atol=1e-4)


@pytest.mark.slow
def test_a_checkpoint_of_stock_fairseq(to_ctranslate2, stock_full, tmp_path):
    from fairseq import checkpoint_utils

    (model,), _, task = checkpoint_utils.load_model_ensemble_and_task([str(stock_full)])
    to_ctranslate2.export(str(stock_full), str(tmp_path / "out"), {})
    assert torch.allclose(exported_scores(tmp_path / "out", "transformer"), scores(model.eval(), task), atol=1e-4)


def test_other_forms_of_the_configuration(to_ctranslate2, full, tmp_path):
    for form in ("from fairseq-train", "from YAML", "from before 2021"):
        state, path = torch.load(full["transformer_lm"]), tmp_path / f"{form}.pt"
        options = vars(state["cfg"]["model"])
        if form == "from YAML":
            state["cfg"]["model"] = {**options, "_name": "layerdrop_transformer_lm", "arch": None}
        if form == "from before 2021":
            state["args"] = argparse.Namespace(**options)
            del state["cfg"]
        torch.save(state, path)
        to_ctranslate2.export(str(path), str(tmp_path / form), {"decoder": "0,3"})
    assert len({path.read_bytes() for path in tmp_path.glob("*/model.bin")}) == 1


@pytest.mark.parametrize(
    "quantization",
    ["int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16", "float16", "bfloat16", "float32"],
)
def test_every_quantization(quantization, to_ctranslate2, full, tmp_path):
    to_ctranslate2.export(str(full["transformer"]), str(tmp_path / "out"), {}, quantization=quantization)
    to_ctranslate2.export(str(full["transformer"]), str(tmp_path / "plain"), {})
    # In float32 on every processor: products of int8 may saturate where there is AVX2 and nothing newer.
    found, expected = (exported_scores(tmp_path / name, "transformer", "float32") for name in ("out", "plain"))
    assert torch.allclose(found, expected, atol=0.2)
    smaller = os.path.getsize(tmp_path / "out" / "model.bin") < 0.8 * os.path.getsize(tmp_path / "plain" / "model.bin")
    assert smaller == (quantization != "float32")
