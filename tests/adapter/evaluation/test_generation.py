"""BLEU of a model as it stands: what fairseq-generate would say, and no trace of it after that."""

from __future__ import annotations

import re
import sys

import pytest
import torch

from layerdrop_plugin.fairseq_adapter.evaluation import evaluation, generation

OPTIONS = ["--cpu", "--beam", "4", "--lenpen", "0.6", "--min-len", "4", "--max-len-b", "9", "--max-tokens", "200"]
KEPT = {"encoder": (0, 2), "decoder": (1, 3)}
OVERRIDES = "{'encoder_layers_to_keep': '0,2', 'decoder_layers_to_keep': '1,3'}"


def load(full, data, family, *arguments):
    argv = [str(data[family]), *OPTIONS, *arguments]
    return evaluation.load(str(full[family]), "{}", argv, pytest.fail)


@pytest.fixture(scope="module")
def translation(full, data):
    """An evaluation of the tiny translation model, and the batches of the test set."""
    model = load(full, data, "transformer")
    return model, model.batches("test")


def printed(process):
    """The lines T and D of fairseq-generate, by sentence."""
    hypotheses = dict(re.findall(r"^D-(\d+)\t\S+\t(.*)$", process.stdout, flags=re.MULTILINE))
    references = dict(re.findall(r"^T-(\d+)\t(.*)$", process.stdout, flags=re.MULTILINE))
    assert sorted(hypotheses) == sorted(references)
    assert len(hypotheses) == 24
    return [hypotheses[i] for i in sorted(hypotheses)], [references[i] for i in sorted(hypotheses)]


@pytest.mark.slow
def test_it_is_the_score_of_what_fairseq_generate_prints(translation, full, data, command):
    sacrebleu = pytest.importorskip("sacrebleu")
    model, batches = translation
    with model.running(KEPT):
        pruned = generation.bleu(model, batches)
    found = [generation.bleu(model, batches), pruned]
    for bleu, overrides in zip(found, ("{}", OVERRIDES)):
        argv = [data["transformer"], *OPTIONS, "--user-dir", "layerdrop_plugin", "--path", full["transformer"]]
        process = command("fairseq-generate", *argv, "--model-overrides", overrides)
        hypotheses, references = printed(process)
        assert ("Pruning model to" in process.stdout + process.stderr) == (overrides == OVERRIDES)
        assert bleu.score == sacrebleu.corpus_bleu(hypotheses, [references]).score > 0
        number = re.search(r"Translated 24 sentences \(([\d,]+) tokens\)", process.stdout + process.stderr)[1]
        assert bleu.tokens == int(number.replace(",", ""))
    assert found[0].signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert found[0].seconds > 0


def test_losses_are_the_same_before_and_after(translation):
    model, batches = translation
    before = [model.tally(batch).loss for batch in batches]
    generation.bleu(model, batches[:1])
    assert [model.tally(batch).loss for batch in batches] == before
    assert model.model.train() is model.model  # fairseq forbids it for a model that is prepared for inference
    model.model.eval()


@pytest.mark.slow
def test_options_of_generation_count(full, data):
    model = load(full, data, "transformer", "--min-len", "11", "--max-len-b", "11", "--prefix-size", "2")
    batches = model.batches("test")
    longest = generation.bleu(model, batches)
    assert longest.tokens == 24 * 12  # each ends with the end of the sentence
    model.cfg.generation.prefix_size = 0
    assert generation.bleu(model, batches).score < longest.score


def test_the_scorer_is_fairseqs_choice(full, data):
    pytest.importorskip("sacrebleu")
    arguments = ["--scoring", "sacrebleu", "--sacrebleu-tokenizer", "char", "--sacrebleu-lowercase"]
    model = load(full, data, "transformer", *arguments)
    assert "|case:lc|eff:no|tok:char|" in generation.bleu(model, model.batches("test")).signature


@pytest.mark.slow
def test_sampling_is_by_seed_and_leaves_torchs_generator_alone(full, data):
    model = load(full, data, "transformer", "--sampling", "--seed", "7")
    batches = model.batches("test")
    before = torch.get_rng_state()
    first = generation.bleu(model, batches)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert generation.bleu(model, batches)[:3] == first[:3]
    other = load(full, data, "transformer", "--sampling", "--seed", "8")
    assert generation.bleu(other, batches)[:3] != first[:3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lm-path", "lm.pt"], "`--lm-path` must be left out with --bleu, but is 'lm.pt'."),
        (["--beam", "0"], "`--beam` must be at least 1, but is 0 instead."),
        (["--bpe", "subword_nmt"], "`--bpe-codes` must be given with --bpe, but is missing."),
        (["--replace-unk"], "`--replace-unk` must be left out with --bleu, but is '@@ '."),
        (["--constraints"], "`--constraints` must be left out with --bleu, but is 'ordered'."),
        (["--score-reference"], "`--score-reference` must be left out with --bleu, but is True."),
        (["--remove-bpe", "bytes"], "`--post-process` must be one that fairseq knows, but is 'bytes' instead."),
        (["--scoring", "wer"], "`--scoring` must be sacrebleu or left out with --bleu, but is 'wer' instead."),
        (
            ["--bpe", "sentencepiece", "--sentencepiece-model", "none"],
            "`--bpe` and `--tokenizer` must be at hand for --bleu: file none not found",
        ),
        (
            ["--scoring", "sacrebleu", "--sacrebleu-char-level"],
            "`--sacrebleu-char-level` must be left out with --bleu; --sacrebleu-tokenizer char is like it.",
        ),
    ],
)
def test_options_without_a_place_here(full, data, arguments, message):
    with pytest.raises(ValueError) as error:
        generation.check(load(full, data, "transformer", *arguments))
    assert str(error.value) == message


def test_what_fairseq_asserts_is_one_line(full, data):
    model = load(full, data, "transformer", "--sampling-topk", "3")
    with pytest.raises(ValueError) as error:
        generation.check(model)
    assert str(error.value) == "fairseq refuses the options of generation: --sampling-topk requires --sampling"
    assert model.model.train(False) is model.model  # as it was


def test_what_is_asserted_late_is_one_line_too(full, data):
    model = load(full, data, "transformer", "--min-len", "99")
    with pytest.raises(ValueError) as error:
        generation.bleu(model, model.batches("test"))
    message = "min_len cannot be larger than max_len, please adjust these!"
    assert str(error.value) == f"fairseq refuses the options of generation: {message}"


def test_the_tokens_that_are_timed(translation):
    model, batches = translation
    assert (
        sum(generation.time_generation(model, batch)[0] for batch in batches) == generation.bleu(model, batches).tokens
    )
    assert all(generation.time_generation(model, batch)[1] > 0 for batch in batches)


def test_other_models_have_no_bleu(full, data):
    for family, stack in (("transformer_lm", "decoder"), ("roberta", "encoder")):
        model = evaluation.load(str(full[family]), "{}", [str(data[family]), "--cpu"], pytest.fail)
        with pytest.raises(ValueError) as error:
            generation.check(model)
        assert str(error.value) == (
            f"`--bleu` must be for a translation model, but this one has a stack of {stack} layers only."
        )


def test_a_tokenizer_that_needs_what_is_not_installed(full, data, monkeypatch):
    metrics = pytest.importorskip("sacrebleu.metrics")

    def missing(**how):
        raise RuntimeError("\nneeds more:\n\n    pip install it")

    monkeypatch.setattr(metrics, "BLEU", missing)
    with pytest.raises(ValueError) as error:
        generation.check(load(full, data, "transformer", "--scoring", "sacrebleu", "--sacrebleu-tokenizer", "ja-mecab"))
    assert str(error.value) == (
        "`--sacrebleu-tokenizer` must be at hand, but 'ja-mecab' is not: needs more: pip install it"
    )


def test_without_sacrebleu(translation, monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(ValueError) as error:
        generation.check(translation[0])
    assert str(error.value) == '`--bleu` needs sacrebleu: pip install "layerdrop_plugin[bleu]".'
