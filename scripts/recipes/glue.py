"""Makes the data that fairseq finetunes on of GLUE's tasks: sentences and labels, GPT-2's byte pair code, binary form.

Example: python scripts/recipes/glue.py results/roberta/raw --out results/roberta/bin --tasks MNLI SST-2 --workers 20
The folder holds MNLI.zip, QNLIv2.zip, SST-2.zip, msr_paraphrase_train.txt and mrpc_dev_ids.tsv as far as the tasks
need them, and encoder.json, vocab.bpe and dict.txt. Each task gets OUT/TASK/{input0,input1,label}/{train,valid}.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from fairseq import options
from fairseq_cli import preprocess
from gpt2_bpe import encode_files

Row = dict[str, str]


class Task(NamedTuple):
    """Where a task's examples are. `sizes` is how many there are to train on and in GLUE's dev set."""

    inputs: tuple[str, ...]
    label: str
    sizes: tuple[int, int]
    archive: str = ""
    train: str = ""
    dev: str = ""


TASKS = {
    "MNLI": Task(
        *(("sentence1", "sentence2"), "gold_label", (392702, 9815)),
        *("MNLI.zip", "MNLI/train.tsv", "MNLI/dev_matched.tsv"),
    ),
    "MRPC": Task(("#1 String", "#2 String"), "Quality", (3668, 408)),
    "QNLI": Task(
        *(("question", "sentence"), "label", (104743, 5463)),
        *("QNLIv2.zip", "QNLI/train.tsv", "QNLI/dev.tsv"),
    ),
    "SST-2": Task(("sentence",), "label", (67349, 872), "SST-2.zip", "SST-2/train.tsv", "SST-2/dev.tsv"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path, help="folder with the archives and the codes")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", choices=sorted(TASKS), default=sorted(TASKS))
    parser.add_argument("--any-size", action="store_true", help="do not check the number of examples")
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    for name in args.tasks:
        splits = examples(name, args.raw)
        found = tuple(map(len, splits.values()))
        if found != TASKS[name].sizes and not args.any_size:
            sys.exit(f"glue.py: {name} must have {TASKS[name].sizes} examples to train and in dev, but has {found}.")
        prepare(splits, TASKS[name], args.out / name, args.raw, args.workers)


def examples(name: str, raw: Path) -> dict[str, list[Row]]:
    """Return the examples of a task: `train`, and GLUE's dev set (MNLI's matched one) as `valid`."""
    if name == "MRPC":
        return mrpc(read(raw / "msr_paraphrase_train.txt"), read(raw / "mrpc_dev_ids.tsv"))
    task = TASKS[name]
    with zipfile.ZipFile(raw / task.archive) as archive:
        files = {"train": task.train, "valid": task.dev}
        return {
            split: list(rows(io.TextIOWrapper(archive.open(file), "utf-8", newline="\n"), file))
            for split, file in files.items()
        }


def mrpc(lines: Iterable[str], dev: Iterable[str]) -> dict[str, list[Row]]:
    """Split Microsoft's training file as GLUE does: the pairs of sentence numbers in `dev` are the dev set."""
    held_out = {tuple(line.split()) for line in dev}
    splits: dict[str, list[Row]] = {"train": [], "valid": []}
    for row in rows(lines, "msr_paraphrase_train.txt"):
        splits["valid" if (row["#1 ID"], row["#2 ID"]) in held_out else "train"].append(row)
    return splits


def read(path: Path) -> list[str]:
    with open(path, encoding="utf-8-sig", newline="\n") as lines:
        return list(lines)


def rows(lines: Iterable[str], name: str) -> Iterator[Row]:
    """Yield the rows of a file with tabs and a header; quotation marks mean nothing in GLUE's."""
    fields = (line.rstrip("\r\n").split("\t") for line in lines)
    header = next(fields, [])
    for number, row in enumerate(fields, start=2):
        if len(row) < len(header):
            sys.exit(f"glue.py: line {number} of {name} must have {len(header)} columns, but has {len(row)}.")
        yield dict(zip(header, row))


def prepare(splits: dict[str, list[Row]], task: Task, out: Path, raw: Path, workers: int) -> None:
    """Write text, its code, and what fairseq reads, to out/text, out/pieces, out/{input0,input1,label}."""
    columns = {**{f"input{i}": column for i, column in enumerate(task.inputs)}, "label": task.label}
    for folder in ("text", "pieces"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for split, found in splits.items():
        for part, column in columns.items():
            text = "".join(row[column] + "\n" for row in found)
            (out / "text" / f"{split}.{part}").write_text(text, "utf-8")
    names = [f"{split}.{part}" for split in splits for part in columns if part != "label"]
    encode_files([(out / "text" / name, out / "pieces" / name) for name in names], raw, workers)
    for part in columns:
        pieces = out / ("text" if part == "label" else "pieces")
        shutil.rmtree(out / part, ignore_errors=True)  # fairseq does not write over a dictionary
        binarize(pieces, part, out / part, [] if part == "label" else ["--srcdict", str(raw / "dict.txt")], workers)


def binarize(pieces: Path, part: str, out: Path, dictionary: list[str], workers: int) -> None:
    """fairseq-preprocess, in this process: it takes longer to start than to work."""
    argv = ["--only-source", "--destdir", str(out), "--workers", str(workers), *dictionary]
    argv += ["--trainpref", str(pieces / f"train.{part}"), "--validpref", str(pieces / f"valid.{part}")]
    preprocess.main(options.get_preprocessing_parser().parse_args(argv))
    preprocess.logger.handlers.clear()  # else the next call's lines go into this folder's preprocess.log too


if __name__ == "__main__":
    main()
