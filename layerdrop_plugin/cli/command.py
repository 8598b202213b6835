"""What all commands share: the parser and its errors, common options, and the import of fairseq."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from .. import __version__, layer_spec, message
from . import stopping
from .progress import progress as progress

STACKS = ("encoder", "decoder")

PLACES = "places"
"""CKPT, and OUT where it has no name."""

BLEU = (
    "the score of sacrebleu, with its signature. The BLEU4 of fairseq-generate differs, since it does not split the "
    "words of the data again; fairseq-generate --scoring sacrebleu gives the same score"
)
"""What the options for BLEU say of the score."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors, also those after parsing, are one line with exit status 2.

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
        self.quiet = False
        self.add_argument("--version", action="version", version=f"{prog} (layerdrop_plugin) {__version__}")
        self.add_argument("-q", "--quiet", action="store_true", help="show no warnings and no progress")

    def error(self, text: str) -> NoReturn:
        """End the command with exit status 2 and one line on standard error, without the usage."""
        if text.startswith("the following arguments are required: "):
            text = self._with_choices(text)
        self.exit(2, f"{self.prog}: error: {message.one_line(text + self._did_you_mean(text))}\n")

    def _with_choices(self, text: str) -> str:
        """Return an error about options that are missing, each with its choices, as `--help` shows them."""
        for action in self._actions:
            if action.required and action.choices:
                name = "/".join(action.option_strings)
                text = re.sub(f" {name}(?=,|$)", f" {name} {{{','.join(action.choices)}}}", text)
        return text

    def _did_you_mean(self, text: str) -> str:
        """Return the end of an error: the option of this command that is most like an unknown one."""
        unknown = re.match(r"unrecognized arguments: (?:.*? )??(--[^\s=]+)", text)
        shown = [action for action in self._actions if action.help != argparse.SUPPRESS]
        names = [name for action in shown for name in action.option_strings]
        if unknown is None or unknown[1] in names:
            return ""
        return message.did_you_mean(unknown[1], names, 1, 0.8)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as argparse does, and refuse what is not UTF-8, as results and libraries that read files need."""
        known, others = super().parse_known_args(args, namespace)
        self.quiet = getattr(known, "quiet", False)
        for action in self._actions:
            name = action.option_strings[-1] if action.option_strings else action.metavar
            for place, value in enumerate(_values(getattr(known, action.dest, None))):
                if not message.is_text(value):
                    name = "OUT" if action.dest == PLACES and place else name
                    self.error(f"`{name}` must be in UTF-8, but is {value!r} instead.")
        return known, others

    def say(self, text: str) -> None:
        """Print a line about the work on standard error, unless --quiet is given."""
        if not self.quiet:
            print(f"{self.prog}: {message.one_line(text)}", file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """Print a line on standard error, unless --quiet is given."""
        if self.quiet:
            return
        print(f"{self.prog}: warning: {message.one_line(text)}", file=sys.stderr)

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """End the command with `error` if the code inside raises a user's error, and at Ctrl-C.

        SIGTERM and SIGHUP end it after the code inside has removed its temporary files. `load_fairseq` silences
        fairseq's log and torch's warnings; at the end they are as before, for a program that calls `main`.
        """
        fairseq, ours = logging.getLogger("fairseq"), logging.getLogger(__name__.partition(".")[0])
        level, warnings_of_ours = fairseq.level, _Warnings(self)
        ours.addHandler(warnings_of_ours)
        try:
            with warnings.catch_warnings(), stopping.cleanly():
                yield
            sys.stdout.flush()
        except BrokenPipeError:  # the reader of the output has stopped, as in `... | head -1`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # at exit, Python writes what is left
            self.exit(141)
        except (ValueError, OSError) as error:
            self.error(str(error))
        except KeyboardInterrupt:
            self.exit(130, f"{self.prog}: interrupted\n")
        finally:
            ours.removeHandler(warnings_of_ours)
            fairseq.setLevel(level)


class _Warnings(logging.Handler):
    """Shows what the package warns of as a command's warnings."""

    def __init__(self, parser: Parser) -> None:
        super().__init__(logging.WARNING)
        self._parser = parser

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message on a line."""
        self._parser.warn(record.getMessage())


def _values(value: Any) -> list[str]:
    return [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str)]


def add_stack_options(parser: Parser) -> None:
    """Add --encoder and --decoder, the layers to keep."""
    for stack in STACKS:
        parser.add_argument(f"--{stack}", metavar="SPEC", help=f"{stack} layers to keep: {layer_spec.GRAMMAR}")


def stack_specs(args: argparse.Namespace) -> dict[str, str]:
    """Return the given values of --encoder and --decoder, by stack.

    Raises:
        ValueError: one line: a value is wrong at any depth.
    """
    specs = {stack: getattr(args, stack) for stack in STACKS if getattr(args, stack) is not None}
    for stack, spec in specs.items():
        layer_spec.check(spec, f"--{stack}")
    return specs


def add_checkpoint(parser: Parser, output: str) -> None:
    """Add the checkpoint and what is written: CKPT -o OUT, or --path CKPT, or OUT as the second argument.

    Args:
        output: what OUT is, for the help.
    """
    parser.usage = f"{parser.prog} CKPT -o OUT [options]"
    parser.add_argument(PLACES, nargs="*", metavar="CKPT", help="a checkpoint of fairseq")
    parser.add_argument("--path", help=argparse.SUPPRESS)  # its name in fairseq's commands
    parser.add_argument("-o", "--output", metavar="OUT", help=output)


def parse_with_checkpoint(parser: Parser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse what `add_checkpoint` has added; `checkpoint` and `output` are then set, however they were given."""
    args = parser.parse_intermixed_args(argv)
    places = list(args.places)
    args.checkpoint = args.path if args.path is not None or not places else places.pop(0)
    args.output = args.output if args.output is not None or not places else places.pop(0)
    missing = [name for name, value in (("CKPT", args.checkpoint), ("-o/--output", args.output)) if value is None]
    if missing:
        parser.error(f"the following arguments are required: {', '.join(missing)}")
    if places:
        parser.error(f"unrecognized arguments: {' '.join(places)}")
    return args


def parse_evaluation(parser: Parser, argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Parse the options of an evaluation: those of the command, and all others; DATA CKPT may stand for --path CKPT."""
    words = list(sys.argv[1:] if argv is None else argv)
    first = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
    if len(first) == 2 and not any(word == "--path" or word.startswith("--path=") for word in words):
        words.insert(1, "--path")
    return parser.parse_known_args(words)


def add_evaluation_options(parser: Parser) -> None:
    """Add --path and --model-overrides; DATA and all others go, unparsed, to fairseq's own parser."""
    parser.usage = f"{parser.prog} DATA --path CKPT [options, also those of fairseq-generate and fairseq-eval-lm]"
    parser.add_argument("--path", required=True, metavar="CKPT", help="the checkpoint")
    parser.add_argument(
        "--model-overrides", default="{}", metavar="DICT", help="a dict of options to override, as in fairseq-generate"
    )


def at_least_1(text: str) -> int:
    """Return the whole number that an option's value stands for."""
    if not text.isascii() or not text.isdigit() or not text.strip("0"):
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, but is {text!r} instead.")
    if len(text.lstrip("0")) > 18:  # int() refuses thousands of digits
        raise argparse.ArgumentTypeError(f"must be a whole number of at most 18 digits, but is {text!r} instead.")
    return int(text)


def load_fairseq() -> None:
    """Import fairseq and register our models; it takes two seconds, so only commands that need it do so.

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


def add_user_dir(parser: Parser) -> None:
    """Add --user-dir, as fairseq's commands have it."""
    parser.add_argument("--user-dir", metavar="DIR", help="the folder that defines your own model")


@contextlib.contextmanager
def with_user_dir(parser: Parser, args: argparse.Namespace) -> Iterator[None]:
    """Import what --user-dir names, if it is given, and turn errors inside that come from there into a ValueError."""
    if args.user_dir is None:
        yield
    else:
        with evaluating(parser, ["--user-dir", args.user_dir]):
            yield


@contextlib.contextmanager
def evaluating(parser: Parser, fairseq_argv: Sequence[str]) -> Iterator[None]:
    """Import fairseq and the user's own code, and turn fairseq's errors inside into one line (a ValueError).

    Args:
        fairseq_argv: the arguments of fairseq on the command line, with `--user-dir`.
    """
    load_fairseq()
    from ..fairseq_adapter.errors import user_errors
    from ..fairseq_adapter.evaluation import options as evaluation_options

    with user_errors.value_error_for_all(evaluation_options.import_user_dir(fairseq_argv, parser.error)):
        yield


@contextlib.contextmanager
def needing_fairseq() -> Iterator[None]:
    """Turn a failed import of fairseq, or of omegaconf, which comes with it, into one line (a ValueError)."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("fairseq", "omegaconf"):
            raise
        raise ValueError(message.no_fairseq()) from None
