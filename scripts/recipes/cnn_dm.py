"""Writes CNN/DailyMail, not anonymized (See et al. 2017), as {train,valid,test}.{source,target}: a line for each story.

An article is cut after its first 400 tokens: words and punctuation marks, about as the Stanford tokenizer counts that
See et al. used. The sentences of a summary stand apart by a pilcrow, so that ROUGE-L can tell them. Case stays; See et
al. lowered it, and ROUGE does not see it.

Example: python scripts/recipes/cnn_dm.py results/cnn_dm/raw results/cnn_dm/text --tokens 400
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import re
import sys
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from generated import BETWEEN_SENTENCES
from tqdm import tqdm

ARCHIVES = ("cnn_stories.tgz", "dailymail_stories.tgz")
LISTS = {"train": "all_train.txt", "valid": "all_val.txt", "test": "all_test.txt"}
TOKEN = re.compile(r"\w+(?:['\u2019.,-]\w+)*|[^\w\s]")
ENDS = tuple(".!?'`\")\u2019\u201d")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path, help=f"folder with {', '.join([*ARCHIVES, *LISTS.values()])}")
    parser.add_argument("out", type=Path, help="folder that gets the text")
    parser.add_argument("--tokens", type=int, default=400, help="of an article that are kept (default: 400)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    split_of = splits(args.raw)
    with contextlib.ExitStack() as opened:
        files = {
            (split, side): opened.enter_context(open(args.out / f"{split}.{side}", "w", encoding="utf-8", newline="\n"))
            for split in LISTS
            for side in ("source", "target")
        }
        for name, story in tqdm(stories(args.raw), desc="stories", disable=None, file=sys.stderr):
            article, summary = article_and_summary(story)
            if name in split_of and article and summary:  # some 100 stories have no article
                files[split_of[name], "source"].write(first_tokens(article, args.tokens) + "\n")
                files[split_of[name], "target"].write(summary + "\n")


def splits(raw: Path) -> dict[str, str]:
    """From a story's name, the SHA-1 of its address, to the split whose list holds the address."""
    return {
        hashlib.sha1(address.strip().encode()).hexdigest(): split
        for split, name in LISTS.items()
        for address in (raw / name).read_text(encoding="utf-8").splitlines()
    }


def stories(raw: Path) -> Iterator[tuple[str, str]]:
    """Names and texts in the order of the archives, which are read as they are."""
    for name in ARCHIVES:
        with tarfile.open(raw / name, "r:gz") as archive:
            for member in archive:
                if member.name.endswith(".story"):
                    yield Path(member.name).stem, archive.extractfile(member).read().decode("utf-8")


def article_and_summary(story: str) -> tuple[str, str]:
    r"""Return the two parts of a story, a line each.

    >>> article_and_summary("Rain fell\n\nAll day .\n\n@highlight\n\nIt rained\n\n@highlight\n\nMuch")
    ('Rain fell. All day .', 'It rained. ¶ Much.')
    """
    article, *highlights = story.replace(BETWEEN_SENTENCES, " ").split("@highlight")
    return " ".join(_lines(article)), f" {BETWEEN_SENTENCES} ".join(line for h in highlights for line in _lines(h))


def first_tokens(text: str, number: int) -> str:
    """Return the beginning of a text, up to the end of a token.

    >>> first_tokens("It's 1,000 (one thousand), isn't it?", 5)
    "It's 1,000 (one thousand"
    """
    ends = [token.end() for token in islice(TOKEN.finditer(text), number)]
    return text[: max(ends, default=0)]


def _lines(text: str) -> list[str]:
    """As See et al., a full stop where there is none: captions and highlights would run into the next sentence."""
    lines = [" ".join(line.split()) for line in text.split("\n")]
    return [line if line.endswith(ENDS) else f"{line}." for line in lines if line]


if __name__ == "__main__":
    main()
