"""A checkpoint from a stranger can run code through its configuration, however safely it was unpickled.

fairseq 0.12.2 and main: options such as `adaptive_softmax_cutoff` and `character_filters` are
strings that go through Python's `eval` when the model is built. Here they may hold numbers,
strings, lists, tuples, dicts and their sums and products, as in '[(512, 3)] * 20'; any other
expression is refused.
"""

import ast
import contextlib
import importlib
from typing import Any, Optional

from ..errors import one_line

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


def needed() -> Optional[str]:
    from fairseq import utils

    if utils.__dict__.get("eval") is evaluate:
        return None
    return "fairseq evaluates option strings of a checkpoint as Python code"


def apply() -> None:
    for name in MODULES:
        with contextlib.suppress(ImportError):  # what can't be imported can't be used either
            importlib.import_module(name).__dict__["eval"] = evaluate  # found before the builtin


def evaluate(text: Any, *_: Any) -> Any:
    """Return the value of a harmless expression; what is no string is returned as it is.

    Raises:
        ValueError: the expression names or calls something.
    """
    if not isinstance(text, str):
        return text
    with one_line():
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except SyntaxError:
            raise ValueError(f"an option must be a Python value, but is {text!r} instead.") from None
        if not all(isinstance(node, HARMLESS) for node in ast.walk(tree)):
            raise ValueError(f"an option must be a plain Python value, but is {text!r} instead.")
    return eval(compile(tree, "<option>", "eval"), {"__builtins__": {}})
