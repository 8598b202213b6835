"""What options mean for a training."""

from __future__ import annotations

from argparse import Namespace

import pytest
from fairseq import tasks
from omegaconf import OmegaConf

from layerdrop_plugin import rates
from layerdrop_plugin.fairseq_adapter.options.model_options import read

MAKERS = [lambda **values: Namespace(**values), lambda **values: OmegaConf.create(values)]


def ending_at(max_update):
    """The options of a training: beside the model's on the command line, in a group of their own in YAML."""
    return {"max_update": max_update, "optimization": {"max_update": max_update}}


@pytest.mark.parametrize("make", MAKERS)
def test_the_schedule_of_a_configuration(make):
    cfg = make(layerdrop_warmup_updates="4", layerdrop_cooldown_updates=3, decoder_layers=2, **ending_at(10))
    assert read(cfg).schedule == (4, 3, 10)
    assert (cfg.layerdrop_warmup_updates, cfg.layerdrop_cooldown_updates) == (4, 3)
    assert read(make(layerdrop_warmup_updates=None)).schedule == (0, 0, 0)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("change", "max_update", "message"),
    [
        (
            {"decoder_layerdrop_learned": True},
            0,
            "`--decoder-layerdrop-learned` must go with a `--decoder-layerdrop` above 0, the mean of the rates.",
        ),
        (
            {"decoder_layerdrop_learned": True, "decoder_layerdrop": "0,0", "encoder_layerdrop": 0.5},
            0,
            "`--decoder-layerdrop-learned` must go with a `--decoder-layerdrop` above 0, the mean of the rates.",
        ),
        (
            {"layerdrop_cooldown_updates": 5},
            0,
            "`--layerdrop-cooldown-updates` must be left out where `--max-update` is not set, but is 5 instead.",
        ),
        (
            {"layerdrop_warmup_updates": 6, "layerdrop_cooldown_updates": 5},
            10,
            "`--layerdrop-warmup-updates` and `--layerdrop-cooldown-updates` must fit into `--max-update`, "
            "but are 6 and 5 of 10.",
        ),
    ],
)
def test_what_only_training_refuses(change, max_update, message, make):
    values = {"arch": "layerdrop_x", "encoder_layers": 2, "decoder_layers": 2, **ending_at(max_update)}
    read(make(**values)).check_training()
    wrong = read(make(**{**values, **change}))
    with pytest.raises(ValueError) as error:
        wrong.check_training()
    assert str(error.value) == message


def test_what_training_takes():
    values = {"encoder_layers": 2, "encoder_layerdrop": "0,0.1", "encoder_layerdrop_learned": True}
    read(Namespace(**values, layerdrop_warmup_updates=5, layerdrop_cooldown_updates=5, max_update=10)).check_training()
    read(Namespace(**values, layerdrop_warmup_updates=5, max_update=0)).check_training()


@pytest.mark.parametrize(
    ("family", "arguments"),
    [
        ("transformer_lm", ["--decoder-layerdrop", "0", "--decoder-layerdrop-learned"]),
        ("transformer_lm", ["--layerdrop-cooldown-updates", "3"]),
        ("roberta", ["--encoder-headdrop", "target:3"]),
    ],
)
def test_a_training_is_refused_before_a_model_is_built(family, arguments, make_trainer, tiny, data):
    said = {
        "--decoder-layerdrop": "`--decoder-layerdrop-learned` must go with a `--decoder-layerdrop` above 0, "
        "the mean of the rates.",
        "--layerdrop-cooldown-updates": "`--layerdrop-cooldown-updates` must be left out where `--max-update` is not "
        "set, but is 3 instead.",
        "--encoder-headdrop": "`--encoder-headdrop` must not aim for more than there are, but 'target:3' keeps 3 of 2.",
    }
    with pytest.raises(ValueError) as error:
        make_trainer(data[family], "--arch", f"layerdrop_{family}", *tiny[family], *arguments)
    assert str(error.value) == said[arguments[0]]


def test_a_training_gets_the_schedule_and_the_rates_of_its_options(make_trainer, tiny, data):
    arguments = ["--decoder-layerdrop", "linear:0:0.6", "--decoder-layerdrop-learned", "--decoder-headdrop", "target:1"]
    arguments += ["--layerdrop-warmup-updates", "2", "--layerdrop-cooldown-updates", "3", "--max-update", "9"]
    trainer = make_trainer(
        data["transformer_lm"], "--arch", "layerdrop_transformer_lm", *tiny["transformer_lm"], *arguments
    )
    stack = trainer.model.decoder.layers
    assert stack.rates == pytest.approx((0.0, 0.2, 0.4, 0.6))
    assert stack.dropping.groups == (("self_attn.heads", (0.5,) * 4, 2),)
    assert stack.dropping.schedule == (2, 3, 9)
    assert stack.learned_rates == pytest.approx((0.3,) * 4)
    cfg = trainer.cfg.model
    assert (cfg.decoder_layerdrop, cfg.decoder_headdrop) == ("linear:0:0.6", "target:1")  # as a checkpoint saves it


@pytest.mark.parametrize("more", [[], ["--decoder-layers-to-keep", "0,2"]], ids=["full", "pruned"])
def test_a_rate_is_parsed_once_for_each_model_that_is_built(more, configure, tiny, data, monkeypatch):
    argv = ["--arch", "layerdrop_transformer_lm", *tiny["transformer_lm"], "--decoder-layerdrop", "linear:0:0.6", *more]
    cfg = configure(data["transformer_lm"], *argv)
    task = tasks.setup_task(cfg.task)
    calls, parse = [], rates.parse
    monkeypatch.setattr(rates, "parse", lambda *given, **named: calls.append(given) or parse(*given, **named))
    model = task.build_model(cfg.model)
    assert [given[:2] for given in calls] == [("linear:0:0.6", 4)]
    assert model.decoder.layers.rates == pytest.approx((0.0, 0.4) if more else (0.0, 0.2, 0.4, 0.6))
