"""scripts/recipes/rouge.py and cnn_dm.py: ROUGE of summaries, and the text that they are of."""

from __future__ import annotations

import hashlib
import io
import re
import sys
import tarfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "recipes"))
rouge = pytest.importorskip("rouge", reason="needs rouge-score")
cnn_dm = pytest.importorskip("cnn_dm", reason="needs tqdm")
from generated import Generated  # noqa: E402


def test_rouge_counts_words_pairs_and_subsequences():
    # 3 of 4 words, 1 of 3 pairs; a, b, d in this order
    assert rouge.rouge(["a b x d"], ["a b c d"]) == pytest.approx([75, 100 / 3, 75])


def test_case_and_endings_do_not_count():
    assert rouge.rouge(["Birds walked"], ["bird walking"]) == pytest.approx([100, 100, 100])


def test_rouge_l_is_that_of_the_whole_summary():
    one, other = "a b c .", "d e f ."
    assert rouge.rouge([f"{other} ¶ {one}"], [f"{one} ¶ {other}"])[2] == pytest.approx(100)
    assert rouge.rouge([f"{other} {one}"], [f"{one} {other}"])[2] == pytest.approx(50)


def test_scores_are_means_over_texts():
    assert rouge.rouge(["a b", "c d"], ["a b", "x y"]) == pytest.approx([50, 50, 50])


def test_table_has_a_row_for_each_depth():
    full = Generated("full", 2_000, 20.5, ["a b", "c d"], ["", ""])
    half = Generated("every_other:3", 1_100, 31.25, ["a b", "x y"], ["", ""])
    assert rouge.table([full, half], ["a b", "c d"], "test.target").splitlines() == [
        "| layers | parameters | ROUGE-1 | ROUGE-2 | ROUGE-L | sentences/s |",
        "|---|---|---|---|---|---|",
        "| full | 2,000 | 100.00 | 100.00 | 100.00 | 20.5 |",
        "| every_other:3 | 1,100 | 50.00 | 50.00 | 50.00 | 31.2 |",
    ]


def test_it_is_said_what_made_the_scores(tmp_path, monkeypatch, capsys):
    (tmp_path / "references").write_text("a b\n")
    monkeypatch.setattr(rouge, "read", lambda out: [Generated("full", 2_000, 20.5, ["a b"], [""])])
    monkeypatch.setattr(sys, "argv", ["rouge.py", str(tmp_path), "--references", str(tmp_path / "references")])
    rouge.main()
    assert re.search(r"^F1 by rouge-score \d[\d.]+: words stemmed, ", capsys.readouterr().out, re.MULTILINE)


def test_another_number_of_references_is_refused():
    full = Generated("full", 2_000, 20.5, ["a b"], [""])
    with pytest.raises(SystemExit, match=r"^test\.target must hold a reference for 1 sentences, but holds 2\.$"):
        rouge.table([full], ["a b", "c d"], "test.target")


@pytest.mark.parametrize(
    ("text", "number", "kept"),
    [
        ("It's 1,000 (one), he said.", 3, "It's 1,000 ("),
        ("It's 1,000 (one), he said.", 5, "It's 1,000 (one)"),
        ("well-known U.S. towns", 3, "well-known U.S."),
        ("short", 400, "short"),
    ],
)
def test_words_and_marks_are_tokens(text, number, kept):
    assert cnn_dm.first_tokens(text, number) == kept


def test_a_story_falls_into_article_and_summary():
    story = (
        "By A. Writer\n\n(CNN) -- Rain ¶ fell .\n\n@highlight\n\nIt\u00a0rained\n\n@highlight\n\nAll \u201cday\u201d\n"
    )
    article, summary = cnn_dm.article_and_summary(story)
    assert article == "By A. Writer. (CNN) -- Rain fell ."
    assert summary == "It rained. ¶ All \u201cday\u201d"


def test_stories_fall_into_the_lists_splits_and_those_without_an_article_are_left_out(tmp_path, monkeypatch):
    lists = {"all_train.txt": "http://a/1\nhttp://a/2\n", "all_val.txt": "http://a/3\n", "all_test.txt": "http://a/4\n"}
    for name, addresses in lists.items():
        (tmp_path / name).write_text(addresses)
    addresses = "".join(lists.values()).split()
    texts = {address: f"one {address[-1]} three\n@highlight\nsum {address[-1]}." for address in addresses}
    texts["http://a/1"] = "\n@highlight\nno article"
    texts["http://a/9"] = "in no list\n@highlight\nno"
    for publisher in ("cnn", "dailymail"):
        with tarfile.open(tmp_path / f"{publisher}_stories.tgz", "w:gz") as archive:
            for address, text in texts.items():
                if (publisher == "cnn") == (address[-1] < "3"):
                    member = tarfile.TarInfo(f"{publisher}/stories/{hashlib.sha1(address.encode()).hexdigest()}.story")
                    member.size = len(text)
                    archive.addfile(member, io.BytesIO(text.encode()))
    monkeypatch.setattr(sys, "argv", ["cnn_dm.py", str(tmp_path), str(tmp_path / "text"), "--tokens", "2"])
    cnn_dm.main()
    found = {file.name: file.read_text(encoding="utf-8") for file in (tmp_path / "text").iterdir()}
    assert found == {
        "train.source": "one 2\n",
        "train.target": "sum 2.\n",
        "valid.source": "one 3\n",
        "valid.target": "sum 3.\n",
        "test.source": "one 4\n",
        "test.target": "sum 4.\n",
    }
