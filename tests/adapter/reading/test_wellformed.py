"""Hostile checkpoints, and those of other makers, in this process: one line in all that reads, or they are read."""

from __future__ import annotations

import os
import sys

import pytest
import torch
from shared.hostile_files import FILES
from shared.hostile_states import FOR_MODELS, STATES

from layerdrop_plugin.fairseq_adapter.checkpoints.describe import describe
from layerdrop_plugin.fairseq_adapter.checkpoints.write_average import average_checkpoints
from layerdrop_plugin.fairseq_adapter.checkpoints.write_pruned import prune_checkpoint
from layerdrop_plugin.fairseq_adapter.reading import reader


def ids(table):
    return [name for name, *_ in table]


@pytest.fixture(scope="module")
def good(full, tmp_path_factory):
    """A translation model's checkpoint, without the many numbers of its optimizer."""
    state = torch.load(full["transformer"], weights_only=False)
    state["last_optimizer_state"]["state"] = {}
    path = tmp_path_factory.mktemp("good") / "good.pt"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def commands(good, load_model):
    """What reads a checkpoint, by name: functions of its path and of one for a file that may be written."""
    return {
        "read": lambda path, output: reader.read(path),
        "load": lambda path, output: load_model(path),
        "describe": lambda path, output: describe(path),
        "prune": lambda path, output: prune_checkpoint(path, output, {"decoder": "0,2"}),
        "average": lambda path, output: average_checkpoints([path, str(good)], output),
    }


def lines(commands, path, output):
    """What each says; it must be a single line, and nothing may be written."""
    said = []
    for command in commands:
        with pytest.raises(ValueError) as error:
            command(str(path), str(output))
        said.append(str(error.value))
    assert not os.path.exists(output)
    assert not any("\n" in line for line in said)
    return said


@pytest.mark.parametrize(("damage", "words"), [row[1:] for row in STATES], ids=ids(STATES))
def test_a_state_that_fairseq_never_wrote(damage, words, good, commands, tmp_path):
    state = torch.load(good, weights_only=False)
    damage(state)
    path = tmp_path / "bad.pt"
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(50_000)  # to write what is nested deep
    torch.save(state, path)
    sys.setrecursionlimit(limit)
    for line in lines(commands.values(), path, tmp_path / "out.pt"):
        assert line.startswith(f"a checkpoint must be one of fairseq, but {path} {words}")


@pytest.mark.parametrize(("write", "words"), [row[1:] for row in FILES], ids=ids(FILES))
def test_a_file_that_torch_never_wrote(write, words, good, commands, tmp_path):
    path = tmp_path / "bad.pt"
    write(path, torch.load(good, weights_only=False))
    for line in lines([commands["read"], commands["load"]], path, tmp_path / "out.pt"):  # the two ways in
        assert f"{path} {words}" in line


@pytest.mark.parametrize(("damage", "words"), [row[1:] for row in FOR_MODELS], ids=ids(FOR_MODELS))
def test_what_no_model_can_be_made_of(damage, words, good, load_model, tmp_path):
    state = torch.load(good, weights_only=False)
    damage(state)
    path = tmp_path / "bad.pt"
    torch.save(state, path)
    assert describe(str(path)).parameters > 0
    with pytest.raises(ValueError) as error:
        load_model(path)
    assert str(error.value).startswith(words.format(path))
    assert "\n" not in str(error.value)


def test_options_of_the_criterion(good, data, tmp_path):
    from fairseq import options
    from fairseq_cli import validate

    state = torch.load(good, weights_only=False)
    state["cfg"]["criterion"]["report_accuracy"] = 0.5
    torch.save(state, tmp_path / "bad.pt")
    argv = [data["transformer"], "--path", tmp_path / "bad.pt", "--task", "translation", "--max-tokens", 300, "--cpu"]
    args = options.parse_args_and_arch(options.get_validation_parser(), list(map(str, argv)))
    with pytest.raises(ValueError) as error:
        validate.main(args)
    assert str(error.value) == (
        "the criterion has options that fairseq can't take: Value '0.5' is not a valid bool (type float)."
    )


def test_an_error_in_a_users_own_model_is_left_as_it_is(good, load_model, monkeypatch):
    from layerdrop_plugin.fairseq_adapter.modeling.transformer import LayerDropTransformerModel

    def fails(cls, cfg, task):
        raise TypeError("a fault of mine")

    monkeypatch.setattr(LayerDropTransformerModel, "build_model", classmethod(fails))
    with pytest.raises(ValueError, match="has options that fairseq can't take: a fault of mine"):
        load_model(good)
    monkeypatch.setattr(LayerDropTransformerModel, "__module__", "mine")
    with pytest.raises(TypeError, match="a fault of mine"):
        load_model(good)
