"""What all commands share: their parser, its errors, the options of several, and how fairseq is imported."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from tqdm import tqdm

from .. import layer_spec, message
from . import stopping

STACKS = ("encoder", "decoder")


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

    def error(self, text: str) -> NoReturn:
        """End the command with exit status 2 and one line on standard error, without the usage."""
        self.exit(2, f"{self.prog}: error: {message.one_line(text)}\n")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as argparse does, and refuse what is no text: results, and libraries that read files, are UTF-8."""
        known, others = super().parse_known_args(args, namespace)
        for action in self._actions:
            name = action.option_strings[-1] if action.option_strings else action.metavar
            for value in _values(getattr(known, action.dest, None)):
                if not message.is_text(value):
                    self.error(f"`{name}` must be in UTF-8, but is {value!r} instead.")
        return known, others

    def warn(self, text: str) -> None:
        """Print a line on standard error."""
        print(f"{self.prog}: warning: {message.one_line(text)}", file=sys.stderr)

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """End the command as `error` does where the code inside finds what a user got wrong, or at Ctrl-C.

        SIGTERM and SIGHUP end it when the code inside has removed its temporary files.
        `load_fairseq` quiets fairseq's log and torch's warnings; at the end they are as before, for a program that
        calls `main`.
        """
        fairseq = logging.getLogger("fairseq")
        level = fairseq.level
        try:
            with warnings.catch_warnings(), stopping.cleanly():
                yield
            sys.stdout.flush()
        except BrokenPipeError:  # whoever read the output has enough of it, as in `... | head -1`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # at exit, Python writes what is left
            self.exit(141)
        except (ValueError, OSError) as error:
            self.error(str(error))
        except KeyboardInterrupt:
            self.exit(130, f"{self.prog}: interrupted\n")
        finally:
            fairseq.setLevel(level)


def _values(value: Any) -> list[str]:
    return [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str)]


def add_stack_options(parser: Parser) -> None:
    """Add --encoder and --decoder, the layers to keep."""
    for stack in STACKS:
        parser.add_argument(f"--{stack}", metavar="SPEC", help=f"{stack} layers to keep: {layer_spec.GRAMMAR}")


def stack_specs(args: argparse.Namespace) -> dict[str, str]:
    """Return the values of --encoder and --decoder that are given, by stack.

    Raises:
        ValueError: one line: what is wrong with one at any depth.
    """
    specs = {stack: getattr(args, stack) for stack in STACKS if getattr(args, stack) is not None}
    for stack, spec in specs.items():
        layer_spec.check(spec, f"--{stack}")
    return specs


def add_evaluation_options(parser: Parser) -> None:
    """Add --path and --model-overrides; DATA and all others go, unparsed, to fairseq's own parser."""
    parser.usage = f"{parser.prog} DATA --path CKPT [options, also those of fairseq-generate and fairseq-eval-lm]"
    parser.add_argument("--path", required=True, metavar="CKPT", help="the checkpoint")
    parser.add_argument(
        "--model-overrides", default="{}", metavar="DICT", help="as for fairseq-generate: a dict of options to override"
    )


def at_least_1(text: str) -> int:
    """Return the whole number that an option's value stands for."""
    if not text.isascii() or not text.isdigit() or not text.strip("0"):
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, but is {text!r} instead.")
    if len(text.lstrip("0")) > 18:  # int() refuses thousands of digits
        raise argparse.ArgumentTypeError(f"must be a whole number of at most 18 digits, but is {text!r} instead.")
    return int(text)


def progress(total: int, unit: str) -> tqdm[NoReturn]:
    """Return a bar for a `with`, which shows on standard error, where it is a terminal, how much is done."""
    return tqdm(total=total, unit=unit, disable=None, leave=False)


def load_fairseq() -> None:
    """Import fairseq, and our models into it; it takes two seconds, which only commands that need it should wait.

    Raises:
        ValueError: one line: there is no fairseq.
    """
    before = logging.root.manager.disable
    logging.disable(logging.INFO)  # fairseq says which packages it could also use
    try:
        with needing_fairseq():
            from ..fairseq_adapter import registration  # noqa: F401
    finally:
        logging.disable(before)
    logging.getLogger("fairseq").setLevel(logging.WARNING)  # its commands report each step at level INFO
    warnings.filterwarnings("ignore", category=UserWarning, module="torch")  # on fairseq's use of it


@contextlib.contextmanager
def evaluating(parser: Parser, words: Sequence[str]) -> Iterator[None]:
    """Import fairseq and the user's own code, and say in one line (a ValueError) what fairseq finds wrong inside.

    Args:
        words: what is fairseq's on the command line, `--user-dir` as well.
    """
    load_fairseq()
    from ..fairseq_adapter import user_errors
    from ..fairseq_adapter.evaluation import options as evaluation_options

    with user_errors.value_error_for_all(evaluation_options.import_user_dir(words, parser.error)):
        yield


@contextlib.contextmanager
def needing_fairseq() -> Iterator[None]:
    """Let imports fail in one line (a ValueError) where fairseq, or omegaconf that comes with it, is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("fairseq", "omegaconf"):
            raise
        raise ValueError("fairseq must be installed for this; scripts/setup.sh makes a .venv with it.") from None
