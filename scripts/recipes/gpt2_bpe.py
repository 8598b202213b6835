"""Writes text in GPT-2's byte pair code, line for line, as the numbers that fairseq's dict.txt lists.

Example: python scripts/recipes/gpt2_bpe.py text/train.txt text/valid.txt --bpe raw --out pieces --workers 20
The folder `--bpe` holds encoder.json and vocab.bpe. Empty lines stay, as they part the documents.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from fairseq.data.encoders.gpt2_bpe_utils import Encoder, get_encoder
from tqdm import tqdm

LINES_AT_ONCE = 20_000

_encoder: Encoder  # one for each worker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", help="text in UTF-8")
    parser.add_argument("--bpe", type=Path, required=True, help="folder with encoder.json and vocab.bpe")
    parser.add_argument("--out", type=Path, required=True, help="folder that gets files of the same names")
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    encode_files([(file, args.out / file.name) for file in args.files], args.bpe, args.workers)


def encode_files(files: Iterable[tuple[Path, Path]], bpe: Path, workers: int) -> None:
    """Encode each (source, target) with the codes of the folder `bpe`."""
    with multiprocessing.Pool(workers, _start, (bpe,)) as pool:
        for source, target in files:
            part = target.with_name(target.name + ".part")
            try:
                with open(source, "rb") as lines, open(part, "w", encoding="utf-8") as out:
                    out.writelines(_encoded(pool, lines, os.path.getsize(source), target.name))
            except (OSError, UnicodeDecodeError) as error:
                sys.exit(f"gpt2_bpe.py: {source} must be text in UTF-8, but: {error}")
            os.replace(part, target)


def _encoded(pool, lines: Iterable[bytes], size: int, name: str) -> Iterator[str]:
    """Batch by batch, so that a corpus of any size fits the memory."""
    with tqdm(total=size, unit="B", unit_scale=True, desc=name, disable=None) as bar:
        for batch in iter(lambda: list(itertools.islice(lines, LINES_AT_ONCE)), []):
            yield from pool.map(_encode, batch, chunksize=200)
            bar.update(sum(map(len, batch)))


def _start(bpe: Path) -> None:
    global _encoder
    _encoder = get_encoder(str(bpe / "encoder.json"), str(bpe / "vocab.bpe"))


def _encode(line: bytes) -> str:
    return " ".join(map(str, _encoder.encode(line.decode("utf-8").strip()))) + "\n"


if __name__ == "__main__":
    main()
