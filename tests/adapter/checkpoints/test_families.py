"""A tiny model of each of fairseq's families is pruned: bit for bit the one with the other layers taken out by hand."""

from __future__ import annotations

import pytest
import torch
from fairseq import checkpoint_utils, models
from fairseq.dataclass import initialize
from fairseq.models import MODEL_REGISTRY
from omegaconf import OmegaConf
from shared.by_hand import build, cut, equal, options_of, save
from shared.tiny_families import TINY
from shared.versions import FAIRSEQ_FIXED

from layerdrop_plugin import families
from layerdrop_plugin.fairseq_adapter.checkpoints import write_pruned
from layerdrop_plugin.fairseq_adapter.checkpoints.describe import describe
from layerdrop_plugin.fairseq_adapter.checkpoints.provenance import Pruned
from layerdrop_plugin.fairseq_adapter.checkpoints.write_pruned import prune_checkpoint
from layerdrop_plugin.fairseq_adapter.options.config import as_dict, get, put

KEPT = [{"encoder": [0, 3], "decoder": [1, 2, 3]}, {"encoder": [2]}, {"decoder": [1, 3]}]


def choices(tiny):
    """What to keep of a model's stacks: of both, and of each alone."""
    of_model = [{stack: kept for stack, kept in choice.items() if stack in tiny.layers} for choice in KEPT]
    return [choice for i, choice in enumerate(of_model) if choice and choice not in of_model[:i]]


def specs_of(kept):
    return {stack: ",".join(map(str, numbers)) for stack, numbers in kept.items()}


def by_hand(name, kept):
    """The model with only these layers, and what goes by layer set by hand."""
    small = build(TINY[name])
    cut(small, TINY[name].layers, kept)
    if name == "transformer_align" and "decoder" in kept:
        small.alignment_layer = kept["decoder"].index(3)
    if name == "levenshtein_transformer" and "decoder" in kept:  # of 4,3,4
        small.decoder.early_exit = {(1, 2, 3): [3, 2, 3], (1, 3): [2, 1, 2]}[tuple(kept["decoder"])]
    if name == "levenshtein_transformer, own layers" and "decoder" in kept:
        small.decoder.early_exit = [2, 1, len(kept["decoder"])]
    return small


def load(name, path, **overrides):
    (model,), cfg, _ = checkpoint_utils.load_model_ensemble_and_task(
        [path], arg_overrides=overrides, task=TINY[name].task()
    )
    return model.eval(), cfg.model


def same(name, one, other):
    with torch.no_grad():
        return equal(TINY[name].run(one), TINY[name].run(other))


@pytest.mark.parametrize("name", TINY)
def test_pruned_at_load(name, tmp_path):
    model = build(TINY[name])
    path = save(model, options_of(TINY[name]), tmp_path / "full.pt")
    for kept in choices(TINY[name]):
        pruned, _ = load(name, path, **{f"{stack}_layers_to_keep": spec for stack, spec in specs_of(kept).items()})
        assert same(name, pruned, by_hand(name, kept))
        assert not same(name, pruned, model)


@pytest.mark.parametrize("name", TINY)
def test_written_by_layerdrop_prune(name, tmp_path):
    path = save(build(TINY[name]), options_of(TINY[name]), tmp_path / "full.pt")
    kept = choices(TINY[name])[0]
    small = str(tmp_path / "small.pt")
    prune_checkpoint(path, small, specs_of(kept))
    assert same(name, load(name, small)[0], by_hand(name, kept))
    stacks = describe(small).stacks
    assert {stack: (s.depth, s.pruned) for stack, s in stacks.items()} == {
        stack: (len(kept[stack]), Pruned(4, tuple(kept[stack]))) for stack in TINY[name].layers
    }


@pytest.mark.parametrize("name", TINY)
def test_old_checkpoints_are_pruned_alike(name, tmp_path):
    """Of before 2020: all options in `args`."""
    model, options = build(TINY[name]), options_of(TINY[name])
    new, old = (save(model, options, tmp_path / f"{form}.pt", form) for form in ("cfg", "args"))
    kept = specs_of(choices(TINY[name])[0])
    (pruned, _), (expected, _) = write_pruned.pruned(old, kept), write_pruned.pruned(new, kept)
    assert equal(pruned.weights, expected.weights)
    (found,), (wanted,) = (map(as_dict, checkpoint.configurations) for checkpoint in (pruned, expected))
    others = {"arch": "", "task": "", "data": ""}
    assert {**found, **others} == {**wanted, **others}


@pytest.mark.parametrize("name", ["wav2vec2", "s2t_transformer", "fastspeech2"])
def test_a_training_builds_the_pruned_model(name):
    """Also of a model that has no option to prune: in YAML, or as +model.encoder_layers_to_keep=0,3."""
    cfg = options_of(TINY[name])
    put(cfg, "encoder_layers_to_keep", "0,3")
    model = models.build_model(cfg, TINY[name].task())
    assert model.layerdrop_plan == {"encoder": Pruned(4, (0, 3))}
    (place,) = TINY[name].layers["encoder"]
    assert (len(model.get_submodule(place)), get(cfg, "encoder_layers"), get(cfg, "encoder_layers_to_keep")) == (
        *(2, 2),
        None,
    )


@pytest.mark.parametrize("name", ["wav2vec2", "hubert"])
def test_yaml_of_a_model_of_fairseqs_own_may_ask_for_layers(name):
    """Although its dataclass has no option for that; of our other options it has none, either."""
    options = {"_name": name, "encoder_layers": 4, "encoder_layers_to_keep": "0,3"}
    cfg = OmegaConf.create({"common": {"user_dir": None}, "model": options})
    initialize.add_defaults(cfg)
    assert (cfg.model.encoder_layers_to_keep, cfg.model.dropout) == ("0,3", 0.1)
    cfg = OmegaConf.create({"common": {"user_dir": None}, "model": {**options, "encoder_headdrop": "0.1"}})
    with pytest.raises(ValueError) as error:
        initialize.add_defaults(cfg)
    assert str(error.value) == (
        f"`model.encoder_headdrop` must be left out for {name}, which is fairseq's, or go with layerdrop_{name}."
    )


@pytest.mark.skipif(FAIRSEQ_FIXED, reason="the table is that of fairseq 0.12.2")
def test_the_table_has_every_model_of_fairseq():
    names = [name for name, model in MODEL_REGISTRY.items() if model.__module__.partition(".")[0] == "fairseq"]
    assert len(names) >= 40
    assert [name for name in names if families.of(name) is None] == []
