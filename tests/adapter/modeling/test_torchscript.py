"""torch.jit.script and torch.jit.trace: what stock fairseq can do works with the plugin, and with its own models."""

from __future__ import annotations

import io

import pytest
import torch
from fairseq import tasks
from fairseq.sequence_generator import SequenceGenerator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),  # fairseq looks at tensors' sizes
]

TWO_LAYERS = {
    "transformer": ("--encoder-layers", 2, "--decoder-layers", 2),
    "transformer_lm": ("--decoder-layers", 2),
    "roberta": ("--encoder-layers", 2),
}
LONGER = torch.tensor([[5, 6, 7, 9, 10, 2], [9, 10, 11, 7, 8, 2], [4, 3, 2, 1, 1, 1]])


@pytest.fixture(scope="module")
def build(tiny, data, configure):
    """A function from an architecture and options to a task and a tiny model of two layers, in evaluation."""

    def run(arch, *options):
        family = arch.replace("layerdrop_", "")
        cfg = configure(data[family], "--arch", arch, *tiny[family], *TWO_LAYERS[family], *options)
        task = tasks.setup_task(cfg.task)
        torch.manual_seed(1)
        return task, task.build_model(cfg.model).eval()

    return run


def saved_and_loaded(module):
    file = io.BytesIO()
    torch.jit.save(module, file)
    file.seek(0)
    return torch.jit.load(file)


def inputs(tokens):
    """What a translation model is called with: a source, its lengths, and the target, which is the source again."""
    return tokens, tokens.ne(1).sum(1), tokens


@torch.no_grad()
def assert_agree(scripted, model, *args):
    """A scripted attention multiplies in another order, in stock fairseq as well."""
    (logits, extra), (expected, expected_extra) = scripted(*args), model(*args)
    assert torch.allclose(logits, expected, atol=1e-5)
    if extra["attn"][0] is not None:
        assert torch.allclose(extra["attn"][0], expected_extra["attn"][0], atol=1e-5)


@pytest.mark.parametrize("arch", ["transformer", "layerdrop_transformer"])
def test_a_translation_model_is_scripted(build, tokens, arch):
    _, model = build(arch)
    scripted = saved_and_loaded(torch.jit.script(model))
    for batch in (tokens, LONGER):
        assert_agree(scripted, model, *inputs(batch))


@pytest.mark.parametrize("arch", ["bart_base", "layerdrop_bart_base"])
def test_bart_is_scripted(configure, tiny, data, tokens, arch):
    cfg = configure(data["transformer"], "--arch", arch, *tiny["transformer"], "--encoder-layerdrop", 0)
    model = tasks.setup_task(cfg.task).build_model(cfg.model).eval()
    assert_agree(saved_and_loaded(torch.jit.script(model)), model, *inputs(tokens))


@pytest.mark.parametrize("arch", ["transformer_lm", "layerdrop_transformer_lm"])
def test_the_decoder_of_a_language_model_is_scripted(build, tokens, arch):
    _, model = build(arch)
    scripted = saved_and_loaded(torch.jit.script(model.decoder))
    for batch in (tokens, LONGER):
        assert_agree(scripted, model.decoder, batch)


@pytest.mark.parametrize("arch", ["roberta", "layerdrop_roberta"])
def test_the_sentence_encoder_of_roberta_is_scripted(build, tokens, arch):
    _, model = build(arch)
    encoder = model.encoder.sentence_encoder
    scripted = saved_and_loaded(torch.jit.script(encoder))
    for batch in (tokens, LONGER):
        with torch.no_grad():
            encoded, expected = scripted(batch)["encoder_out"][0], encoder(batch)["encoder_out"][0]
        assert torch.allclose(encoded, expected, atol=1e-5)


@pytest.mark.parametrize("arch", ["transformer", "layerdrop_transformer"])
def test_a_generator_is_scripted_and_repeats_no_pair(build, tokens, arch):
    task, model = build(arch)
    options = {"beam_size": 2, "no_repeat_ngram_size": 2, "min_len": 12, "max_len_b": 12}
    generator = SequenceGenerator([model], task.target_dictionary, **options)
    sample = {"net_input": {"src_tokens": tokens, "src_lengths": tokens.ne(1).sum(1)}}
    scripted = saved_and_loaded(torch.jit.script(generator))
    found, expected = (
        [[hypothesis["tokens"].tolist() for hypothesis in sentence] for sentence in run(sample)]
        for run in (scripted, generator.forward)
    )
    assert found == expected
    for words in (words for sentence in found for words in sentence):
        pairs = list(zip(words, words[1:]))
        assert (len(words), len(set(pairs))) == (13, len(pairs))


class Logits(torch.nn.Module):
    """torch.jit.trace takes no dictionary that a model returns beside its logits."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *args):
        return self.model(*args)[0]


@pytest.mark.parametrize("arch", ["roberta", "layerdrop_roberta"])
def test_roberta_is_traced_for_any_length(build, tokens, arch):
    logits = Logits(build(arch)[1])
    traced = saved_and_loaded(torch.jit.trace(logits, (tokens,)))
    for batch in (tokens, LONGER):
        with torch.no_grad():
            assert torch.equal(traced(batch), logits(batch))


@pytest.mark.parametrize("family", ["transformer", "transformer_lm"])
@pytest.mark.parametrize("prefix", ["", "layerdrop_"])
def test_a_decoder_is_traced_for_one_length(build, tokens, prefix, family):
    """The mask of the future stays as long as it was, in stock fairseq as well; and the first call makes one."""
    logits = Logits(build(prefix + family)[1])
    first, second = (inputs(t) if family == "transformer" else (t,) for t in (tokens, tokens.flip(0)))
    with torch.no_grad():
        logits(*first)
        traced = saved_and_loaded(torch.jit.trace(logits, first))
        assert torch.equal(traced(*second), logits(*second))


def test_what_else_is_dropped_or_learned_changes_nothing(build, tokens):
    learned = ("--encoder-layerdrop-learned", "--encoder-headdrop", 0.5, "--encoder-ffndrop", 0.5)
    _, model = build("layerdrop_transformer", *learned, "--decoder-layerdrop-learned", "--decoder-sublayerdrop", 0.5)
    assert_agree(torch.jit.script(model), model, *inputs(tokens))
    traced = torch.jit.trace(Logits(model), inputs(tokens))
    with torch.no_grad():
        assert torch.equal(traced(*inputs(tokens)), model(*inputs(tokens))[0])
