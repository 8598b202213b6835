"""The names of classes: what the data calls them."""

from __future__ import annotations

import json
from argparse import Namespace

import pytest

from layerdrop_plugin.cli import export
from layerdrop_plugin.fairseq_adapter.export import label_names


@pytest.fixture
def labeled(tmp_path):
    """As fairseq-preprocess writes it: the more frequent first, then words that fill up to a multiple of 8."""
    (tmp_path / "label").mkdir()
    (tmp_path / "label" / "dict.txt").write_text("contradiction 9\nvery neutral 8\nentailment 7\nmadeupword0000 0\n")
    return str(tmp_path)


NAMES = ["contradiction", "very neutral", "entailment"]


def test_where_the_training_found_them(labeled):
    assert label_names.of(Namespace(data=labeled), 3, None) == NAMES
    assert label_names.of(Namespace(data=f"{labeled}:more"), 2, None) == NAMES[:2]


def test_elsewhere(labeled):
    assert label_names.of(Namespace(data="gone"), 3, labeled) == NAMES


@pytest.mark.parametrize("options", [Namespace(data="gone"), Namespace(data=None), Namespace()])
def test_nobody_knows_them(options):
    assert label_names.of(options, 3, None) is None


def test_too_few(labeled, tmp_path):
    assert label_names.of(Namespace(data=labeled), 5, None) is None
    rule = "`--data` must hold label/dict.txt with a name for each of 5 classes, but"
    for folder, found in ((labeled, f"{labeled}/label/dict.txt has 4."), ("gone", "there is no gone/label/dict.txt.")):
        with pytest.raises(ValueError) as error:
            label_names.of(Namespace(data=labeled), 5, folder)
        assert str(error.value) == f"{rule} {found}"


def test_the_exported_model_knows_them(classifier, tmp_path, capsys):
    transformers = pytest.importorskip("transformers")
    if not transformers.is_torch_available():
        pytest.skip(f"transformers {transformers.__version__} need a newer torch")
    out = tmp_path / "out"
    export.main([str(classifier[1]), "--to", "huggingface", "-o", str(out)])
    shown = capsys.readouterr()
    config = json.loads((out / "config.json").read_text())
    words = [line.split()[0] for line in (classifier[0] / "label" / "dict.txt").read_text().splitlines()]
    assert sorted(words[:2]) == ["0", "1"]
    assert config["id2label"] == {"0": words[0], "1": words[1]}
    assert config["label2id"] == {words[0]: 0, words[1]: 1}
    *_, load, use = shown.out.splitlines()
    assert load == f"  model = transformers.AutoModelForSequenceClassification.from_pretrained('{out}')"
    assert use == "  print(model.config.id2label[int(model(torch.tensor([[0, 4, 5, 2]])).logits.argmax())])"
    model = transformers.AutoModelForSequenceClassification.from_pretrained(str(out))
    assert model.config.id2label == {0: words[0], 1: words[1]}


def test_data_without_a_head(full, tmp_path, error_of):
    pytest.importorskip("transformers")
    said = error_of(
        export.main, str(full["roberta"]), "--to", "huggingface", "-o", str(tmp_path / "out"), "--data", "d"
    )
    assert said == "`--data` must be left out: only a classification head has labels (got 'd')."
