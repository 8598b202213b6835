"""translation_from_pretrained_bart, mBART's task: a model is trained, validated, generated with, and pruned at load."""

from __future__ import annotations

import logging
import re
from argparse import Namespace

import pytest
import torch
from fairseq import checkpoint_utils, options
from fairseq.data import Dictionary
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.tasks.translation_from_pretrained_bart import TranslationFromPretrainedBARTTask
from fairseq_cli import generate, validate
from shared.versions import FAIRSEQ_FIXED

from layerdrop_plugin.fairseq_adapter.compat import pretrained_bart_task

pytestmark = pytest.mark.slow

NAME = "translation_from_pretrained_bart"
MBART = ["--task", NAME, "--source-lang", "en", "--target-lang", "de", "--langs", "en,de,fr", "--prepend-bos"]
PRUNED = "{'encoder_layers_to_keep': '0,2', 'decoder_layers_to_keep': 'last:1'}"
WITHOUT = ["--encoder-layerdrop", 0, "--decoder-layerdrop", 0]  # with fairseq's own LayerDrop, its BART fails at a beam


@pytest.fixture(
    scope="module",
    params=[["bart_base", *WITHOUT], ["layerdrop_bart_base"], ["layerdrop_transformer"]],
    ids=lambda words: words[0],
)
def trained(request, tiny, data, train, tmp_path_factory):
    """A checkpoint of the task, validated with BLEU while it was trained."""
    folder = tmp_path_factory.mktemp("trained")
    arch, *rates = request.param
    if arch == "bart_base" and FAIRSEQ_FIXED:
        pytest.skip("fairseq-fixed trains BART with the beam of --eval-bleu as if it translated, and fails")
    argv = ["--arch", arch, *tiny["transformer"], *rates, *MBART, "--max-update", 4, "--save-dir", folder]
    train(data["transformer"], *argv, "--eval-bleu", "--eval-bleu-args", '{"beam": 2, "max_len_b": 12}')
    return folder / "checkpoint_last.pt"


@pytest.fixture
def evaluate(trained, data, monkeypatch):
    """A function that runs one of fairseq's commands, by its parser and its words."""
    monkeypatch.setattr(validate, "reset_logging", lambda: None)  # fairseq-validate would take the log from caplog

    def run(command, parser, *argv):
        argv = [data["transformer"], "--path", trained, *MBART, "--cpu", "--num-workers", 0, "--max-tokens", 400, *argv]
        args = options.parse_args_and_arch(parser, [str(word) for word in argv])
        command.main(convert_namespace_to_omegaconf(args))

    return run


def test_a_model_is_validated(evaluate, caplog):
    caplog.set_level(logging.INFO)
    evaluate(validate, options.get_validation_parser(NAME))
    assert re.search(r"valid on 'valid' subset \| loss \d.* \| bsz 24", caplog.text)


def test_a_model_is_pruned_at_load_and_generates(evaluate, caplog, capsys):
    caplog.set_level(logging.INFO)
    argv = ["--model-overrides", PRUNED, "--beam", 2, "--max-len-b", 9]
    evaluate(generate, options.get_generation_parser(default_task=NAME), *argv)
    assert "encoder keeps layers [0,2] of 4; decoder keeps layers [3] of 4" in caplog.text
    assert len(re.findall("^H-", capsys.readouterr().out, re.MULTILINE)) == 24


def test_sentences_begin_with_bos_and_end_with_their_language(trained):
    models, _, task = checkpoint_utils.load_model_ensemble_and_task([str(trained)])
    symbols = task.target_dictionary
    bos, english, german = symbols.bos(), symbols.index("[en]"), symbols.index("[de]")
    assert symbols.symbols[-4:] == ["[en]", "[de]", "[fr]", "<mask>"]
    task.load_dataset("test")
    pair, sentence = task.dataset("test")[0], torch.tensor([5, 6, 2])
    assert (pair["source"][0], pair["source"][-1], pair["target"][0], pair["target"][-1]) == (bos, english, bos, german)
    typed = task.build_dataset_for_inference([sentence], [3])[0]
    assert typed["source"].tolist() == [5, 6, 2, english]
    assert task.build_generator(models, Namespace(beam=2)).eos == german
    assert task.build_generator(models, Namespace(score_reference=True)).eos == german


def test_a_subclass_that_sets_args_itself_keeps_its_own():
    class Task(TranslationFromPretrainedBARTTask):
        def __init__(self, args, source, target):
            super().__init__(args, source, target)
            assert self.args is self.cfg is args
            self.args = "its own"

    assert Task(Namespace(langs="en"), Dictionary(), Dictionary()).args == "its own"


def test_the_reason_stays_and_applying_twice_wraps_once():
    once = TranslationFromPretrainedBARTTask.__init__
    pretrained_bart_task.apply()
    assert TranslationFromPretrainedBARTTask.__init__ is once
    assert pretrained_bart_task.needed() == (
        "fairseq's translation_from_pretrained_bart reads options that it does not keep"
    )
