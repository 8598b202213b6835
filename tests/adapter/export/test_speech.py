"""wav2vec 2.0 and HuBERT, exported to Hugging Face: the hidden states are fairseq's; what would differ is refused."""

from __future__ import annotations

import ast
import json
import os
import re
from dataclasses import fields

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.models.hubert import HubertConfig
from fairseq.models.wav2vec import Wav2Vec2Config
from omegaconf import OmegaConf
from shared.by_hand import build, options_of, save
from shared.tiny_families import TINY, WordsTask

from layerdrop_plugin.cli import export
from layerdrop_plugin.fairseq_adapter.checkpoints.provenance import Pruned
from layerdrop_plugin.fairseq_adapter.export import expressible, to_huggingface
from layerdrop_plugin.fairseq_adapter.options.declared import OPTIONS

transformers = pytest.importorskip("transformers")
if not transformers.is_torch_available():
    pytest.skip(f"transformers {transformers.__version__} need a newer torch", allow_module_level=True)

SOUND = torch.randn(2, 805, generator=torch.Generator().manual_seed(2))
FRAMES = 79  # (805 - 10) // 5 + 1 = 160, (160 - 3) // 2 + 1; an odd number, which fairseq pads
PADDED = torch.arange(805).repeat(2, 1) >= torch.tensor([[805], [500]])
SHORT = 49  # frames of the 500 samples: (500 - 10) // 5 + 1 = 99, (99 - 3) // 2 + 1
FORMS = {
    "base": {},
    "large": {"layer_norm_first": True, "extractor_mode": "layer_norm", "conv_bias": True},
    "as wide as its convolutions": {"conv_feature_layers": "[(16, 10, 5), (16, 3, 2)]", "activation_fn": "relu"},
}
KINDS = {"wav2vec2": "Wav2Vec2Model", "hubert": "HubertModel"}
AUDIO = {"_name": "audio_pretraining", "data": ".", "normalize": False, "sample_rate": 16000}


def lively(family, path, form="cfg", task=AUDIO, arch=None, **options):
    """Write a checkpoint of a tiny model whose random weights are big; return its path."""
    tiny = TINY[family]._replace(options={**TINY[family].options, **options})
    model, generator = build(tiny), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=generator)
    cfg = options_of(tiny)
    if arch is not None:
        cfg = OmegaConf.merge(cfg, {"_name": arch, "encoder_layerdrop": "0.1,0.2,0.3,0.4"})
    return save(model, cfg, path, form, task)


def changed(path, weights=None, **options):
    """Change a checkpoint's options and weights in its file."""
    state = torch.load(path)
    state["cfg"]["model"].update(options)
    state["model"] = {k: v for k, v in {**state["model"], **(weights or {})}.items() if v is not None}
    torch.save(state, path)
    return path


@torch.no_grad()
def fairseqs(path, padding=None, **overrides):
    (model,), _, _ = checkpoint_utils.load_model_ensemble_and_task([path], arg_overrides=overrides, task=WordsTask())
    return model.eval()(SOUND, padding_mask=padding, mask=False, features_only=True)["x"]


@torch.no_grad()
def exported(out, padding=None):
    model, info = transformers.AutoModel.from_pretrained(str(out), output_loading_info=True)
    assert not any(info.values()), info
    return model.eval()(SOUND, attention_mask=None if padding is None else (~padding).long()).last_hidden_state


def alike(found, expected):
    assert expected.max() - expected.min() > 0.5  # not just anything would do
    return torch.allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kept", [None, "every_other:2"], ids=["whole", "pruned"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", KINDS)
def test_the_same_hidden_states(family, form, kept, tmp_path):
    path, out = lively(family, tmp_path / "c.pt", **FORMS[form]), tmp_path / "out"
    found = to_huggingface.export(path, str(out), {"encoder": kept} if kept else {})
    assert found == (KINDS[family], None, {"encoder": Pruned(4, (0, 2))} if kept else {})
    expected = fairseqs(path, encoder_layers_to_keep=kept)
    assert expected.shape == (2, FRAMES, 16)
    assert alike(exported(out), expected)


@pytest.mark.parametrize("form", ["base", "large"])
def test_the_same_hidden_states_of_padded_sound(form, tmp_path):
    path = lively("wav2vec2", tmp_path / "c.pt", **FORMS[form])
    to_huggingface.export(path, str(tmp_path / "out"), {})
    found, expected = exported(tmp_path / "out", PADDED), fairseqs(path, PADDED)
    assert alike(found[0], expected[0])
    assert alike(found[1, :SHORT], expected[1, :SHORT])
    assert not alike(found[1, :SHORT], fairseqs(path)[1, :SHORT])  # the padding matters


@pytest.mark.parametrize("family", KINDS)
def test_settings(family, tmp_path):
    path = lively(family, tmp_path / "c.pt", dropout_input=0.25, attention_dropout=0.5, **FORMS["large"])
    to_huggingface.export(path, str(tmp_path / "out"), {"encoder": "0-2"})
    settings = json.loads((tmp_path / "out" / "config.json").read_text())
    wanted = {"model_type": family, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2}
    wanted.update({"num_hidden_layers": 3, "do_stable_layer_norm": True, "feat_extract_norm": "layer"})
    wanted.update({"conv_dim": [8, 8], "conv_kernel": [10, 3], "conv_stride": [5, 2], "conv_bias": True})
    wanted.update({"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "layerdrop": 0.0})
    wanted.update({"hidden_act": "gelu", "hidden_dropout": 0.1, "feat_proj_dropout": 0.25, "attention_dropout": 0.5})
    assert {name: settings[name] for name in wanted} == wanted


@pytest.mark.parametrize("family", KINDS)
def test_other_forms_of_the_checkpoint_are_exported_alike(family, tmp_path):
    forms = {"new": {}, "of before 2020": {"form": "args"}, "ours": {"arch": f"layerdrop_{family}"}}
    for name, form in forms.items():
        path = lively(family, tmp_path / f"{name}.pt", **form)
        to_huggingface.export(path, str(tmp_path / name), {"encoder": "1,3"})
    assert len({path.read_bytes() for path in tmp_path.glob("*/model.safetensors")}) == 1
    assert len({path.read_bytes() for path in tmp_path.glob("*/config.json")}) == 1


def test_sound_is_prepared_as_in_training(tmp_path):
    path = lively("hubert", tmp_path / "c.pt", task={**AUDIO, "normalize": True, "sample_rate": 8000})
    for _ in range(2):
        to_huggingface.export(path, str(tmp_path / "out"), {}, force=True)
        assert sorted(os.listdir(tmp_path / "out")) == ["config.json", "model.safetensors", "preprocessor_config.json"]
    extractor = transformers.AutoFeatureExtractor.from_pretrained(str(tmp_path / "out"))
    found = extractor([SOUND[0].numpy() * 3 + 1], sampling_rate=8000, return_tensors="pt")
    wanted = torch.nn.functional.layer_norm(SOUND[0] * 3 + 1, (805,))  # as fairseq's data set does
    assert torch.allclose(found.input_values[0], wanted, atol=1e-4)
    assert found.attention_mask.tolist() == [[1] * 805]
    with pytest.raises(ValueError, match="8000"):
        extractor(SOUND[0].numpy(), sampling_rate=16000)


def test_the_command_looks_for_nothing_of_the_training(tmp_path, capsys):
    path = changed(lively("wav2vec2", tmp_path / "c.pt"), finetune_from_model="gone.pt", save_dir="gone")
    export.main([path, "--to", "huggingface", str(tmp_path / "out"), "--encoder", "last:1"])
    assert capsys.readouterr().out == (
        f"{tmp_path}/out: Wav2Vec2Model, encoder layers [3] of 4\n"
        f"{tmp_path}/out: it gives hidden states, of sound as AutoFeatureExtractor.from_pretrained prepares it.\n"
        f"{tmp_path}/out: this loads it:\n"
        "  import torch, transformers\n"
        f"  model = transformers.AutoModel.from_pretrained('{tmp_path}/out')\n"
        "  print(model(torch.zeros(1, 16000)).last_hidden_state.shape)\n"
    )


REFUSED = {
    "`--layer-type` must be transformer for Hugging Face's Wav2Vec2, but is 'conformer'.": "wav2vec2",
    "`--layer-type` must be transformer for Hugging Face's Hubert, but is 'conformer'.": "hubert",
    "`--pos-conv-depth` must be 1 for Hugging Face's Wav2Vec2, but is 5.": "wav2vec2",
    "`--crop-seq-to-multiple` must be 1 for Hugging Face's Wav2Vec2, but is 2.": "wav2vec2",
    "`--quantize-input` must be off for Hugging Face's Wav2Vec2, but is True.": "wav2vec2",
    "`--conv-pos-batch-norm` must be off for Hugging Face's Hubert, but is True.": "hubert",
    "`--activation-fn` must be gelu or relu or gelu_accurate or gelu_fast or tanh for Hugging Face's Hubert, "
    "but is 'linear'.": "hubert",
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_would_differ_is_refused(message, tmp_path):
    option, value = re.search(r"`--(.*)` .* but is (.*)\.", message).groups()
    path = changed(lively(REFUSED[message], tmp_path / "c.pt"), **{option.replace("-", "_"): ast.literal_eval(value)})
    with pytest.raises(ValueError) as error:
        to_huggingface.export(path, str(tmp_path / "out"), {})
    assert str(error.value) == message
    assert os.listdir(tmp_path) == ["c.pt"]


def test_there_is_no_head_to_choose(tmp_path):
    with pytest.raises(ValueError) as error:
        to_huggingface.export(lively("hubert", tmp_path / "c.pt"), str(tmp_path / "out"), {}, head="x")
    assert str(error.value) == ("`--head` must be left out for hubert, which is exported as HubertModel, but is 'x'.")


def test_weights_that_are_lacking(tmp_path):
    path = changed(lively("wav2vec2", tmp_path / "c.pt"), {"encoder.layers.1.fc1.bias": None})
    with pytest.raises(ValueError, match=r"^`CKPT` must hold the weights of the model that its options describe\. "):
        to_huggingface.export(path, str(tmp_path / "out"), {})


def test_a_model_that_computes_something_else(tmp_path, monkeypatch):
    path = lively("hubert", tmp_path / "c.pt")
    module = "transformers.models.hubert.modeling_hubert.HubertFeedForward.forward"
    monkeypatch.setattr(module, lambda self, hidden: torch.zeros_like(hidden))
    with pytest.raises(
        ValueError, match=r"^`CKPT` can't be exported: the hidden states of Hugging Face's Hubert differ"
    ):
        to_huggingface.export(path, str(tmp_path / "out"), {})
    assert os.listdir(tmp_path) == ["c.pt"]


TAKEN_OVER = {
    *("encoder_layers", "encoder_embed_dim", "encoder_ffn_embed_dim", "encoder_attention_heads", "extractor_mode"),
    *("layer_norm_first", "conv_feature_layers", "conv_bias", "conv_pos", "conv_pos_groups"),
    *("dropout", "attention_dropout", "activation_dropout", "dropout_input"),
}
NOTHING_AT_INFERENCE = {
    *("dropout_features", "final_dim", "logit_temp", "quantize_targets", "same_quantizer", "target_glu"),
    *("quantizer_depth", "quantizer_factor", "latent_vars", "latent_groups", "latent_dim", "latent_temp"),
    *("num_negatives", "negatives_from_everywhere", "cross_sample_negatives", "codebook_negatives"),
    *("label_rate", "untie_final_proj", "skip_masked", "skip_nomask", "feature_grad_mult", "require_same_masks"),
    *("mask_length", "mask_prob", "mask_selection", "mask_other", "no_mask_overlap", "mask_min_space", "mask_dropout"),
    *("mask_channel_length", "mask_channel_prob", "mask_channel_before", "mask_channel_selection"),
    *("mask_channel_other", "no_mask_channel_overlap", "mask_channel_min_space"),
    *("max_positions", "checkpoint_activations", "required_seq_len_multiple", "fp16"),  # of padding, which is masked
    *("depthwise_conv_kernel_size", "attn_type", "pos_enc_type"),  # of conformer layers
    *("adp_num", "adp_dim", "adp_act_fn", "adp_trf_idx"),  # of layers with adapters, which `layer_type` refuses
}


@pytest.mark.parametrize("config", [Wav2Vec2Config, HubertConfig])
def test_every_option_was_thought_of(config):
    ruled = {rule.option for rule in expressible.SPEECH} | {option.name for option in OPTIONS} | {"_name"}
    assert {field.name for field in fields(config)} - ruled - TAKEN_OVER <= NOTHING_AT_INFERENCE
