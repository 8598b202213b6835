"""What the recipe for RoBERTa makes of GLUE's files, GPT-2's byte pair code, and its table of accuracies."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "recipes"))
import accuracies
import glue
import gpt2_bpe

MNLI = "index\tpromptID\tsentence1\tsentence2\tlabel1\tgold_label\n"


@pytest.fixture
def codes(tmp_path):
    """A code of a, b, the blank (written as U+0120) and of a pair of them."""
    (tmp_path / "encoder.json").write_text(
        json.dumps({"a": 0, "b": 1, "\u0120": 2, "\u0120a": 3, "\u00c3": 4, "\u00a9": 5})
    )
    (tmp_path / "vocab.bpe").write_text("#version: 0.2\n\u0120 a\n", "utf-8")
    return tmp_path


def test_columns_are_found_by_name_and_quotation_marks_mean_nothing():
    lines = [MNLI, '0\t1\t"Left open\tand "shut"\tneutral\tentailment\r\n', "1\t2\ta\x85b\tc\tneutral\tneutral\n"]
    assert [(row["sentence1"], row["sentence2"], row["gold_label"]) for row in glue.rows(lines, "dev.tsv")] == [
        ('"Left open', 'and "shut"', "entailment"),
        ("a\x85b", "c", "neutral"),
    ]


def test_a_line_that_lacks_columns_is_named():
    with pytest.raises(SystemExit, match=r"^glue.py: line 3 of dev.tsv must have 6 columns, but has 2.$"):
        list(glue.rows([MNLI, "0\t1\ta\tb\tc\td\n", "1\t2\n"], "dev.tsv"))


def test_the_matched_dev_set_is_taken_for_mnli(tmp_path):
    with zipfile.ZipFile(tmp_path / "MNLI.zip", "w") as archive:
        for split, word in (("train", "t"), ("dev_matched", "m"), ("dev_mismatched", "x")):
            archive.writestr(f"MNLI/{split}.tsv", f"{MNLI}0\t0\t{word}\u2028\t{word}\tneutral\tneutral\n")
    found = glue.examples("MNLI", tmp_path)
    assert {split: [row["sentence1"] for row in rows] for split, rows in found.items()} == {
        "train": ["t\u2028"],
        "valid": ["m\u2028"],
    }


def test_the_dev_set_of_mrpc_is_named_by_pairs_of_numbers(tmp_path):
    lines = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t10\t20\ta\tb\r\n0\t10\t21\tc\td\r\n1\t11\t20\te\tf"
    (tmp_path / "msr_paraphrase_train.txt").write_bytes(lines.encode())
    (tmp_path / "mrpc_dev_ids.tsv").write_text("10\t21\n20\t11\n")
    found = glue.examples("MRPC", tmp_path)
    assert [(row["Quality"], row["#2 String"]) for row in found["train"]] == [("1", "b"), ("1", "f")]
    assert [(row["Quality"], row["#2 String"]) for row in found["valid"]] == [("0", "d")]


def test_another_number_of_examples_than_glues_is_refused(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "SST-2.zip", "w") as archive:
        for split in ("train", "dev"):
            archive.writestr(f"SST-2/{split}.tsv", "sentence\tlabel\nfine \t1\n")
    monkeypatch.setattr(sys, "argv", ["glue.py", str(tmp_path), "--out", str(tmp_path / "bin"), "--tasks", "SST-2"])
    with pytest.raises(SystemExit) as refused:
        glue.main()
    assert str(refused.value) == ("glue.py: SST-2 must have (67349, 872) examples to train and in dev, but has (1, 1).")
    assert not (tmp_path / "bin").exists()


def test_byte_pair_code_line_for_line(codes):
    (codes / "text.txt").write_text("ab a\n\n \naa b\u00e9\nb", "utf-8")
    gpt2_bpe.encode_files([(codes / "text.txt", codes / "coded.txt")], codes, workers=2)
    assert (codes / "coded.txt").read_text() == "0 1 3\n\n\n0 0 2 1 4 5\n1\n"


def test_text_that_is_not_utf_8_leaves_nothing(codes):
    (codes / "text.txt").write_bytes(b"a\n\xff\n")
    with pytest.raises(SystemExit, match="must be text in UTF-8"):
        gpt2_bpe.encode_files([(codes / "text.txt", codes / "coded.txt")], codes, workers=1)
    assert not (codes / "coded.txt").exists()


@pytest.mark.parametrize(
    ("log", "lacks"),
    [(None, r"encoder_layers=(\d+)"), ("encoder_layers=12, | loss 0.5 | wps 0", r"\| accuracy ([\d.]+)")],
)
def test_a_task_without_a_score_is_named(log, lacks, tmp_path, monkeypatch):
    path = tmp_path / "score" / "MRPC" / "full.txt"
    path.parent.mkdir(parents=True)
    if log is not None:
        path.write_text(log)
    monkeypatch.setattr(
        sys, "argv", ["accuracies.py", str(tmp_path), "--layers", "12", "--tasks", "MRPC", "--kept", "full"]
    )
    with pytest.raises(SystemExit) as refused:
        accuracies.main()
    assert str(refused.value) == (
        f"accuracies.py: {path} must hold what fairseq-validate prints, but has no '{lacks}'."
    )


def test_accuracies_stand_beside_the_papers():
    log = (
        "INFO | fairseq_cli.validate | {{'model': Namespace(encoder_layers={}, encoder_layers_to_keep=None)}}\n"
        "INFO | valid | valid on 'valid' subset | loss 0.5 | accuracy {} | wps 0\n"
    )
    rows = [
        ("| loss 2.0 | ppl nan | wps 0", {"MNLI": log.format(12, 84), "SST-2": log.format(12, 94.5)}),
        ("| loss 3.0 | ppl 8.25 | wps 0", {"MNLI": log.format(6, 82.1), "SST-2": log.format(6, 92.6)}),
        ("", {"MNLI": log.format(3, 78.1), "SST-2": log.format(3, 90.6)}),
    ]
    assert accuracies.table(rows, 12).splitlines() == [
        "| layers | perplexity | MNLI | SST-2 |",
        "|---|---|---|---|",
        "| 12 of 12 | nan | 84 | 94.5 |",
        "| 6 of 12 | 8.25 | 82.1 (82.9) | 92.6 (92.5) |",
        "| 3 of 12 | - | 78.1 (78.6) | 90.6 (90.5) |",
    ]
