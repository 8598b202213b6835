"""scripts/recipes/bleu.py and generated.py: what fairseq-generate wrote, read back and scored."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "recipes"))
bleu = pytest.importorskip("bleu", reason="needs sacrebleu and sacremoses")
import generated  # noqa: E402

OUTPUT = """\
S-1\tthree
T-1\tdas ist der Text-Teil hier .
H-1\t-0.5\tdas ist der Text-Teil hier .
D-1\t-0.5\tdas ist der Text-Teil hier .
S-0\tone
T-0\tein &quot; altes &quot; Haus steht da .
H-0\t-0.25\tein &quot; altes &quot; Haus steht da .
INFO | fairseq_cli.generate | Translated 2 sentences (14 tokens) in 0.1s (20.50 sentences/s, 140.0 tokens/s)
"""
PLAIN = 'ein "altes" Haus steht da.\ndas ist der Text-Teil hier.\n'


@pytest.fixture
def out(tmp_path):
    """A recipe's folder, in full depth and pruned; the pruned model took a word out."""
    for kept, log, output in (
        ("full", "", OUTPUT),
        ("every_other:3", "| num. model params: 1,100", OUTPUT.replace("Text-Teil hier .\nD", "hier .\nD")),
    ):
        (tmp_path / "evaluate" / kept).mkdir(parents=True)
        (tmp_path / "evaluate" / kept / "generate-test.txt").write_text(output)
        (tmp_path / "evaluate" / f"{kept}.txt").write_text(log)
    shared, more = torch.zeros(30, 50), torch.zeros(500)
    weights = {"encoder.embed": shared, "decoder.embed": shared, "fc.weight": more, "encoder.version": torch.ones(3)}
    weights["encoder.embed_positions._float_tensor"] = torch.ones(1)
    torch.save({"model": weights, "cfg": {}}, tmp_path / "average.pt")
    (tmp_path / "plain.de").write_text(PLAIN)
    return tmp_path


def printed(monkeypatch, capsys, *argv):
    monkeypatch.setattr(sys, "argv", ["bleu.py", *map(str, argv)])
    bleu.main()
    return capsys.readouterr().out.splitlines()


def test_the_table_has_a_row_for_each_depth(out, monkeypatch, capsys):
    lines = printed(monkeypatch, capsys, out, "--language-pair", "en-de", "--reference", out / "plain.de")
    assert lines[:3] == [
        "| layers | parameters | BLEU | sacreBLEU | sentences/s |",
        "|---|---|---|---|---|",
        "| full | 2,000 | 100.00 | 100.00 | 20.5 |",
    ]
    layers, parameters, tokenized, plain, speed = lines[3].strip("| ").split(" | ")
    assert (layers, parameters, speed) == ("every_other:3", "1,100", "20.5")
    assert 0 < float(tokenized) < float(plain) < 100  # the compound that it lacks counts as three words there
    assert "sacreBLEU: nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:" in lines[-1]


def test_sacrebleus_own_test_set_stands_in_the_signature(out, monkeypatch, capsys):
    monkeypatch.setattr(bleu, "get_reference_files", lambda test_set, languages: [str(out / "plain.de")])
    lines = printed(monkeypatch, capsys, out, "--language-pair", "en-de", "--test-set", "wmt14/full")
    assert "sacreBLEU: nrefs:1|test:wmt14/full|lang:en-de|case:mixed" in lines[-1]


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("rich-text format", "rich ##AT##-##AT## text format"),
        ("a - b-", "a - b-"),
        ("ab-cd-ef", "ab ##AT##-##AT## cd ##AT##-##AT## ef"),
        ("a-b-c", "a ##AT##-##AT## b-c"),
        ("ü-ß-z", "ü ##AT##-##AT## ß ##AT##-##AT## z"),
        ("x--y", "x ##AT##-##AT## -y"),
    ],
)
def test_compounds_are_split_as_fairseqs_perl_does(text, split):
    assert bleu.compounds_split(text) == split


def test_tokenized_bleu_is_fairseqs():
    from fairseq.data import Dictionary
    from fairseq.scoring.bleu import BleuConfig, Scorer

    hypotheses = ["the old text-part is here .", "a house stands - there"]
    references = ["the old text-part was here .", "a small house stands - there ."]
    words = Dictionary()
    scorer = Scorer(BleuConfig(pad=words.pad(), eos=words.eos(), unk=words.unk()))
    for hypothesis, reference in zip(hypotheses, references):
        scorer.add(*(words.encode_line(bleu.compounds_split(line)) for line in (reference, hypothesis)))
    assert bleu.tokenized_bleu(hypotheses, references) == pytest.approx(scorer.score(), abs=1e-9)
    assert 0 < scorer.score() < 100


def test_nothing_is_smoothed():
    assert bleu.tokenized_bleu(["a b c"], ["a b c"]) == 0  # no four words in a row


def test_detokenized_text_is_plain_german():
    assert bleu.detokenized(["&quot; Ja &quot; , sagt er ( 3 @-@ mal ) ."], "de") == ['"Ja", sagt er (3-mal).']


def test_sentences_stand_in_the_order_of_the_test_set_also_empty_ones():
    output = "H-2\t-1.0\tdrei\nH-0\t-0.1\teins\nT-0\tone\nH-1\t-0.5\t\n"
    assert generated.sentences(output, "H", Path("x")) == ["eins", "", "drei"]


def test_a_sentence_that_was_left_out_is_named():
    with pytest.raises(SystemExit, match=r"^x must hold every sentence of the test set, but number 1 is missing\.$"):
        generated.sentences("H-2\t-1.0\tdrei\nH-0\t-0.1\teins\n", "H", Path("x"))


def test_another_number_of_references_is_refused(out, monkeypatch, capsys):
    (out / "short.de").write_text("eine Zeile\n")
    with pytest.raises(SystemExit, match=r"short\.de must hold a reference for 2 sentences, but holds 1\.$"):
        printed(monkeypatch, capsys, out, "--language-pair", "en-de", "--reference", out / "short.de")


def test_the_log_is_heard_again_afterwards(out):
    before = logging.root.manager.disable
    generated.read(out)
    assert logging.root.manager.disable == before


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r"evaluate must hold what fairseq-generate wrote, but holds none\.$"):
        generated.read(tmp_path)


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("average.pt", r"average\.pt must be the model that was evaluated, but does not exist\.$"),
        (
            "evaluate/every_other:3.txt",
            r"3\.txt must hold what fairseq-generate prints, but has no 'num.* params.*'\.$",
        ),
    ],
)
def test_what_is_missing_is_named(gone, message, out):
    (out / gone).unlink()
    with pytest.raises(SystemExit, match=message):
        generated.read(out)
