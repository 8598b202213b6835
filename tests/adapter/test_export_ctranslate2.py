"""Exported to CTranslate2, a model scores every word as fairseq does; what would come out otherwise is refused."""

import argparse
import os
import shutil

import pytest
import torch

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
    from omegaconf import OmegaConf

    def make(family, *options):
        joined = "--share-all-embeddings" if "--encoder-embed-dim" in options else None
        usual = [option for option in tiny[family] if option != joined]
        cfg = configure(data[family], "--arch", f"layerdrop_{family}", *usual, *options)
        task = tasks.setup_task(cfg.task)
        model = task.build_model(cfg.model).eval()
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for weight in model.parameters():
                weight += 0.4 * torch.randn(weight.shape, generator=generator)
        path = str(tmp_path_factory.mktemp("lively") / "checkpoint.pt")
        saved = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
        torch.save({**torch.load(full[family]), "cfg": saved, "model": model.state_dict()}, path)
        return path, model, task

    return make


@torch.no_grad()
def scores(model, task):
    """fairseq's log-probabilities of each word and of the end, after the end of another sentence."""
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
    assert str(error.value) == "`--task` must be translation for CTranslate2, but is 'denoising'."


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
    *("encoder_layerdrop", "decoder_layerdrop", "encoder_layers_to_keep", "decoder_layers_to_keep"),  # settled before
    *("encoder_headdrop", "encoder_ffndrop", "encoder_sublayerdrop", "encoder_layerdrop_learned"),
    *("decoder_headdrop", "decoder_ffndrop", "decoder_sublayerdrop", "decoder_layerdrop_learned"),
    *("layerdrop_warmup_updates", "layerdrop_cooldown_updates"),
    *("checkpoint_activations", "offload_activations", "min_params_to_wrap", "export", "_name", "arch"),
    *("encoder_embed_path", "decoder_embed_path", "char_inputs"),
    *("adaptive_input_cutoff", "adaptive_input_factor", "adaptive_softmax_dropout", "adaptive_softmax_factor"),
    *("tie_adaptive_proj", "tie_adaptive_weights", "base_shuffle", "base_sublayers"),
    *("char_embedder_highway_layers", "character_embedding_dim", "character_filters"),
}


@pytest.mark.parametrize("family", ["transformer", "transformer_lm"])
def test_every_option_of_fairseqs_models_was_thought_of(family, full):
    from layerdrop_plugin.fairseq_adapter.architectures import known_names

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
    assert str(error.value) == f"`--data` must hold dictionaries, but {file} is none: {reason.format(file)}."


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
