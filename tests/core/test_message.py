"""Messages: one line, no control characters, no value of several kilobytes."""

from __future__ import annotations

import pytest

from layerdrop_plugin import message

ARCHITECTURES = [f"transformer_{i}" for i in range(13)]
CHOICES = ", ".join(map(repr, ARCHITECTURES))
NINES = "9" * 98


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("`--p` must be\n  a rate.", "`--p` must be a rate."),
        ("a\x1b[2J\x07 b\x9b", "a\\x1b[2J\\x07 b\\x9b"),
        ("a\u202eb\udcff", "a\\u202eb\\udcff"),  # from right to left; a byte that is no UTF-8
        ("gr\xfc\xdfe, \u65e5\u672c", "gr\xfc\xdfe, \u65e5\u672c"),
        (f"but {'9' * 4000} is.", f"but {NINES}...{NINES} is."),
        (f"but is {'9' * 4000!r} instead.", f"but is '{NINES[1:]}...{NINES[1:]}' instead."),
        (f"but is {'a b' * 900!r} instead.", f"but is '{('a b' * 33)[:97]}...{('a b' * 33)[-97:]}' instead."),
        (f"the optimizer's state {'x ' * 120}can't", f"the optimizer's state {'x ' * 120}can't"),  # no quotation
        (f"must be '' or {'x ' * 120} 'a'.", f"must be '' or {'x ' * 120}'a'."),
        ("x " * 3000, f"{'x ' * 249}...{' x' * 249}"),
        ("argument --to: invalid choice: 'x' (choose from 'a', 'b')",) * 2,
        (
            "argument --to: invalid choice: 'x' (choose from a, b)",
            "argument --to: invalid choice: 'x' (choose from 'a', 'b')",
        ),
        (
            f"argument --arch/-a: invalid choice: 'transformr_3' (choose from {CHOICES})",
            "argument --arch/-a: invalid choice: 'transformr_3' is none of 13 names; did you mean 'transformer_3' or "
            "'transformer_9' or 'transformer_8'?",
        ),
        (
            f"argument --arch/-a: invalid choice: 'zzz' (choose from {CHOICES})",
            "argument --arch/-a: invalid choice: 'zzz' is none of 13 names",
        ),
    ],
)
def test_one_line(text, line):
    assert message.one_line(text) == line


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("PytorchStreamReader failed reading zip archive: failed finding central directory", None),
        ("a is 1.5. This is an internal error, please report a bug.", "a is 1.5"),
        ("  not enough memory.\nframe #0: c10::Error", "not enough memory"),
        ("", ""),
    ],
)
def test_the_first_sentence(text, sentence):
    assert message.first_sentence(text) == (text if sentence is None else sentence)
