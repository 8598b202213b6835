"""Models and data that layerdrop-export refuses for CTranslate2."""

from __future__ import annotations

import os
import shutil

import pytest
import torch

pytest.importorskip("ctranslate2")


@pytest.fixture(scope="module")
def to_ctranslate2(full):
    """The module, our models registered."""
    from layerdrop_plugin.fairseq_adapter.export import to_ctranslate2

    return to_ctranslate2


def changed(path, output, **options):
    """Write a checkpoint with other options of the model and the task, the weights as they were."""
    state = torch.load(path)
    for name, value in options.items():
        setattr(state["cfg"]["model"], name, value)  # which holds all, as fairseq's command line fills it
        if name in state["cfg"]["task"]:
            state["cfg"]["task"][name] = value
    torch.save(state, output)
    return str(output)


BOTH = {
    "adaptive_softmax_cutoff": ("10,20", "off"),
    "adaptive_input": (True, "off"),
    "base_layers": (1, "off"),
    "scale_fc": (True, "off"),
    "scale_attn": (True, "off"),
    "scale_heads": (True, "off"),
    "scale_resids": (True, "off"),
    "quant_noise_pq": (0.1, "off"),
    "quant_noise_scalar": (0.5, "off"),
    "no_token_positional_embeddings": (True, "off"),
    "decoder_xformers_att_config": ("{}", "off"),
    "activation_fn": ("tanh", "relu or gelu or gelu_accurate or gelu_fast"),
}


REFUSED = {
    "transformer": {
        **BOTH,
        "cross_self_attention": (True, "off"),
        "no_cross_attention": (True, "off"),
        "encoder_xformers_att_config": ("{}", "off"),
        "no_decoder_final_norm": (True, "off"),
        "merge_src_tgt_embed": (True, "off"),
        "decoder_normalize_before": (True, "the same as `--encoder-normalize-before`, which is False,"),
        "decoder_attention_heads": (4, "the same as `--encoder-attention-heads`, which is 2,"),
        "decoder_input_dim": (12, "the same as `--decoder-embed-dim`, which is 16,"),
        "decoder_output_dim": (12, "the same as `--decoder-embed-dim`, which is 16,"),
    },
    "transformer_lm": {
        **BOTH,
        "character_embeddings": (True, "off"),
        "self_target": (True, "off"),
        "past_target": (True, "off"),
        "output_dictionary_size": (9, "-1"),
        "decoder_output_dim": (16, "other than 16, as `--decoder-input-dim` is,"),  # fairseq's default is 512
    },
}


@pytest.mark.parametrize(
    ("family", "option"), [(family, option) for family, options in REFUSED.items() for option in options]
)
def test_an_option_that_it_can_not_express(family, option, to_ctranslate2, full, tmp_path):
    value, wanted = REFUSED[family][option]
    path = changed(full[family], tmp_path / "changed.pt", **{option: value})
    with pytest.raises(ValueError) as error:
        to_ctranslate2.export(path, str(tmp_path / "out"), {})
    flag = "--" + option.replace("_", "-")
    assert str(error.value) == f"`{flag}` must be {wanted} for CTranslate2, but is {value!r}."
    assert os.listdir(tmp_path) == ["changed.pt"]


def test_another_task(to_ctranslate2, full, tmp_path):
    state = torch.load(full["transformer"])
    state["cfg"]["task"]["_name"] = "denoising"
    torch.save(state, tmp_path / "changed.pt")
    with pytest.raises(ValueError) as error:
        to_ctranslate2.export(str(tmp_path / "changed.pt"), str(tmp_path / "out"), {})
    assert str(error.value) == (
        "`--task` must be translation or translation_multi_simple_epoch for CTranslate2, but is 'denoising'."
    )


TAKEN_OVER = {
    *("decoder_attention_heads", "decoder_embed_dim", "decoder_ffn_embed_dim", "decoder_input_dim", "decoder_layers"),
    *("decoder_learned_pos", "decoder_normalize_before", "decoder_output_dim", "encoder_attention_heads"),
    *("encoder_embed_dim", "encoder_ffn_embed_dim", "encoder_layers", "encoder_learned_pos"),
    *("encoder_normalize_before", "layernorm_embedding", "no_decoder_final_norm", "no_scale_embedding"),
    *("max_positions", "max_source_positions", "max_target_positions", "tokens_per_sample"),  # sizes of tables
    *("share_all_embeddings", "share_decoder_input_output_embed"),
}


NOTHING_AT_INFERENCE = {
    *("activation_dropout", "attention_dropout", "dropout", "relu_dropout", "quant_noise_pq_block_size"),
    *(
        "encoder_layerdrop",
        "decoder_layerdrop",
        "encoder_layers_to_keep",
        "decoder_layers_to_keep",
    ),  # carried out before
    *("encoder_headdrop", "encoder_ffndrop", "encoder_sublayerdrop", "encoder_layerdrop_learned"),
    *("decoder_headdrop", "decoder_ffndrop", "decoder_sublayerdrop", "decoder_layerdrop_learned"),
    *("layerdrop_warmup_updates", "layerdrop_cooldown_updates"),
    *("layerdrop_depths", "layerdrop_validate_depths"),
    *("checkpoint_activations", "offload_activations", "min_params_to_wrap", "export", "_name", "arch"),
    *("encoder_embed_path", "decoder_embed_path", "char_inputs"),
    *("adaptive_input_cutoff", "adaptive_input_factor", "adaptive_softmax_dropout", "adaptive_softmax_factor"),
    *("tie_adaptive_proj", "tie_adaptive_weights", "base_shuffle", "base_sublayers"),
    *("char_embedder_highway_layers", "character_embedding_dim", "character_filters"),
}


@pytest.mark.parametrize("family", ["transformer", "transformer_lm"])
def test_every_option_of_fairseqs_models_was_thought_of(family, full):
    from layerdrop_plugin.fairseq_adapter.modeling.architectures import known_names

    assert known_names(f"layerdrop_{family}") - TAKEN_OVER - NOTHING_AT_INFERENCE <= set(REFUSED[family])


@pytest.fixture
def moved(full, tmp_path):
    """A checkpoint that names its languages, trained on data that are not here any more."""
    return changed(full["transformer"], tmp_path / "moved.pt", data="/gone:/too", source_lang="en", target_lang="de")


def test_the_data_were_moved(to_ctranslate2, moved, data, tmp_path):
    with pytest.raises(ValueError) as error:
        to_ctranslate2.export(moved, str(tmp_path / "out"), {})
    assert str(error.value) == (
        "`--data` must be given, a folder with the dictionaries: '/gone', "
        "where the checkpoint was trained, does not exist here."
    )
    to_ctranslate2.export(moved, str(tmp_path / "out"), {}, data=str(data["transformer"]))
    assert sorted(os.listdir(tmp_path / "out")) == ["config.json", "model.bin", "shared_vocabulary.json"]


def test_no_dictionaries_in_the_folder(to_ctranslate2, moved, data, tmp_path):
    folder = str(data["transformer_lm"])
    with pytest.raises(ValueError) as error:
        to_ctranslate2.export(moved, str(tmp_path / "out"), {}, data=folder)
    assert str(error.value) == f"`--data` must be a folder with dict.en.txt, but {folder} has none."


def test_dictionaries_of_another_model(to_ctranslate2, moved, data, tmp_path):
    text = (data["transformer"] / "dict.de.txt").read_text()
    (tmp_path / "dict.en.txt").write_text(text)
    (tmp_path / "dict.de.txt").write_text(text + "more 1\n")
    with pytest.raises(ValueError) as error:
        to_ctranslate2.export(moved, str(tmp_path / "out"), {}, data=str(tmp_path))
    rows = len(torch.load(moved)["model"]["decoder.embed_tokens.weight"])
    assert str(error.value) == (
        f"`--data` must hold the dictionaries of the model, whose decoder knows {rows} words, "
        f"but {tmp_path}/dict.de.txt has {rows + 1}."
    )


def test_languages_that_neither_the_checkpoint_nor_the_data_name(to_ctranslate2, full, data, tmp_path):
    path = changed(full["transformer"], tmp_path / "changed.pt", source_lang=None, target_lang=None)
    for language in ("en", "de"):
        shutil.copy(data["transformer"] / f"dict.{language}.txt", tmp_path)
    with pytest.raises(ValueError) as error:
        to_ctranslate2.export(path, str(tmp_path / "out"), {}, data=str(tmp_path), languages=("en", None))
    assert str(error.value) == (
        "`--source-lang` and `--target-lang` must be given: the checkpoint does not name them, "
        f"and {tmp_path} has no data that do."
    )
    to_ctranslate2.export(path, str(tmp_path / "out"), {}, data=str(tmp_path), languages=("en", "de"))
    assert (tmp_path / "out" / "model.bin").exists()


def test_languages_other_than_those_of_the_checkpoint_or_the_data(to_ctranslate2, moved, full, data, tmp_path):
    unnamed = changed(full["transformer"], tmp_path / "changed.pt", source_lang=None, target_lang=None)
    folder = str(data["transformer"])
    with pytest.raises(ValueError) as error:
        to_ctranslate2.export(moved, str(tmp_path / "out"), {}, data=folder, languages=("de", "en"))
    assert str(error.value) == "`--source-lang` must be 'en', as the checkpoint says, but is 'de'."
    with pytest.raises(ValueError) as error:
        to_ctranslate2.export(unnamed, str(tmp_path / "out"), {}, data=folder, languages=(None, "en"))
    assert str(error.value) == f"`--target-lang` must be 'de', as the data in {folder} say, but is 'en'."


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfe 1\n", "Incorrect encoding detected in {}, please rebuild the dataset"),
        (b"w1\n", "Incorrect dictionary format, expected '<token> <cnt> [flags]': \"w1\n\""),
    ],
)
def test_damaged_dictionaries(to_ctranslate2, moved, tmp_path, content, reason):
    file = tmp_path / "dict.en.txt"
    file.write_bytes(content)
    with pytest.raises(ValueError) as error:
        to_ctranslate2.export(moved, str(tmp_path / "out"), {}, data=str(tmp_path))
    assert str(error.value) == f"`--data` must hold dictionaries, but {file} is not one: {reason.format(file)}."


def test_a_folder_that_fairseq_would_split(to_ctranslate2, moved, tmp_path):
    with pytest.raises(ValueError) as error:
        to_ctranslate2.export(moved, str(tmp_path / "out"), {}, data="a:b")
    assert str(error.value) == "`--data` must be one folder, with no ':' in its name, but is 'a:b'."


def test_no_embeddings(to_ctranslate2, full, tmp_path):
    state = torch.load(full["transformer_lm"])
    del state["model"]["decoder.embed_tokens.weight"]
    torch.save(state, tmp_path / "c.pt")
    with pytest.raises(ValueError) as error:
        to_ctranslate2.export(str(tmp_path / "c.pt"), str(tmp_path / "out"), {})
    assert str(error.value) == (
        "`CKPT` must hold the weights of the model that its options describe, but lacks decoder.embed_tokens.weight."
    )


@pytest.mark.parametrize("option", ["CKPT", "--data"])
def test_force_removes_nothing_that_is_read(to_ctranslate2, full, data, tmp_path, option):
    out = tmp_path / "out"
    shutil.copytree(data["transformer_lm"], out)
    (out / "model.bin").touch()
    path = shutil.copy(full["transformer_lm"], out if option == "CKPT" else tmp_path)
    before = sorted(os.listdir(out))
    with pytest.raises(ValueError) as error:
        to_ctranslate2.export(str(path), str(out), {}, data=str(out), force=True)
    held = {"CKPT": path, "--data": out}[option]
    assert str(error.value) == f"`OUT` must be a folder without `{option}`, but {out} holds {held}."
    assert sorted(os.listdir(out)) == before


def test_weights_of_another_model(to_ctranslate2, full, tmp_path):
    path = changed(full["transformer"], tmp_path / "changed.pt", encoder_ffn_embed_dim=20)
    with pytest.raises(
        ValueError, match=r"^`CKPT` must hold the weights of the model that its options describe. Error"
    ):
        to_ctranslate2.export(path, str(tmp_path / "out"), {})
    assert os.listdir(tmp_path) == ["changed.pt"]


def test_other_models(to_ctranslate2, full, tmp_path):
    with pytest.raises(ValueError) as error:
        to_ctranslate2.export(str(full["roberta"]), str(tmp_path / "out"), {})
    assert str(error.value) == "`CKPT` must be a translation or language model for CTranslate2, but is a roberta."
