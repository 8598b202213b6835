"""Say in one line why no model can be made of a checkpoint that was read, or why training can't go on from it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from ..compat.missing_history import odd_options
from ..errors.one_line import Malformed, UserError, one_line
from ..errors.user_errors import reason
from ..reading.reader import NOT_FAIRSEQ
from .checkpoint import Checkpoint


def check_options(checkpoint: Checkpoint, path: str, *parts: str) -> None:
    """Refuse a checkpoint without the options of which these parts are to be built, `model` or others.

    Raises:
        ValueError: one line.
    """
    cfg = {} if checkpoint.cfg is None else checkpoint.cfg
    for part in parts if checkpoint.args is None else ():
        if part not in cfg or cfg[part] is None:
            raise ValueError(NOT_FAIRSEQ.format(path, f"lacks `cfg.{part}`"))


@contextlib.contextmanager
def taken(path: str) -> Iterator[None]:
    """Say in one line which of the options in a file, or in several, fairseq can't take."""
    try:
        yield
    except Malformed as error:
        with one_line():
            raise ValueError(NOT_FAIRSEQ.format(path, error)) from None
    except (HydraException, OmegaConfBaseException) as error:
        with one_line():
            raise ValueError(NOT_FAIRSEQ.format(path, odd_options(error))) from None


@contextlib.contextmanager
def building(owner: Any) -> Iterator[None]:
    """Let a model of fairseq's or of this package say which options it can't be built of, as `Malformed`.

    An error in a user's own model is left as it is.
    """
    try:
        yield
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        if getattr(owner, "__module__", "").partition(".")[0] not in ("fairseq", __package__.partition(".")[0]):
            raise
        if isinstance(error, (UserError, Malformed)):
            raise
        raise Malformed(odd_options(error)) from error


@contextlib.contextmanager
def criterion_options() -> Iterator[None]:
    """Say in one line which options fairseq can't build a criterion of; they may be from a checkpoint or the user."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        with one_line():
            raise ValueError(f"the criterion {odd_options(error)}.") from None


@contextlib.contextmanager
def fitting(path: str) -> Iterator[None]:
    """Say in one line which weights in a file, or in several, are none of the model's; torch does so in many."""
    try:
        yield
    except Exception as error:
        told = error.__context__ if str(error).startswith("Cannot load model parameters") else None  # the trainer's
        cause = told or error
        first, *reasons = str(cause).splitlines() or [""]
        if not reasons or "Error(s) in loading state_dict" not in first:
            raise
        with one_line():
            raise ValueError(f"the weights of {path} must fit the model, but: {reason(cause)}.") from None


@contextlib.contextmanager
def same_training(path: str) -> Iterator[None]:
    """Say in one line that the optimizer or criterion is another than that of the checkpoint, which fairseq asserts."""
    try:
        yield
    except AssertionError as error:
        if "--reset-optimizer" not in str(error):
            raise
        with one_line():
            raise ValueError(f"{path} must be of this training, but: {error}") from None
