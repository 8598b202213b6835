"""Functions of ours around one of fairseq's."""

from types import SimpleNamespace

from layerdrop_plugin.fairseq_adapter.hooks import wrap


def doubled(original, value):
    return 2 * original(value)


def negated(original, value):
    return -original(value)


def test_several_go_around_one_function_and_each_once():
    owner = SimpleNamespace(plus=lambda value: value + 1)
    for wrapper in (doubled, negated, doubled, negated):
        wrap(owner, "plus", wrapper)
    assert owner.plus(3) == -8
