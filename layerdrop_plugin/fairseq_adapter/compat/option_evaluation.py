"""A checkpoint from a stranger can run code through its configuration, even if it was unpickled safely.

fairseq 0.12.2 and main. Options such as `adaptive_softmax_cutoff` and `character_filters` are strings that go through
Python's `eval` when the model is built. Here they may hold numbers, strings, lists, tuples, dicts and their sums and
products, as in '[(512, 3)] * 20'. Any other expression is refused.

Lists on the command line, `--lr` and `--update-freq`, go through `ast.literal_eval`, whose SyntaxError is a traceback.
It also refuses fairseq's own default of HuBERT's `--labels`, which is a bare word. So words need no quotes here.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import re
from typing import Any, Callable

from ... import message
from ..errors.one_line import one_line
from ..hooks import wrap

MODULES = tuple(
    "fairseq." + name
    for name in (
        "utils",
        "criterions.ctc",
        "data.audio.raw_audio_dataset",
        "data.codedataset",
        "models.fconv",
        "models.fconv_lm",
        "models.fconv_self_att",
        "models.hubert.hubert",
        "models.lightconv_lm",
        "models.speech_to_text.s2t_wav_transformer",
        "models.transformer_lm",
        "models.wav2vec.wav2vec",
        "models.wav2vec.wav2vec2",
        "optim.adam",
        "optim.adafactor",
        "optim.adamax",
        "optim.cpu_adam",
        "optim.fused_lamb",
    )
)
HARMLESS = (
    ast.Expression,
    *(ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Load),
    *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.UnaryOp, ast.USub, ast.UAdd),
)
MOST = 100_000
"""An expression may repeat its values at most this many times; more could fill the memory."""


def needed() -> str | None:
    """Return the reason, where fairseq still evaluates by Python's own `eval`."""
    from fairseq import utils

    if utils.__dict__.get("eval") is evaluate:
        return None
    return "fairseq evaluates option strings of a checkpoint as Python code"


def apply() -> None:
    """Replace `eval` in the modules that use it, and name the option's rule when a list is wrong."""
    for name in MODULES:
        with contextlib.suppress(ImportError):  # what can't be imported can't be used either
            importlib.import_module(name).__dict__["eval"] = evaluate  # found before the builtin
    wrap(importlib.import_module("fairseq.dataclass.utils"), "eval_str_list", _list_of)


def _list_of(original: Callable[..., Any], text: Any, kind: Callable[[Any], Any] = float) -> Any:
    try:
        return original(text, kind)
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError):
        if kind is str and isinstance(text, str) and re.fullmatch(r"[\w.,-]+", text):
            return text.split(",")
        known: dict[Any, str] = {float: "a number or a list of numbers", int: "a whole number or a list of them"}
        of = known.get(kind, "a list")
        raise argparse.ArgumentTypeError(f"must be {of}, but is {message.cut(repr(text))} instead") from None


def evaluate(text: Any, *_: Any) -> Any:
    """Return the value of a harmless expression; a value that is not a string is returned as it is.

    Raises:
        ValueError: the expression names or calls something.
    """
    if not isinstance(text, str):
        return text
    with one_line():
        return value_of(text)


def value_of(text: str, what: str = "an option must be a plain Python value") -> Any:
    """Return the value of a harmless expression.

    Args:
        what: the beginning of an error.

    Raises:
        ValueError: one line: it is no expression, names or calls something, or is too large.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
        if all(isinstance(node, HARMLESS) for node in ast.walk(tree)) and _repeats(tree.body) <= MOST:
            return _value(tree.body)
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError):
        pass  # no Python, or none that has a value
    raise ValueError(f"{what}, but is {text!r} instead.")


def _value(node: ast.expr) -> Any:
    return eval(compile(ast.Expression(node), "<option>", "eval"), {"__builtins__": {}})


def _repeats(node: ast.AST) -> int:
    """Return how many times the values of an expression such as '[(512, 3)] * 20' are repeated at most."""
    times = max(map(_repeats, ast.iter_child_nodes(node)), default=1)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        numbers = [side for side in (node.left, node.right) if not any(map(_is_sequence, ast.walk(side)))]
        if len(numbers) == 1:  # the other side is what it repeats
            times *= max(1, int(_value(numbers[0])))
    return times


def _is_sequence(node: ast.AST) -> bool:
    return isinstance(node, (ast.List, ast.Tuple, ast.Dict)) or isinstance(getattr(node, "value", None), (str, bytes))
