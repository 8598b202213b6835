"""BART and a transformer that aligns, exported: they score and align as in fairseq; what would differ is refused."""

from __future__ import annotations

import json

import pytest
import torch
from fairseq import checkpoint_utils, tasks
from shared.big_weights import save_with_big_weights
from shared.text_models import aligned, argv_of  # noqa: F401  a fixture

from layerdrop_plugin.fairseq_adapter.checkpoints.provenance import Pruned
from layerdrop_plugin.fairseq_adapter.export import expressible, to_ctranslate2, to_huggingface
from layerdrop_plugin.fairseq_adapter.modeling.architectures import known_names
from layerdrop_plugin.fairseq_adapter.options.declared import OPTIONS

SOURCE, TARGET = ["w1", "w30", "w9", "w2", "w17"], ["v3", "v1", "v22", "v39"]
KEPT = {"encoder": "0,3", "decoder": "1,2"}
OVERRIDES = {f"{stack}_layers_to_keep": layers for stack, layers in KEPT.items()}
TOKENS = torch.tensor([[0, 9, 21, 4, 33, 2], [0, 12, 7, 2, 1, 1]])  # the second is padded
ARCHS = {"bart": "bart_base", "transformer": "transformer"}
BEFORE = torch.tensor([[2, 0, 5, 6], [2, 0, 7, 44]])


@pytest.fixture(scope="module")
def lively(configure, tiny, aligned, full, tmp_path_factory):
    """A function from a family and options to a checkpoint whose random weights are big, as loaded by `load`."""

    def make(family, *options):
        usual = [word for word in argv_of(tiny, family) if word != "--full-context-alignment"]
        cfg = configure(aligned, *usual, *options)
        torch.manual_seed(1)
        model = tasks.setup_task(cfg.task).build_model(cfg.model)
        path = str(tmp_path_factory.mktemp("lively") / "checkpoint.pt")
        save_with_big_weights(model, cfg, full["transformer"], path)
        return path

    return make


def load(path, **overrides):
    (model,), _, task = checkpoint_utils.load_model_ensemble_and_task([path], arg_overrides=overrides)
    return model.eval(), task


@torch.no_grad()
def scores_and_alignment(path, **overrides):
    """Return fairseq's log-probabilities of each word and of the end, and the attention of each to the source."""
    model, task = load(path, **overrides)
    source, wanted = (
        torch.tensor([[*map(dictionary.index, words), dictionary.eos()]])
        for dictionary, words in ((task.source_dictionary, SOURCE), (task.target_dictionary, TARGET))
    )
    logits, extra = model(source, torch.tensor([source.shape[1]]), wanted.roll(1))
    return torch.log_softmax(logits, -1)[0].gather(1, wanted.T)[:, 0], extra["attn"][0]


@pytest.mark.slow
@pytest.mark.parametrize(("overrides", "kept"), [({}, {}), (OVERRIDES, KEPT)], ids=["whole", "pruned"])
@pytest.mark.parametrize("family", ["bart", "transformer_align"])
def test_ctranslate2_scores_and_aligns_as_fairseq_does(family, overrides, kept, lively, tmp_path):
    ctranslate2 = pytest.importorskip("ctranslate2")
    path = lively(family, *(["--share-all-embeddings"] if family == "bart" else []))
    expected, attention = scores_and_alignment(path, **overrides)
    assert expected.max() - expected.min() > 0.5  # not just anything would do
    found = to_ctranslate2.export(path, str(tmp_path / "out"), kept)
    assert found == ({"encoder": Pruned(4, (0, 3)), "decoder": Pruned(4, (1, 2))} if kept else {})
    translator = ctranslate2.Translator(str(tmp_path / "out"))
    (scored,) = translator.score_batch([SOURCE], [TARGET])
    assert torch.allclose(torch.tensor(scored.log_probs), expected, atol=1e-4)
    if family == "transformer_align":
        (translated,) = translator.translate_batch(
            [SOURCE], target_prefix=[TARGET], max_decoding_length=4, return_attention=True
        )
        assert torch.allclose(torch.tensor(translated.attention[0]), attention[0, :4, :5], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "file"), [("bart", True), ("transformer", False)])
def test_a_model_of_several_languages_translates_with_their_tokens(family, file, lively, aligned, tmp_path):
    ctranslate2 = pytest.importorskip("ctranslate2")
    options = ["--task", "translation_multi_simple_epoch", "--lang-pairs", "en-de", "--share-all-embeddings"]
    options += ["--encoder-langtok", "tgt", "--decoder-langtok", "--arch", f"layerdrop_{ARCHS[family]}"]
    languages = tmp_path / "languages.txt"
    languages.write_text("de\nen\nfr\n")
    path = lively("bart", *options, *(["--lang-dict", languages] if file else ["--langs", "de,en,fr"]))
    data = tmp_path / "data"
    data.mkdir()
    for language in ("en", "de"):
        (data / f"dict.{language}.txt").symlink_to(aligned / f"dict.{language}.txt")
    if file:
        with pytest.raises(ValueError) as error:
            to_ctranslate2.export(path, str(tmp_path / "out"), KEPT, str(data), ("en", "de"))
        assert str(error.value) == f"`--data` must be a folder with languages.txt, but {data} has none."
        (data / "languages.txt").symlink_to(languages)
    to_ctranslate2.export(path, str(tmp_path / "out"), KEPT, str(data), ("en", "de"))
    model, task = load(path, **OVERRIDES)
    words = task.target_dictionary
    source = torch.tensor([[*map(words.index, ["__de__", *SOURCE]), words.eos()]])
    wanted = torch.tensor([[*map(words.index, ["__de__", *TARGET]), words.eos()]])
    assert words.unk() not in torch.cat([source, wanted], 1)
    with torch.no_grad():
        logits = model(source, torch.tensor([source.shape[1]]), wanted.roll(1))[0]
    expected = torch.log_softmax(logits, -1)[0].gather(1, wanted.T)[:, 0]
    assert expected.max() - expected.min() > 0.5
    translator = ctranslate2.Translator(str(tmp_path / "out"))
    (scored,) = translator.score_batch([["__de__", *SOURCE]], [["__de__", *TARGET]])
    assert torch.allclose(torch.tensor(scored.log_probs), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "kept"),
    [([], {}), ([], KEPT), (["--arch", "layerdrop_mbart_base"], KEPT), (["--activation-fn", "gelu_accurate"], {})],
)
@torch.no_grad()
def test_hugging_face_has_the_logits_of_bart(options, kept, lively, tmp_path):
    transformers = pytest.importorskip("transformers")
    if not transformers.is_torch_available():
        pytest.skip(f"transformers {transformers.__version__} need a newer torch")
    path = lively("bart", *options)
    model, _ = load(path, **(OVERRIDES if kept else {}))
    expected = model(TOKENS, TOKENS.ne(1).sum(1), BEFORE)[0]
    assert expected.max() - expected.min() > 0.5
    found = to_huggingface.export(path, str(tmp_path / "out"), kept)
    assert (found.kind, found.head) == ("BartForConditionalGeneration", "lm_head")
    theirs, info = transformers.AutoModelForSeq2SeqLM.from_pretrained(str(tmp_path / "out"), output_loading_info=True)
    assert not any(info.values()), info
    logits = theirs.eval()(TOKENS, attention_mask=TOKENS.ne(1).long(), decoder_input_ids=BEFORE).logits
    assert torch.allclose(logits, expected, rtol=0, atol=1e-4)
    settings = json.loads((tmp_path / "out" / "config.json").read_text())
    depths = {"encoder_layers": 2, "decoder_layers": 2} if kept else {"encoder_layers": 4, "decoder_layers": 4}
    assert {name: settings[name] for name in depths} == depths


REFUSED = {
    "`--full-context-alignment` must be off for CTranslate2, but is True.": (
        to_ctranslate2,
        "transformer_align",
        ["--full-context-alignment"],
    ),
    "`--share-all-embeddings` must be on for Hugging Face's BART, but is False.": (to_huggingface, "bart", None),
    "`--max-target-positions` must be the same as `--max-source-positions`, which is 1024, for Hugging Face's BART, "
    "but is 64.": (to_huggingface, "bart", ["--max-target-positions", 64]),
    "`--encoder-normalize-before` must be off for Hugging Face's BART, but is True.": (
        to_huggingface,
        "bart",
        ["--encoder-normalize-before"],
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_would_differ_is_refused(message, lively, tmp_path):
    module, family, options = REFUSED[message]
    pytest.importorskip({to_ctranslate2: "ctranslate2", to_huggingface: "transformers"}[module])
    path = lively(family, *(options or []))
    if options is None:
        state = torch.load(path)
        state["cfg"]["model"].share_all_embeddings = False
        torch.save(state, path)
    with pytest.raises(ValueError) as error:
        module.export(path, str(tmp_path / "out"), {})
    assert str(error.value) == message


def test_a_bart_has_no_head_to_choose(lively, tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises(ValueError) as error:
        to_huggingface.export(lively("bart"), str(tmp_path / "out"), {}, head="x")
    assert str(error.value) == (
        "`--head` must be left out for BART, which is exported as BartForConditionalGeneration, but is 'x'."
    )


THOUGHT_OF = {
    *("encoder_layers", "decoder_layers", "encoder_embed_dim", "decoder_embed_dim", "encoder_ffn_embed_dim"),
    *("decoder_ffn_embed_dim", "encoder_attention_heads", "decoder_attention_heads", "no_scale_embedding", "dropout"),
    *("activation_dropout", "attention_dropout", "pooler_dropout"),  # taken over so far
    *("decoder_input_dim", "decoder_output_dim", "max_source_positions", "max_target_positions"),  # must be equal
    *("pooler_activation_fn", "spectral_norm_classification_head"),  # of heads, which are left out
    *("share_decoder_input_output_embed", "no_decoder_final_norm"),  # follow from what must be on or off
    *("adaptive_softmax_dropout", "adaptive_softmax_factor", "tie_adaptive_proj", "tie_adaptive_weights"),
    *("base_shuffle", "base_sublayers", "quant_noise_pq_block_size", "char_inputs"),
    *("relu_dropout", "checkpoint_activations", "offload_activations", "min_params_to_wrap", "export"),
    *("encoder_embed_path", "decoder_embed_path", "_name", "arch", "max_positions", "tokens_per_sample"),
}


def test_every_option_of_bart_was_thought_of():
    ruled = {rule.option for rule in expressible.BART} | {option.name for option in OPTIONS}
    assert known_names("layerdrop_bart_base") - ruled <= THOUGHT_OF
