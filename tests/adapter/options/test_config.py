"""Options in options, by names with dots, whatever holds them."""

from __future__ import annotations

from argparse import Namespace

import pytest
from omegaconf import OmegaConf
from omegaconf import __version__ as version

from layerdrop_plugin.fairseq_adapter.options.config import get, has, put

INNER = {"model": {"encoder_layers": 4}}
FORMS = {
    "a Namespace in a Namespace": lambda: Namespace(w2v_args=Namespace(model=Namespace(encoder_layers=4))),
    "dicts in a Namespace": lambda: Namespace(w2v_args={"model": {"encoder_layers": 4}}),
    "a DictConfig in a Namespace": lambda: Namespace(w2v_args=OmegaConf.create(INNER)),
    "a DictConfig": lambda: OmegaConf.create({"w2v_args": INNER}),
    "a Namespace in a DictConfig": lambda: OmegaConf.create(
        {"w2v_args": {"model": Namespace(encoder_layers=4)}}, flags={"allow_objects": True}
    ),
}
OLD = version < "2.2"
NAME = "w2v_args.model.encoder_layers"
forms = pytest.mark.parametrize(
    "form",
    [
        name
        if name != "a Namespace in a DictConfig"
        else pytest.param(name, marks=pytest.mark.skipif(OLD, reason="omegaconf before 2.2 takes no objects"))
        for name in FORMS
    ],
)


@forms
def test_an_option_in_an_option(form):
    cfg = FORMS[form]()
    held = cfg.w2v_args
    assert (has(cfg, NAME), get(cfg, NAME)) == (True, 4)
    put(cfg, NAME, 2)
    assert get(cfg, NAME) == 2
    if isinstance(cfg, Namespace):  # somebody else may hold what it held
        assert get(held, "model.encoder_layers") == 4


@pytest.mark.parametrize("value", [None, 5, "text", [], {"model": None}, {"model": {"encoder_layers": None}}])
def test_an_option_that_is_not_there(value):
    cfg = Namespace(w2v_args=value)
    assert get(cfg, NAME) is None
    assert has(cfg, NAME) == (value == {"model": {"encoder_layers": None}})
