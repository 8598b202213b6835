"""Option strings of a checkpoint are values, not code."""

from __future__ import annotations

import argparse
import ast
import importlib
from pathlib import Path

import fairseq
import pytest
from fairseq.dataclass import utils

from layerdrop_plugin.fairseq_adapter.compat import option_evaluation

ROOT = Path(fairseq.__file__).parent


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[(512, 3)] * 2 + [(2, 1)]", [(512, 3), (512, 3), (2, 1)]),
        ("(0.9, 0.98)", (0.9, 0.98)),
        ("20000,60000", (20000, 60000)),
        ("-1e-3", -0.001),
        ("'a'", "a"),
        ("None", None),
        ({"a": 1}, {"a": 1}),
    ],
)
def test_values(text, value):
    assert option_evaluation.evaluate(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("km", ["km"]), ("km,ltr", ["km", "ltr"]), ("['km', 'ltr']", ["km", "ltr"]), ("", [])]
)
def test_words_in_a_list_need_no_quotes(text, value):
    """As fairseq's own default of HuBERT's labels has none."""
    assert utils.eval_str_list(text, str) == value


@pytest.mark.parametrize(("text", "kind"), [("km;ltr", str), ("['km'", str), ("km", float)])
def test_what_is_no_list_is_one_line(text, kind):
    with pytest.raises(argparse.ArgumentTypeError, match=r"must be a .*list.*, but is"):
        utils.eval_str_list(text, kind)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "5 5", "'a' + 1", "1 / 0", "{[]: 1}", "a\0b", "[" * 9000, "-" * 9000 + "1"),
        *("[1] * 10000000000", "'a' * (10000 * 10000)", "[[0] * 1000] * 1000", "9 ** 9 ** 9"),
    ],
)
def test_what_has_no_value_is_refused(text):
    with pytest.raises(ValueError) as error:
        option_evaluation.value_of(text, "`--x` must be Python")
    assert str(error.value) == f"`--x` must be Python, but is {text!r} instead."


@pytest.mark.parametrize("text", ["__import__('os')", "open('x')", "().__class__", "x", "[i for i in (1,)]", "f'{1}'"])
def test_code_is_refused(text):
    with pytest.raises(ValueError) as error:
        option_evaluation.evaluate(text)
    assert str(error.value) == f"an option must be a plain Python value, but is {text!r} instead."


@pytest.mark.slow
def test_every_module_of_fairseq_that_evaluates_strings_is_patched():
    found = set()
    for path in ROOT.rglob("*.py"):
        if "examples" in path.relative_to(ROOT).parts:
            continue
        calls = (
            node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
        )
        if any(isinstance(func, ast.Name) and func.id == "eval" for func in calls):
            found.add(".".join(("fairseq", *path.relative_to(ROOT).with_suffix("").parts)))
    assert found <= set(option_evaluation.MODULES)
    for name in found:
        assert importlib.import_module(name).__dict__["eval"] is option_evaluation.evaluate, name
