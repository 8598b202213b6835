"""The commands `layerdrop-...`, a file each, whose `main` parses, calls one function and prints; what they share."""

import argparse
import contextlib
from typing import Iterator, NoReturn

from tqdm import tqdm


class Parser(argparse.ArgumentParser):
    """Words into options; one line and exit status 2 for what is wrong with them, then or later.

    Args:
        prog: the command's name.
        description: what it does, in a sentence.
        examples: lines of shell for the end of `--help`.
    """

    def __init__(self, prog: str, description: str, examples: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=f"examples:\n{examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,  # what is short for one option today may be so for two tomorrow
        )

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """End the command as `error` does where the code inside finds what a user got wrong, or at Ctrl-C."""
        try:
            yield
        except (ValueError, OSError) as error:
            self.error(str(error))
        except KeyboardInterrupt:
            self.exit(130, f"{self.prog}: interrupted\n")


def at_least_1(text: str) -> int:
    """Return the whole number that an option's value stands for."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, but is {text!r} instead.")
    return int(text)


def progress(total: int, unit: str) -> "tqdm[NoReturn]":
    """Return a bar for a `with`, which shows on standard error, where it is a terminal, how much is done."""
    return tqdm(total=total, unit=unit, disable=None, leave=False)
