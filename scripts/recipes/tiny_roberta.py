"""Made-up miniatures of what scripts/roberta.sh fetches: text, GPT-2's byte pair code, GLUE's tasks."""

from __future__ import annotations

import json
import random
import zipfile
from pathlib import Path

DOCUMENTS = {"train": 60, "valid": 6, "test": 6}
SIZES = {"train": 24, "dev": 12}
MERGE = "\u0120w"  # a blank and a w, as GPT-2 writes them


def roberta(out: Path, generator: random.Random) -> None:
    """wikitext-103-raw-v1.zip; encoder.json, vocab.bpe, dict.txt; the files of MNLI, MRPC, QNLI and SST-2."""
    text(out, generator)
    codes(out)
    table = {"index": "", "question": "a", "sentence": "b", "label": "entailment not_entailment"}
    archive(out / "QNLIv2.zip", {f"QNLI/{split}.tsv": rows(table, size, generator) for split, size in SIZES.items()})
    table = {"sentence": "a", "label": "0 1"}
    archive(out / "SST-2.zip", {f"SST-2/{split}.tsv": rows(table, size, generator) for split, size in SIZES.items()})
    parses = [f"sentence{i}{kind}_parse" for kind in ("_binary", "") for i in (1, 2)]
    table = dict.fromkeys(["index", "promptID", "pairID", "genre", *parses], "")
    table = {**table, "sentence1": "a", "sentence2": "b", "gold_label": "contradiction entailment neutral"}
    files = {"train": SIZES["train"], "dev_matched": SIZES["dev"], "dev_mismatched": SIZES["dev"]}
    archive(out / "MNLI.zip", {f"MNLI/{split}.tsv": rows(table, size, generator) for split, size in files.items()})
    table = {"Quality": "0 1", "#1 ID": "", "#2 ID": "", "#1 String": "a", "#2 String": "b"}
    text_of_mrpc = rows(table, sum(SIZES.values()), generator)
    (out / "msr_paraphrase_train.txt").write_text("\ufeff" + text_of_mrpc, "utf-8")
    ids = ["\t".join(line.split("\t")[1:3]) + "\n" for line in text_of_mrpc.splitlines()[1 : 1 + SIZES["dev"]]]
    (out / "mrpc_dev_ids.tsv").write_text("".join(ids), "utf-8")


def text(out: Path, generator: random.Random) -> None:
    documents = {split: [document(generator) for _ in range(size)] for split, size in DOCUMENTS.items()}
    files = {f"wikitext-103-raw/wiki.{split}.raw": "".join(found) for split, found in documents.items()}
    archive(out / "wikitext-103-raw-v1.zip", files)


def document(generator: random.Random) -> str:
    lines = [f" = {phrase(generator)} = ", " ", *(f" {phrase(generator)} . " for _ in range(4)), " "]
    return "".join(line + "\n" for line in lines)


def phrase(generator: random.Random) -> str:
    """Words that tend to follow from the ones before."""
    first, words = generator.randrange(10), generator.randint(3, 8)
    return " ".join(f"w{(first + 3 * i) % 10}" for i in range(words))


def codes(out: Path) -> None:
    """The code of ASCII's characters, the blank being the first of MERGE, and of one pair of them."""
    symbols = [*map(chr, range(33, 127)), MERGE[0], MERGE]
    (out / "encoder.json").write_text(json.dumps({symbol: i for i, symbol in enumerate(symbols)}), "utf-8")
    (out / "vocab.bpe").write_text("#version: 0.2\n" + " ".join(MERGE) + "\n", "utf-8")
    (out / "dict.txt").write_text("".join(f"{i} {len(symbols) - i}\n" for i in range(len(symbols))), "utf-8")


def rows(table: dict[str, str], count: int, generator: random.Random) -> str:
    """A header and `count` rows: sentences a and b, numbers where nothing is said, labels to choose from."""
    lines = ["\t".join(table)]
    for number in range(count):
        label = generator.choice(next(value for value in table.values() if len(value) > 1).split())
        same = phrase(generator)
        cells = {
            "": str(number),
            "a": same,
            "b": f'"{same} {label[:1]}',
        }  # as in GLUE, a quotation mark may stand alone
        lines.append("\t".join(cells.get(value, label) for value in table.values()))
    return "".join(line + "\n" for line in lines)


def archive(path: Path, files: dict[str, str]) -> None:
    with zipfile.ZipFile(path, "w") as written:
        for name, content in files.items():
            written.writestr(name, content)
