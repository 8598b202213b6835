"""Values that have no place where they are put, and arguments that nobody would type."""

from __future__ import annotations

import argparse
import collections
import random
from typing import Any, Callable

WORDS = (
    *("", " ", "0", "-1", "1", "2", "3.5", "1e3", "nan", "inf", "-inf", "1e400", "0x10", "1_000", "\uff11", "\u0663"),
    *("9" * 19, "9" * 400, "-" + "9" * 30, "2147483648", "1.0000000000000001", "True", "None", "null", "~", "{}", "[]"),
    *("{", "[", "(", "'", '"', "[0.1", "0,2", "0-1", "3-1", "0,0", "0,,2", ",", "0-", "-", "--", "=", "a=b", "${x}"),
    *(
        "${oc.env:HOME}",
        "${env:HOME}",
        "${task.data}",
        "${task.x}",
        "???",
        "good.pt",
        "good.pt:checkpoint.pt",
        "state.json",
    ),
    *(
        "every_other:2",
        "every_other:0",
        "every_other:-1",
        "every_other:9",
        "first:1",
        "last:99",
        "learned:2",
        "drop:0.5",
    ),
    *("drop:0.9", "drop:nan", "linear:0:1", "linear:0:0.5", "target:2", "target:9", "0.1,0.2", "0.1,0.2,0.3,0.4"),
    *("x", "caf\u00e9", "\u202eabc", "a\nb", "a\tb", "\x1b[31mred\x1b[0m", "\x07", "\x7f", "\udc80", "\U0001f600"),
    *("a" * 300, "long " * 800, "%s", "%d%n", "{0}", "$HOME", "`id`", "; id", "*", "?", "no/such/folder", "./.", "x/"),
    *("checkpoint.pt", "sub", "text.txt", "empty.pt", "valid", "test", "train", "translation", "transformer"),
    *("layerdrop_transformer", "transformer_lm", "roberta", "adam", "cross_entropy", "{'a': 1}", "{1: 2}", "{'a': {}}"),
    *("__import__('os').system('touch canary/ran')", "open('canary/ran', 'w')", "[]" * 200, "(" * 300, "[" * 300),
    *("9**9**9", "'a' * 10**10", "[0] * 10**10", "1 if 1 else 2", "lambda: 0", "1e999", "-0", "0.0", "00", "+1"),
)
"""Of options, and of strings in checkpoints; relative names only, so that what is written is found."""


def word(draw: random.Random) -> str:
    return draw.choice(WORDS)


NUMBERS = (
    *(0, -1, 1, 2, 3, 7, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**30, 10**400, -(10**30), 10**6, 10**10, 1 << 20),
    *(0.5, -0.5, 1e308, 1e-320, float("nan"), float("inf"), -float("inf"), True, False),
)


def number(draw: random.Random) -> Any:
    return draw.choice(NUMBERS)


def _containers(draw: random.Random) -> Any:
    """Containers of plain things, nested, shared and in a circle."""
    inner = draw.choice([None, 0, "x", 1.5])
    cycle: list[Any] = []
    cycle.append(cycle)
    loop: dict[str, Any] = {"a": 1}
    loop["self"] = loop
    deep: Any = inner
    for _ in range(draw.choice([3, 50, 200])):
        deep = [deep] if draw.random() < 0.5 else {"a": deep}
    return draw.choice(
        [
            *([], {}, (), set(), [inner], (inner,), {inner}, {"a": inner}, {1: inner}, {None: inner}, {inner: inner}),
            *(
                [{}],
                {"a": {}},
                {"a": {"b": {}}},
                [[inner] * 4] * 4,
                deep,
                cycle,
                loop,
                collections.OrderedDict(a=inner),
            ),
            *(argparse.Namespace(), argparse.Namespace(a=inner), argparse.Namespace(a={})),
        ]
    )


def tensor(draw: random.Random) -> Any:
    """A tensor of a kind or shape that few expect."""
    import torch

    base = torch.arange(12.0)
    makers: list[Callable[[], Any]] = [
        lambda: torch.zeros(0),
        lambda: torch.tensor(3),
        lambda: torch.tensor(float("nan")),
        lambda: torch.tensor([1, 2, 3]),
        lambda: base.reshape(3, 4),
        lambda: base.reshape(3, 4).t(),
        lambda: base[::2],
        lambda: base.half(),
        lambda: base.bfloat16(),
        lambda: base.double(),
        lambda: base.to(torch.int8),
        lambda: base.bool(),
        lambda: base.to(torch.complex64),
        lambda: base.to_sparse(),
        lambda: torch.quantize_per_tensor(base, 0.1, 0, torch.qint8),
        lambda: torch.empty(3, device="meta"),
        lambda: torch.zeros(1).expand(10**9),
        lambda: torch.zeros(1).expand(10**5, 10**5),
        lambda: torch.zeros(2, 0, 3),
        lambda: torch.zeros((1,) * 30),
        lambda: torch.nn.Parameter(base.clone()),
        lambda: base.clone().requires_grad_(),
        lambda: torch.full((4,), float("inf")),
    ]
    return draw.choice(makers)()


def _plain(draw: random.Random) -> Any:
    import numpy

    return draw.choice(
        [
            *(None, True, False, b"", b"bytes", "", 1, 1.5, complex(1, 2), ..., slice(1), range(3), frozenset([1])),
            *(bytearray(b"x"), numpy.float64(1.5), numpy.int32(3), numpy.array([1, 2]), numpy.str_("x")),
        ]
    )


def value(draw: random.Random) -> Any:
    """Any of these, of any kind."""
    return draw.choice([word, number, number, _containers, tensor, _plain, _plain])(draw)
