"""What a command that evaluates a checkpoint is told, in fairseq's own terms, checked."""

import argparse
import contextlib
import logging
from typing import Any, Callable, Dict, Iterator, NoReturn, Sequence, Tuple

from fairseq import options
from fairseq.dataclass.configs import EvalLMConfig
from fairseq.dataclass.utils import convert_namespace_to_omegaconf, gen_parser_from_dataclass
from hydra.errors import HydraException

from .compat import option_evaluation
from .config import get

LEFT_OUT = (
    *("num_shards", "shard_id", "checkpoint_shard_count", "distributed_world_size"),  # the data and model are whole
    *("bf16", "amp", "tpu", "memory_efficient_fp16", "memory_efficient_bf16"),  # of training
    *("criterion", "optimizer", "lr_scheduler"),  # the checkpoint's, and of training
    *("valid_subset", "results_path"),  # --gen-subset, --json
)
"""Options that fairseq's parser knows and that would be without effect."""

AT_LEAST_1 = ("max_tokens", "batch_size", "tokens_per_sample", "required_batch_size_multiple")


def command_line(words: Sequence[str], saved_cfg: Any, error: Callable[[str], NoReturn]) -> Tuple[Any, Dict[str, Any]]:
    """Return what fairseq's parser makes of `words`, complete, and those options alone that `words` give.

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
        parser.error = error  # type: ignore[method-assign]
        return options.parse_args_and_arch(parser, input_args=list(words), **how)

    complete, given = parse(), vars(parse(suppress_defaults=True))
    _check(given, name)
    with refusals("the options"):
        return _complete(complete), given


def _complete(args: argparse.Namespace) -> Any:
    logging.disable(logging.ERROR)  # fairseq logs all options beside the one that does not fit
    try:
        return convert_namespace_to_omegaconf(args)
    except HydraException as error:
        raise ValueError(f"an option of fairseq's has no such value: {' '.join(str(error).split())}") from None
    finally:
        logging.disable(logging.NOTSET)


def _check(given: Dict[str, Any], task: str) -> None:
    if given.get("task", task) != task:
        raise ValueError(f"`--task` must be the checkpoint's, {task}, but is {given['task']!r} instead.")
    if "data" in given and given["data"] is None:  # fairseq would take the place where the training data lay
        raise ValueError("`DATA` must be the folder of the data, but is missing.")
    for option in LEFT_OUT:
        if option in given:
            raise ValueError(f"`{_flag(option)}` must be left out here, but is {given[option]!r}.")
    for option in AT_LEAST_1:
        if given.get(option) is not None and given[option] < 1:
            raise ValueError(f"`{_flag(option)}` must be at least 1, but is {given[option]} instead.")


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def overrides(text: str) -> Dict[str, Any]:
    """Return what --model-overrides says.

    Raises:
        ValueError: one line: it is no dict.
    """
    found = option_evaluation.evaluate(text)
    if not isinstance(found, dict):
        raise ValueError(f"`--model-overrides` must be a Python dict, but is {text!r} instead.")
    return found


def context_window(cfg: Any) -> int:
    """Return --context-window of a language model, 0 for other tasks."""
    return int(get(cfg.eval_lm, "context_window", 0) or 0) if get(cfg, "eval_lm") else 0


def shorten_by_context_window(cfg: Any, tokens_per_sample: int) -> int:
    """Return how many tokens of a sample are new where the window before them is context, as for fairseq-eval-lm.

    Raises:
        ValueError: one line: none would be.
    """
    window = context_window(cfg)
    if not 0 <= window < tokens_per_sample:
        raise ValueError(
            f"`--context-window` must be less than the tokens per sample, {tokens_per_sample}, but is {window} instead."
        )
    return tokens_per_sample - window


@contextlib.contextmanager
def refusals(what: str) -> Iterator[None]:
    """Make one line (a ValueError) of fairseq's assertions and plain exceptions; `what` says what it refuses."""
    try:
        yield
    except Exception as error:
        if type(error) not in (AssertionError, RuntimeError, Exception):
            raise
        raise ValueError(f"fairseq refuses {what}: {error}") from None
