"""Exported to Hugging Face, RoBERTa gives the logits that it gives in fairseq; what it would not is refused."""

from __future__ import annotations

import json
import os
import resource
import shutil

import pytest
import torch

transformers = pytest.importorskip("transformers")
if not transformers.is_torch_available():
    pytest.skip(f"transformers {transformers.__version__} need a newer torch", allow_module_level=True)

TOKENS = torch.tensor([[0, 9, 21, 4, 33, 2], [0, 12, 7, 2, 1, 1]])  # the second is padded


@pytest.fixture(scope="module")
def to_huggingface(full):
    """The module, our models registered."""
    from layerdrop_plugin.fairseq_adapter.export import to_huggingface

    return to_huggingface


@pytest.fixture(scope="module")
def classified(text, data, tmp_path_factory):
    """Binarized sentences with labels: whether the first word's number is even."""
    from fairseq import options
    from fairseq_cli import preprocess

    folder = tmp_path_factory.mktemp("classified")
    dictionaries = {"input0": ["--srcdict", data["roberta"] / "dict.txt"], "label": []}
    for split in ("train", "valid"):
        sentences = (text / f"{split}.en").read_text().splitlines()
        labels = ["even" if int(sentence.split()[0][1:]) % 2 == 0 else "odd" for sentence in sentences]
        (folder / f"{split}.input0").write_text("".join(f"{sentence}\n" for sentence in sentences))
        (folder / f"{split}.label").write_text("".join(f"{label}\n" for label in labels))
    for part, dictionary in dictionaries.items():
        argv = ["--only-source", "--destdir", folder / part, *dictionary]
        argv += [word for split in ("train", "valid") for word in (f"--{split}pref", folder / f"{split}.{part}")]
        preprocess.main(options.get_preprocessing_parser().parse_args(list(map(str, argv))))
    return folder


@pytest.fixture(scope="module")
def classifier(classified, full, tiny, train, tmp_path_factory):
    """A checkpoint of RoBERTa with a head, trained by the task `sentence_prediction`."""
    folder = tmp_path_factory.mktemp("classifier")
    argv = ["--task", "sentence_prediction", "--criterion", "sentence_prediction", "--num-classes", 2]
    argv += ["--finetune-from-model", full["roberta"], "--init-token", 0, "--separator-token", 2]
    argv += ["--max-positions", 32, "--max-update", 3, "--save-dir", folder]
    usual = tiny["roberta"][tiny["roberta"].index("--encoder-layers") :]
    train(classified, "--arch", "layerdrop_roberta", *usual, *argv)
    return str(folder / "checkpoint_last.pt")


def changed(path, output, weights=None, **options):
    """Write a checkpoint with other options and weights; None takes a weight out."""
    state = torch.load(path)
    for name, value in options.items():
        setattr(state["cfg"]["model"], name, value)
    state["model"] = {k: v for k, v in {**state["model"], **(weights or {})}.items() if v is not None}
    torch.save(state, output)
    return str(output)


@pytest.fixture(scope="module")
def lively(tmp_path_factory):
    """A function from a checkpoint to one with bigger weights, so that logits differ much."""

    def make(path, **options):
        generator = torch.Generator().manual_seed(1)
        weights = torch.load(path)["model"]
        for name, value in weights.items():
            if value.is_floating_point() and "_float_tensor" not in name and "version" not in name:
                weights[name] = value + 0.3 * torch.randn(value.shape, generator=generator)
        return changed(path, tmp_path_factory.mktemp("lively") / "lively.pt", weights, **options)

    return make


@torch.no_grad()
def fairseqs_logits(path, head=None, **overrides):
    from fairseq import checkpoint_utils

    if head is not None:
        overrides["load_checkpoint_heads"] = True
    (model,), _, _ = checkpoint_utils.load_model_ensemble_and_task([path], arg_overrides=overrides)
    return model.eval()(TOKENS, classification_head_name=head)[0]


@torch.no_grad()
def logits(kind, out):
    model, info = kind.from_pretrained(str(out), output_loading_info=True)
    assert not any(info.values()), info
    return model.eval()(TOKENS, attention_mask=TOKENS.ne(1).long()).logits


def alike(found, expected):
    assert expected.max() - expected.min() > 0.5  # not just anything would do
    return torch.allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kept", [None, "0,3"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_same_logits_of_the_masked_lm(kept, tied, to_huggingface, full, lively, tmp_path):
    path = lively(full["roberta"])
    if not tied:
        weights = {"encoder.lm_head.weight": torch.load(path)["model"]["encoder.lm_head.weight"] * 0.5}
        path = changed(path, tmp_path / "untied.pt", weights, untie_weights_roberta=True)
    else:
        embeddings = torch.load(path)["model"]["encoder.sentence_encoder.embed_tokens.weight"]
        path = changed(path, tmp_path / "tied.pt", {"encoder.lm_head.weight": embeddings})
    found = to_huggingface.export(path, str(tmp_path / "out"), {"encoder": kept} if kept else {})
    assert (found.kind, found.head) == ("RobertaForMaskedLM", "masked_lm")
    expected = fairseqs_logits(path, encoder_layers_to_keep=kept)
    words = TOKENS.ne(1)
    assert alike(logits(transformers.AutoModelForMaskedLM, tmp_path / "out")[words], expected[words])
    assert sorted(os.listdir(tmp_path / "out")) == ["config.json", "model.safetensors"]
    settings = json.loads((tmp_path / "out" / "config.json").read_text())
    wanted = {"vocab_size": 49, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2}
    wanted.update({"max_position_embeddings": 34, "layer_norm_eps": 1e-5, "hidden_act": "gelu"})
    wanted.update({"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "num_hidden_layers": 2 if kept else 4})
    assert {name: settings[name] for name in wanted} == wanted


@pytest.mark.parametrize("kept", [None, "0,3"])
@pytest.mark.parametrize("activation", ["gelu", "relu", "gelu_accurate", "tanh"])
def test_the_same_logits_of_a_classifier(kept, activation, to_huggingface, classifier, lively, tmp_path):
    path = lively(classifier, activation_fn=activation)
    found = to_huggingface.export(path, str(tmp_path / "out"), {"encoder": kept} if kept else {})
    assert (found.kind, found.head) == ("RobertaForSequenceClassification", "sentence_classification_head")
    expected = fairseqs_logits(path, "sentence_classification_head", encoder_layers_to_keep=kept)
    assert expected.shape == (2, 2)
    assert alike(logits(transformers.AutoModelForSequenceClassification, tmp_path / "out"), expected)


def test_the_same_logits_with_learned_rates(to_huggingface, full, lively, tmp_path):
    learned = {
        f"encoder.sentence_encoder.layers.{i}.learned_rate.{name}": torch.full((1,), rate)
        for i, rate in enumerate((0.4, 0.1, 0.3, 0.2))
        for name in ("weight", "bias", "change", "loss", "rate")
    }
    options = {
        "encoder_layerdrop": "0.1,0.2,0.3,0.4",
        "encoder_layerdrop_learned": True,
        "encoder_headdrop": "target:1",
    }
    path = changed(lively(full["roberta"]), tmp_path / "learned.pt", learned, **options)
    to_huggingface.export(path, str(tmp_path / "out"), {"encoder": "learned:2"})
    expected, words = fairseqs_logits(path, encoder_layers_to_keep="1,3"), TOKENS.ne(1)
    assert alike(logits(transformers.AutoModelForMaskedLM, tmp_path / "out")[words], expected[words])


@torch.no_grad()
def test_the_model_without_a_head(to_huggingface, full, tmp_path):
    from fairseq import checkpoint_utils

    to_huggingface.export(str(full["roberta"]), str(tmp_path / "out"), {})
    model = transformers.AutoModel.from_pretrained(str(tmp_path / "out")).eval()
    (ours,), _, _ = checkpoint_utils.load_model_ensemble_and_task([str(full["roberta"])])
    expected = ours.eval()(TOKENS, features_only=True)[0]
    found = model(TOKENS, attention_mask=TOKENS.ne(1).long()).last_hidden_state
    assert torch.allclose(found[0], expected[0], rtol=0, atol=1e-4)


def test_names_of_checkpoints_from_before_2020(to_huggingface, full, tmp_path):
    state = torch.load(full["roberta"])["model"]
    old = dict.fromkeys(state)
    for name, value in state.items():
        renamed = name.replace("encoder.", "decoder.", 1).replace(".layernorm_embedding.", ".emb_layer_norm.")
        old[renamed] = value
    path = changed(full["roberta"], tmp_path / "old.pt", old)
    for name, checkpoint in (("old", path), ("new", str(full["roberta"]))):
        to_huggingface.export(checkpoint, str(tmp_path / name), {"encoder": "0,3"})
    assert (tmp_path / "old" / "model.safetensors").read_bytes() == (
        tmp_path / "new" / "model.safetensors"
    ).read_bytes()


def test_which_head(to_huggingface, classifier, tmp_path):
    weights = torch.load(classifier)["model"]
    name = "classification_heads.sentence_classification_head"
    second = {k.replace(name, "classification_heads.second"): v for k, v in weights.items() if k.startswith(name)}
    path = changed(classifier, tmp_path / "two.pt", second)
    with pytest.raises(ValueError) as error:
        to_huggingface.export(path, str(tmp_path / "out"), {})
    assert str(error.value) == (
        "`--head` must be given, as the checkpoint has several: sentence_classification_head, second, masked_lm."
    )
    with pytest.raises(ValueError) as error:
        to_huggingface.export(path, str(tmp_path / "out"), {}, head="third")
    assert str(error.value) == (
        "`--head` must be one that the checkpoint has, sentence_classification_head or second or masked_lm, "
        "but is 'third'."
    )
    for head, kind in (("second", "RobertaForSequenceClassification"), ("masked_lm", "RobertaForMaskedLM")):
        assert to_huggingface.export(path, str(tmp_path / head), {}, head=head)[:2] == (kind, head)


def test_a_head_that_is_wider_inside(to_huggingface, classifier, tmp_path):
    name = "classification_heads.sentence_classification_head"
    wide = {f"{name}.dense.weight": torch.zeros(20, 16), f"{name}.dense.bias": torch.zeros(20)}
    wide[f"{name}.out_proj.weight"] = torch.zeros(2, 20)
    with pytest.raises(ValueError) as error:
        to_huggingface.export(changed(classifier, tmp_path / "wide.pt", wide), str(tmp_path / "out"), {})
    assert str(error.value) == (
        "`--head` must be as wide inside as the model, 16, for Hugging Face's RoBERTa, but is 20."
    )


REFUSED = {
    "quant_noise_pq": (0.1, "off"),
    "quant_noise_scalar": (0.5, "off"),
    "encoder_learned_pos": (False, "on"),
    "layernorm_embedding": (False, "on"),
    "no_scale_embedding": (False, "on"),
    "encoder_normalize_before": (True, "off"),
    "no_token_positional_embeddings": (True, "off"),
    "adaptive_input": (True, "off"),
    "encoder_xformers_att_config": ("{}", "off"),
    "spectral_norm_classification_head": (True, "off"),
    "mha_heads_to_keep": (1, "-1"),
    "ffn_blocks_to_remove": (1, "-1"),
    "activation_fn": ("relu", "gelu"),
}
REFUSED_OF_A_CLASSIFIER = {
    "activation_fn": ("linear", "gelu or relu or gelu_accurate or gelu_fast or tanh"),
    "pooler_activation_fn": ("relu", "tanh"),
}


@pytest.mark.parametrize("option", REFUSED)
def test_an_option_that_it_can_not_express(option, to_huggingface, full, tmp_path):
    refused(option, *REFUSED[option], to_huggingface, full["roberta"], tmp_path)


@pytest.mark.parametrize("option", REFUSED_OF_A_CLASSIFIER)
def test_an_option_of_a_classifier_that_it_can_not_express(option, to_huggingface, classifier, tmp_path):
    refused(option, *REFUSED_OF_A_CLASSIFIER[option], to_huggingface, classifier, tmp_path)


def refused(option, value, wanted, to_huggingface, path, tmp_path):
    path = changed(path, tmp_path / "changed.pt", **{option: value})
    with pytest.raises(ValueError) as error:
        to_huggingface.export(path, str(tmp_path / "out"), {})
    flag = "--" + option.replace("_", "-")
    assert str(error.value) == f"`{flag}` must be {wanted} for Hugging Face's RoBERTa, but is {value!r}."
    assert os.listdir(tmp_path) == ["changed.pt"]


TAKEN_OVER = {
    *("encoder_attention_heads", "encoder_embed_dim", "encoder_ffn_embed_dim", "encoder_layers"),
    *("dropout", "attention_dropout", "pooler_dropout", "untie_weights_roberta"),
    *("max_positions", "max_source_positions", "max_target_positions", "tokens_per_sample"),  # the size of a table
}
NOTHING_AT_INFERENCE = {
    *("activation_dropout", "quant_noise_pq_block_size", "ffn_reg_scale_factor", "mha_reg_scale_factor"),
    *("encoder_layerdrop", "encoder_layers_to_keep", "min_params_to_wrap", "load_checkpoint_heads", "_name", "arch"),
    *("encoder_headdrop", "encoder_ffndrop", "encoder_sublayerdrop", "encoder_layerdrop_learned"),
    *("layerdrop_warmup_updates", "layerdrop_cooldown_updates"),
    *("layerdrop_depths", "layerdrop_validate_depths"),
    *("decoder_layerdrop", "decoder_layers_to_keep", "base_layers"),  # of other models
    *("decoder_headdrop", "decoder_ffndrop", "decoder_sublayerdrop", "decoder_layerdrop_learned"),
}


def test_every_option_of_fairseqs_model_was_thought_of(full):
    from layerdrop_plugin.fairseq_adapter.modeling.architectures import known_names

    known = known_names("layerdrop_roberta") - TAKEN_OVER - NOTHING_AT_INFERENCE
    assert known <= set(REFUSED) | set(REFUSED_OF_A_CLASSIFIER)


def test_weights_of_another_model(to_huggingface, full, tmp_path):
    path = changed(full["roberta"], tmp_path / "changed.pt", {"encoder.sentence_encoder.layers.1.fc1.bias": None})
    with pytest.raises(
        ValueError, match=r"^`CKPT` must hold the weights of the model that its options describe. Error"
    ):
        to_huggingface.export(path, str(tmp_path / "out"), {})


def test_other_models(to_huggingface, full, tmp_path):
    with pytest.raises(ValueError) as error:
        to_huggingface.export(str(full["transformer_lm"]), str(tmp_path / "out"), {})
    assert str(error.value) == (
        "`CKPT` must be a RoBERTa, BART, wav2vec2 or hubert for Hugging Face, but is a transformer_lm."
    )


def test_a_model_that_computes_something_else(to_huggingface, full, lively, tmp_path, monkeypatch):
    path = lively(full["roberta"])
    head = "transformers.models.roberta.modeling_roberta.RobertaLMHead.forward"
    monkeypatch.setattr(head, lambda *args, **kwargs: torch.zeros(2, 5, 49))
    with pytest.raises(ValueError) as error:
        to_huggingface.export(path, str(tmp_path / "out"), {})
    assert str(error.value) == (
        "`CKPT` can't be exported: the logits of Hugging Face's RoBERTa differ from fairseq's by 1."
    )
    assert os.listdir(tmp_path) == []


def test_transformers_that_work_with_no_such_torch(to_huggingface, full, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.is_torch_available", lambda: False)
    with pytest.raises(ValueError) as error:
        to_huggingface.export(str(full["roberta"]), str(tmp_path / "out"), {})
    assert str(error.value) == (
        f"`--to huggingface` needs transformers that work with torch {torch.__version__}, "
        f"but {transformers.__version__} do not; older ones may: pip install 'transformers<5'."
    )


def test_a_disk_that_is_full(to_huggingface, full, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # bytes in a file
    try:
        with pytest.raises(ValueError) as error:
            to_huggingface.export(str(full["roberta"]), str(tmp_path / "out"), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    message = f"`OUT` must be a folder that can be written, but {tmp_path}/out can't be: "
    assert str(error.value).startswith(message)
    assert "File too large" in str(error.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("removed", "added", "lacks"),
    [
        ("embed_tokens", None, "encoder.sentence_encoder.embed_tokens.weight"),
        (None, "classification_heads.x.out_proj.weight", "classification_heads.x.dense.weight"),
    ],
)
def test_weights_that_are_lacking(to_huggingface, full, tmp_path, removed, added, lacks):
    state = torch.load(full["roberta"])
    state["model"] = {name: v for name, v in state["model"].items() if removed is None or removed not in name}
    if added:
        state["model"][added] = torch.zeros(2, 16)
    torch.save(state, tmp_path / "c.pt")
    with pytest.raises(ValueError) as error:
        to_huggingface.export(str(tmp_path / "c.pt"), str(tmp_path / "out"), {})
    assert str(error.value) == (
        f"`CKPT` must hold the weights of the model that its options describe, but lacks {lacks}."
    )


def test_force_does_not_remove_the_checkpoint(to_huggingface, full, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "model.safetensors").touch()
    path = shutil.copy(full["roberta"], out)
    with pytest.raises(ValueError) as error:
        to_huggingface.export(str(path), str(out), {}, force=True)
    assert str(error.value) == f"`OUT` must be a folder without `CKPT`, but {out} holds {path}."
    assert os.path.isfile(path)
