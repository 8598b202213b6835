"""Functions of ours around one of fairseq's."""

from __future__ import annotations

import functools
from types import FunctionType, SimpleNamespace

import pytest

from layerdrop_plugin.fairseq_adapter.hooks import wrap


def doubled(original, value):
    return 2 * original(value)


def copied(function, module):
    copy = FunctionType(function.__code__, {}, function.__name__)
    copy.__module__ = module
    return copy


def negated(original, value):
    return -original(value)


def test_several_go_around_one_function_and_each_once():
    owner = SimpleNamespace(plus=lambda value: value + 1)
    for wrapper in (doubled, negated, doubled, negated):
        wrap(owner, "plus", wrapper)
    assert owner.plus(3) == -8


def test_a_decorator_of_somebody_else_is_no_wrapper_of_ours():
    owner = SimpleNamespace(plus=functools.wraps(negated)(lambda value: value + 1))
    wrap(owner, "plus", doubled)
    owner.plus = functools.wraps(owner.plus)(lambda value, inner=owner.plus: inner(value) + 100)
    wrap(owner, "plus", doubled)
    assert owner.plus(3) == 108


def test_a_wrapper_whose_file_was_loaded_twice_goes_around_once():
    owner = SimpleNamespace(plus=lambda value: value + 1)
    for package in ("layerdrop_plugin.fairseq_adapter", "layerdrop_plugin_startup", "another"):
        wrap(owner, "plus", copied(doubled, f"{package}.compat.some"))
    assert owner.plus(3) == 16
    wrap(owner, "plus", copied(doubled, "layerdrop_plugin.fairseq_adapter.some"))
    assert owner.plus(3) == 32


def test_a_wrapper_without_a_name_is_refused():
    owner = SimpleNamespace(plus=lambda value: value + 1)
    with pytest.raises(ValueError, match="must be a function of a module"):
        wrap(owner, "plus", lambda original, value: value)
