"""One pair of languages of `multilingual_transformer`, exported to CTranslate2: it scores as fairseq does."""

from __future__ import annotations

import os
from argparse import Namespace

import pytest
import torch
from fairseq import checkpoint_utils, tasks
from shared.by_hand import options_of, save
from shared.tiny_families import TINY

from layerdrop_plugin.cli import export
from layerdrop_plugin.fairseq_adapter.checkpoints.provenance import Pruned
from layerdrop_plugin.fairseq_adapter.export import to_ctranslate2

ctranslate2 = pytest.importorskip("ctranslate2")

SIZES = {"en": 30, "fr": 33, "de": 36}
SOURCE, TARGET = ["fr1", "fr30", "fr9", "fr2", "fr17"], ["de3", "de1", "de22", "de35"]
KEPT = {"encoder": "0,3", "decoder": "1,2"}
OVERRIDES = {f"{stack}_layers_to_keep": layers for stack, layers in KEPT.items()}
TASK = {"_name": "multilingual_translation", "task": "multilingual_translation", "lang_pairs": "en-de,fr-de"}
TASK.update({"left_pad_source": "True", "left_pad_target": "False", "source_lang": None, "target_lang": None})
TASK.update({"encoder_langtok": None, "decoder_langtok": False})


@pytest.fixture
def data(tmp_path):
    """A folder with a dictionary for each language, of words that no other has."""
    folder = tmp_path / "data"
    folder.mkdir()
    for language, size in SIZES.items():
        (folder / f"dict.{language}.txt").write_text("".join(f"{language}{i} 1\n" for i in range(size)))
    return folder


@pytest.fixture
def lively(data, tmp_path):
    """A function from options to a checkpoint of big random weights, of two pairs of languages."""

    def make(**options):
        task_options = Namespace(**{**TASK, "data": str(data), **options})
        cfg = Namespace(**{**vars(task_options), **vars(options_of(TINY["multilingual_transformer"])), **options})
        torch.manual_seed(1)
        model = tasks.setup_task(cfg).build_model(cfg)
        with torch.no_grad():
            for weight in model.parameters():
                weight += 0.4 * torch.randn(weight.shape)
        return save(model, cfg, tmp_path / "c.pt", task=task_options)

    return make


@torch.no_grad()
def scores(path, **overrides):
    """Return fairseq's log-probabilities of each word and of the end."""
    languages = {"source_lang": "fr", "target_lang": "de"}
    (model,), _, task = checkpoint_utils.load_model_ensemble_and_task([path], arg_overrides={**overrides, **languages})
    model = model.models["fr-de"].eval()
    source, wanted = (
        torch.tensor([[*map(dictionary.index, words), dictionary.eos()]])
        for dictionary, words in ((task.source_dictionary, SOURCE), (task.target_dictionary, TARGET))
    )
    assert task.source_dictionary.unk() not in torch.cat([source, wanted], 1)
    logits = model(source, torch.tensor([source.shape[1]]), wanted.roll(1))[0]
    return torch.log_softmax(logits, -1)[0].gather(1, wanted.T)[:, 0]


@pytest.mark.parametrize(
    ("options", "kept"),
    [({}, {}), ({}, KEPT), ({"share_encoders": False, "share_decoders": True}, KEPT)],
    ids=["whole", "pruned", "one decoder"],
)
def test_the_same_scores(options, kept, lively, data, tmp_path):
    path, out = lively(**options), str(tmp_path / "out")
    expected = scores(path, **(OVERRIDES if kept else {}))
    assert expected.max() - expected.min() > 0.5  # not just anything would do
    (data / "dict.en.txt").unlink()  # of no matter for this pair
    found = to_ctranslate2.export(path, out, kept, languages=("fr", None))
    assert found == ({"encoder": Pruned(4, (0, 3)), "decoder": Pruned(4, (1, 2))} if kept else {})
    (scored,) = ctranslate2.Translator(out).score_batch([SOURCE], [TARGET])
    assert scored.tokens == [*TARGET, "</s>"]
    assert torch.allclose(torch.tensor(scored.log_probs), expected, atol=1e-4)


def test_the_command_looks_for_nothing_of_the_training(lively, tmp_path, capsys):
    path, out = lively(finetune_from_model="gone.pt", save_dir="gone"), str(tmp_path / "out")
    export.main([path, "--to", "ctranslate2", out, "--source-lang", "fr", "--decoder", "0"])
    assert capsys.readouterr().out.startswith(f"{out}: CTranslate2, float32, decoder layers [0] of 4\n")


def refusal(path, tmp_path, *languages, **more):
    with pytest.raises(ValueError) as error:
        to_ctranslate2.export(path, str(tmp_path / "out"), {}, languages=languages, **more)
    assert not os.path.exists(tmp_path / "out")
    return str(error.value)


def test_the_pair_must_be_one_of_the_model(lively, data, tmp_path):
    (data / "train.en-de.en.bin").touch()  # names a pair, but not the one that is wanted
    path, rule = lively(), "`--source-lang` and `--target-lang` must name a pair of the model, en-de or fr-de, but are "
    assert refusal(path, tmp_path, None, None) == rule + "None and None."
    assert refusal(path, tmp_path, None, "de") == rule + "None and 'de'."
    assert refusal(path, tmp_path, "de", "fr") == rule + "'de' and 'fr'."


def test_what_would_differ_is_refused(lively, data, tmp_path):
    found = [
        refusal(lively(**o), tmp_path, "fr", "de") for o in ({"encoder_langtok": "tgt"}, {"decoder_langtok": True})
    ]
    assert found == [
        "`--encoder-langtok` must be off for CTranslate2, but is 'tgt'.",
        "`--decoder-langtok` must be off for CTranslate2, but is True.",
    ]
    path = lively()
    assert refusal(path, tmp_path, "en", "de", data=str(tmp_path)) == (
        f"`--data` must be a folder with dict.en.txt, but {tmp_path} has none."
    )
    (data / "dict.fr.txt").write_text("one 1\n")
    assert refusal(path, tmp_path, "fr", "de") == (
        f"`--data` must hold the dictionaries of the model, whose encoder knows 37 words, but {data}/dict.fr.txt has 5."
    )
