"""Made-up miniatures of the data of the recipes whose models generate text."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
from pathlib import Path

from tiny_text import SPLITS, sentence

LISTS = {"train": "all_train.txt", "valid": "all_val.txt", "test": "all_test.txt"}


def wmt16_en_de(out: Path, generator: random.Random) -> None:
    """The archive wmt16_en_de.tar.gz: words of two digits are two pieces, and pairs of words are compounds."""
    names = {"train": "train.tok.clean.bpe.32000", "valid": "newstest2013.tok.bpe.32000"}
    with tarfile.open(out / "wmt16_en_de.tar.gz", "w:gz") as archive:
        for split, size in SPLITS.items():
            english = [[*sentence(generator), "."] for _ in range(size)]
            german = [[_compound(generator, word) for word in words] for words in english]
            name = names.get(split, "newstest2014.tok.bpe.32000")
            _add(archive, f"{name}.en", "".join(_pieces(words) for words in english))
            _add(archive, f"{name}.de", "".join(_pieces(words) for words in german))
        _add(archive, "newstest2014.de", "".join(" ".join(words[:-1]) + ".\n" for words in german))


def cnn_dm(out: Path, generator: random.Random) -> None:
    """The archives of stories, and the lists of the addresses that they came from; highlights repeat an article."""
    addresses = {split: [f"https://news.example/{split}/{n}" for n in range(size)] for split, size in SPLITS.items()}
    for split, name in LISTS.items():
        (out / name).write_text("".join(f"{address}\n" for address in addresses[split]), "utf-8")
    every = [address for of_split in addresses.values() for address in of_split]
    for publisher, part in (("cnn", every[::2]), ("dailymail", every[1::2])):
        with tarfile.open(out / f"{publisher}_stories.tgz", "w:gz") as archive:
            for address in part:
                lines = [" ".join(sentence(generator)) + " ." for _ in range(4)]
                story = "\n\n".join([*lines, "@highlight", lines[0], "@highlight", lines[2]])
                _add(archive, f"{publisher}/stories/{hashlib.sha1(address.encode()).hexdigest()}.story", story)


def eli5(out: Path, generator: random.Random) -> None:
    """{train,valid,test}.{source,target}: a question with what was found for it, and the answer, found in there too."""
    for split, size in SPLITS.items():
        parts = [[" ".join(sentence(generator)) for _ in range(4)] for _ in range(size)]
        (out / f"{split}.source").write_text("".join(" . ".join(lines) + "\n" for lines in parts), "utf-8")
        (out / f"{split}.target").write_text("".join(" . ".join(lines[1:3]) + "\n" for lines in parts), "utf-8")


def _compound(generator: random.Random, word: str) -> str:
    german = word.replace("w", "v")
    return f"{german}-{german}" if len(word) > 1 and generator.random() < 0.1 else german


def _pieces(words: list[str]) -> str:
    return " ".join("@@ ".join([word[:2], word[2:]]) if len(word) > 2 else word for word in words) + "\n"


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
