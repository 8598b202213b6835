"""Check the options of fairseq's commands before they begin; fairseq would fail late, and with a traceback."""

from __future__ import annotations

import contextlib
import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from fairseq import checkpoint_utils, criterions, models, options, tasks
from fairseq.dataclass import utils as dataclass_utils
from fairseq.models.roberta import RobertaModel
from fairseq_cli import generate

from ..checkpoints import registered
from ..checkpoints.overrides import overrides
from ..errors.one_line import end, in_command, one_line
from ..errors.user_errors import one_line_for_all
from ..hooks import wrap
from ..modeling.architectures import PREFIX
from ..options.config import get
from .options import check_context_window, check_values, data_refusals, flag

LEAST = {"beam": 1, "nbest": 1, "context_window": 0, "tokens_per_sample": 1, "update_freq": 1}
"""The least values of some options, which fairseq does not check."""

TASKS = {models.FairseqLanguageModel: "language_modeling", RobertaModel: "masked_lm"}
"""Kinds of models that don't translate, with the task that each is trained with."""


def install() -> None:
    """Put the checks into what fairseq's commands call before they work."""
    wrap(options, "parse_args_and_arch", _parse_args_and_arch)
    wrap(dataclass_utils, "compose", _compose)
    wrap(checkpoint_utils, "verify_checkpoint_directory", _verify_checkpoint_directory)
    wrap(tasks, "setup_task", _setup_task)
    wrap(criterions, "build_criterion", _build_criterion)
    for module in (generate, sys.modules["__main__"]):  # the other commands' `main` is wrapped by their own patches
        if getattr(module, "__file__", None) == generate.__file__:
            wrap(module, "main", _main_of_generate)


def _parse_args_and_arch(original: Any, parser: Any, *args: Any, **kwargs: Any) -> Any:
    if not in_command() or "error" in vars(parser):  # a command of ours, which checks by itself; or a second look
        return original(parser, *args, **kwargs)
    _show_help(original, parser, *args, **kwargs)
    parser.error = end  # without the usage, of hundreds of lines
    with one_line():
        _check_task(parser, *args, **kwargs)
        try:
            parsed = original(parser, *args, **kwargs)
        except (RuntimeError, KeyError) as error:
            if error.args not in ((), (None,)):
                raise
            option, what = ("arch", "an architecture") if isinstance(error, RuntimeError) else ("task", "a task")
            raise ValueError(f"`--{option}` must be the name of {what}, but is missing.") from None
        options_given = parsed[0] if isinstance(parsed, tuple) else parsed
        check_values(options_given)
        _check_numbers_and_names(options_given)
    return parsed


def _check_task(parser: Any, input_args: Any = None, *_: Any, **__: Any) -> None:
    """Say that --task is missing where the default one can't be of the architecture; its options are unknown then."""
    given = ArgumentParser(add_help=False, allow_abbrev=False)
    given.add_argument("--task", default=parser.get_default("task"))
    given.add_argument("--arch", "-a")
    given.error = lambda text: None  # type: ignore[assignment, method-assign, return-value]  # the other parser says it
    args = given.parse_known_args(input_args)[0]
    model = models.ARCH_MODEL_REGISTRY.get(args.arch, models.MODEL_REGISTRY.get(args.arch, object))
    for kind, task in TASKS.items():
        if issubclass(model, kind) and args.task == "translation":
            raise ValueError(f"`--task` must fit {args.arch}, say {task}, but is {args.task}, the default.")


def _show_help(original: Any, parser: Any, input_args: Any = None, *args: Any, **kwargs: Any) -> None:
    """Where --help is given, print it with the options of the model and the task, and end; fairseq leaves them out."""
    words = list(sys.argv[1:] if input_args is None else input_args)
    others = [word for word in words if word not in ("-h", "--help")]
    if others == words:
        return

    def error(text: str) -> None:
        if "arguments are required" not in text:
            end(text)
        raise _Complete

    parser.error = error
    with contextlib.suppress(_Complete, RuntimeError, KeyError):  # the latter two: no --arch, no --task
        original(parser, others, *args, **kwargs)
    ours = sorted(name for name in models.ARCH_MODEL_REGISTRY if name.startswith(PREFIX))
    if "--arch" in parser._option_string_actions:
        parser.epilog = f"Architectures of layerdrop_plugin: {', '.join(ours)}"
    parser.print_help()
    parser.exit()


class _Complete(Exception):
    """The parser knows all options."""


def _check_numbers_and_names(args: Namespace) -> None:
    if getattr(args, "path", "") is None:
        raise ValueError("`--path` must be the file of a checkpoint, but is missing.")
    for name in ("model_overrides", "optimizer_overrides"):
        if getattr(args, name, None) is not None:
            overrides(getattr(args, name), flag(name))
    for name, least in LEAST.items():
        given = getattr(args, name, None)
        for value in given if isinstance(given, list) else [given]:
            if value is not None and value < least:
                raise ValueError(f"`{flag(name)}` must be at least {least}, but is {value} instead.")
    if hasattr(args, "context_window"):
        check_context_window(args.context_window, args.tokens_per_sample)


def _compose(original: Any, *args: Any, **kwargs: Any) -> Any:
    if not in_command():
        return original(*args, **kwargs)
    with one_line():
        try:
            return original(*args, **kwargs)
        except Exception as error:  # of hydra, its grammar or omegaconf
            raise ValueError(f"an option of fairseq's has no such value: {error}") from None


def _verify_checkpoint_directory(original: Any, save_dir: str) -> None:
    if not in_command():
        return original(save_dir)
    with one_line():
        try:
            return original(save_dir)
        except OSError as error:
            raise ValueError(
                f"`--save-dir` must be a folder that can be written, but {save_dir} can't be: {error.strerror}."
            ) from None


def _setup_task(original: Any, cfg: Any, *args: Any, **kwargs: Any) -> Any:
    if not in_command():
        return original(cfg, *args, **kwargs)
    with one_line():
        registered.check("task", get(cfg, "_name") or get(cfg, "task"))
        with data_refusals():
            return original(cfg, *args, **kwargs)


def _build_criterion(original: Any, cfg: Any, *args: Any, **kwargs: Any) -> Any:
    if not in_command():
        return original(cfg, *args, **kwargs)
    with one_line():
        registered.check("criterion", get(cfg, "_name") or get(cfg, "criterion"))
    return original(cfg, *args, **kwargs)


def _main_of_generate(original: Any, cfg: Any, *args: Any, **kwargs: Any) -> Any:
    user_dir = get(cfg, "user_dir") if get(cfg, "common") is None else get(cfg.common, "user_dir")
    with one_line_for_all(user_dir):
        return original(cfg, *args, **kwargs)
