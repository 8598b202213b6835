"""Parse and check fairseq's options of a command that evaluates a checkpoint."""

from __future__ import annotations

import argparse
import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any, Callable, NoReturn

from fairseq import options, utils
from fairseq.dataclass.configs import EvalLMConfig
from fairseq.dataclass.utils import convert_namespace_to_omegaconf, gen_parser_from_dataclass
from hydra.errors import HydraException

from ... import message
from ..options.config import get

LEFT_OUT = (
    *("num_shards", "shard_id", "checkpoint_shard_count", "distributed_world_size"),  # the data and model are whole
    *("bf16", "amp", "tpu", "memory_efficient_fp16", "memory_efficient_bf16"),  # of training
    *("criterion", "optimizer", "lr_scheduler"),  # the checkpoint's, and of training
    *("valid_subset", "results_path"),  # --gen-subset, --json
)
"""Options that fairseq's parser knows, but that would have no effect."""

LARGEST = 2**63 - 1
"""The largest number of the C code to which fairseq passes numbers."""

AT_LEAST_1 = ("max_tokens", "batch_size", "tokens_per_sample", "required_batch_size_multiple")


def import_user_dir(argv: Sequence[str], error: Callable[[str], NoReturn]) -> str | None:
    """Import what `--user-dir` names, which registers a user's own tasks, models and criterions; return it.

    Raises:
        ValueError: one line: there is no such folder, or a module of its name is imported already.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--user-dir")
    parser.error = error  # type: ignore[method-assign, assignment]
    args, _ = parser.parse_known_args(list(argv))
    if args.user_dir == "":
        raise ValueError("`--user-dir` must be the folder of a Python package, but is '' instead.")
    try:
        utils.import_user_module(args)
    except FileNotFoundError:
        raise ValueError(
            f"`--user-dir` must be the folder of a Python package, but {args.user_dir!r} does not exist."
        ) from None
    return args.user_dir


def command_line(argv: Sequence[str], saved_cfg: Any, error: Callable[[str], NoReturn]) -> tuple[Any, dict[str, Any]]:
    """Return all options that fairseq's parser makes of `argv`, and only those that `argv` gives.

    Args:
        saved_cfg: the checkpoint's configuration.
        error: ends the command with a message, for what the parser refuses.

    Raises:
        ValueError: one line: an option has no place here, or no such value.
    """
    name = get(saved_cfg.task, "_name") or get(saved_cfg.task, "task")

    def parse(**how: Any) -> argparse.Namespace:
        parser = options.get_parser("Evaluation", default_task=name)
        options.add_dataset_args(parser, gen=True)
        options.add_distributed_training_args(parser, default_world_size=1)
        options.add_generation_args(parser)
        options.add_checkpoint_args(parser)
        if name == "language_modeling":
            gen_parser_from_dataclass(parser.add_argument_group("LM Evaluation"), EvalLMConfig())
        parser.set_defaults(criterion=get(saved_cfg.criterion, "_name"))  # a task may take options from there
        parser.error = error
        return options.parse_args_and_arch(parser, input_args=list(argv), **how)

    complete, given = parse(), vars(parse(suppress_defaults=True))
    if complete.post_process is None:  # of generation; a criterion's option of this name has another default
        del complete.post_process
    check_values(complete)
    _check(given, name)
    with refusals("the options"):
        return _complete(complete), given


def _complete(args: argparse.Namespace) -> Any:
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)  # fairseq logs all options beside the one that does not fit
    try:
        return convert_namespace_to_omegaconf(args)
    except HydraException as error:
        raise ValueError(f"an option of fairseq's has no such value: {' '.join(str(error).split())}") from None
    finally:
        logging.disable(before)


def check_values(args: argparse.Namespace) -> None:
    """Refuse numbers that are too large for fairseq, text that is no UTF-8, and an empty DATA.

    Raises:
        ValueError: one line with the option, the rule and the value.
    """
    for name, given in vars(args).items():
        values: list[Any] = given if isinstance(given, list) else [given]
        for value in values:
            if isinstance(value, int) and abs(value) > LARGEST:
                raise ValueError(f"`{flag(name)}` must be at most {LARGEST} for fairseq, but is {value} instead.")
            if isinstance(value, str) and not message.is_text(value):
                raise ValueError(f"`{flag(name)}` must be in UTF-8, but is {value!r} instead.")
    if getattr(args, "data", None) == "":
        raise ValueError("`DATA` must be the folder of the data, but is '' instead.")


def _check(given: dict[str, Any], task: str) -> None:
    if given.get("task", task) != task:
        raise ValueError(f"`--task` must be the checkpoint's, {task}, but is {given['task']!r} instead.")
    if "data" in given and given["data"] is None:  # fairseq would take the place where the training data lay
        raise ValueError("`DATA` must be the folder of the data, but is missing.")
    for option in LEFT_OUT:
        if option in given:
            raise ValueError(f"`{flag(option)}` must be left out here, but is {given[option]!r}.")
    for option in AT_LEAST_1:
        if given.get(option) is not None and given[option] < 1:
            raise ValueError(f"`{flag(option)}` must be at least 1, but is {given[option]} instead.")


def flag(option: str) -> str:
    """Return how an option is written on the command line."""
    return "DATA" if option == "data" else f"--{option.replace('_', '-')}"


def context_window(cfg: Any) -> int:
    """Return --context-window of a language model, 0 for other tasks."""
    return int(get(cfg.eval_lm, "context_window", 0) or 0) if get(cfg, "eval_lm") else 0


def shorten_by_context_window(cfg: Any, tokens_per_sample: int) -> int:
    """Return how many tokens of a sample are new where the window before them is context, as for fairseq-eval-lm.

    Raises:
        ValueError: as `check_context_window`.
    """
    window = context_window(cfg)
    check_context_window(window, tokens_per_sample)
    return tokens_per_sample - window


def check_context_window(window: int, tokens_per_sample: int) -> None:
    """Refuse a window that leaves nothing new in a sample.

    Raises:
        ValueError: one line.
    """
    if not 0 <= window < tokens_per_sample:
        raise ValueError(
            f"`--context-window` must be less than the tokens per sample, {tokens_per_sample}, but is {window} instead."
        )


@contextlib.contextmanager
def refusals(what: str) -> Iterator[None]:
    """Make one line (a ValueError) of fairseq's assertions and plain exceptions; `what` says what it refuses."""
    try:
        yield
    except Exception as error:
        if type(error) not in (AssertionError, RuntimeError, Exception):
            raise
        raise ValueError(f"fairseq refuses {what}: {error}") from None


@contextlib.contextmanager
def data_refusals() -> Iterator[None]:
    """Make one line (a ValueError) of what a task finds wrong with its data."""
    try:
        with refusals("DATA or an option of the task"):
            yield
    except FileNotFoundError as missing:
        raise ValueError(f"`DATA` must hold the task's dictionaries, but {missing.filename} is missing.") from None
