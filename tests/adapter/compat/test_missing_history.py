"""Checkpoints without a history of their training: evaluated as they are, and a training begins with them."""

from __future__ import annotations

import logging

import pytest
import torch

from layerdrop_plugin.fairseq_adapter.checkpoints.describe import describe
from layerdrop_plugin.fairseq_adapter.checkpoints.write_average import average_checkpoints
from layerdrop_plugin.fairseq_adapter.checkpoints.write_pruned import prune_checkpoint

TRAINING = ("optimizer_history", "extra_state", "last_optimizer_state", "task_state")
LACKING = {
    "weights and options": dict.fromkeys(TRAINING),
    "no history": {"optimizer_history": None},
    "an empty history": {"optimizer_history": [], "last_optimizer_state": None},
    "a history of nothing": {"optimizer_history": [{}], "last_optimizer_state": None},
    "no extra_state": {"extra_state": None, "last_optimizer_state": None},
    "an empty extra_state": {"extra_state": {}, "last_optimizer_state": None},
    "no place in the data": {"extra_state": {"train_iterator": None}, "last_optimizer_state": None},
    "an empty place in the data": {"extra_state": {"train_iterator": {}}, "last_optimizer_state": None},
}
"""By what is lacking: entries that take the places of those of a checkpoint; None takes one out."""


@pytest.fixture(params=LACKING.values(), ids=list(LACKING))
def lacking(request, full, tmp_path):
    """A function that writes a family's checkpoint of which something of the training is lacking."""

    def write(family):
        state = {**torch.load(full[family]), **request.param}
        path = tmp_path / "lacking.pt"
        torch.save({name: value for name, value in state.items() if name == "args" or value is not None}, path)
        return path

    return write


@pytest.mark.slow
@pytest.mark.parametrize("family", ["transformer", "roberta"])
def test_it_is_evaluated(family, lacking, full, load_model, outputs):
    model, _ = load_model(lacking(family))
    assert torch.equal(outputs(model, family), outputs(load_model(full[family])[0], family))


def test_it_is_described_pruned_and_averaged(lacking, full, load_model, tmp_path):
    path = str(lacking("transformer_lm"))
    assert describe(path).stacks == describe(str(full["transformer_lm"])).stacks
    average_checkpoints([path], str(tmp_path / "average.pt"))
    prune_checkpoint(path, str(tmp_path / "pruned.pt"), {"decoder": "0,2"})
    assert len(load_model(tmp_path / "average.pt")[0].decoder.layers) == 4
    assert len(load_model(tmp_path / "pruned.pt")[0].decoder.layers) == 2


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--restore-file", "--finetune-from-model"])
def test_a_training_begins_with_it(option, lacking, data, tiny, train, tmp_path):
    argv = [data["transformer_lm"], "--arch", "layerdrop_transformer_lm", *tiny["transformer_lm"], "--max-update", 2]
    train(*argv, option, lacking("transformer_lm"), "--save-dir", tmp_path / "out")
    state = torch.load(tmp_path / "out" / "checkpoint_last.pt")
    assert state["optimizer_history"][-1]["num_updates"] == 2
    assert state["last_optimizer_state"]["state"][0]["step"] == 2


@pytest.fixture
def weights_only(full, tmp_path):
    state = torch.load(full["transformer_lm"])
    torch.save({name: state[name] for name in ("args", "cfg", "model")}, tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


def test_that_a_training_begins_is_said(weights_only, data, tiny, train, tmp_path, caplog):
    argv = [data["transformer_lm"], "--arch", "layerdrop_transformer_lm", *tiny["transformer_lm"], "--max-update", 1]
    with caplog.at_level(logging.INFO):
        train(*argv, "--restore-file", weights_only, "--save-dir", tmp_path / "out")
    assert f"{weights_only} tells nothing of its training: this one begins with its first update" in caplog.messages


@pytest.mark.slow
def test_what_is_written_for_fairseq_alone_has_a_history(weights_only, tmp_path, stock):
    path = tmp_path / "stock.pt"
    prune_checkpoint(str(weights_only), str(path), {"decoder": "0,2"}, stock=True)
    load = "from fairseq.checkpoint_utils import load_checkpoint_to_cpu\nload_checkpoint_to_cpu(sys.argv[1])"
    stock(load, path)


OTHERS = {  # whose optimizer fairseq can't tell from its own
    "a history without names": [{"num_updates": 5}],
    "another criterion": [{"num_updates": 5, "criterion_name": "X", "optimizer_name": "FairseqAdam"}],
}


@pytest.mark.slow
@pytest.mark.parametrize("history", OTHERS.values(), ids=list(OTHERS))
def test_an_optimizer_that_is_another_is_refused_in_one_line(history, full, data, tiny, train, tmp_path):
    state = {**torch.load(full["transformer_lm"]), "optimizer_history": history}
    path = tmp_path / "other.pt"
    torch.save(state, path)
    argv = [data["transformer_lm"], "--arch", "layerdrop_transformer_lm", *tiny["transformer_lm"], "--max-update", 1]
    with pytest.raises(ValueError) as error:
        train(*argv, "--restore-file", path, "--save-dir", tmp_path / "out")
    assert str(error.value) == (
        f"{path} must be of this training, but: Criterion does not match; please reset the optimizer "
        f"(--reset-optimizer). {history[0].get('criterion_name')} vs CrossEntropyCriterion"
    )
    train(*argv, "--restore-file", path, "--save-dir", tmp_path / "out", "--reset-optimizer")


def test_weights_of_another_model_are_refused_in_one_line(full, data, tiny, train, tmp_path):
    state = torch.load(full["transformer_lm"])
    del state["model"]["decoder.layers.1.fc1.bias"]
    path = tmp_path / "other.pt"
    torch.save(state, path)
    argv = [data["transformer_lm"], "--arch", "layerdrop_transformer_lm", *tiny["transformer_lm"], "--max-update", 13]
    with pytest.raises(ValueError) as error:
        train(*argv, "--restore-file", path, "--save-dir", tmp_path / "out")
    lacks = 'Missing key(s) in state_dict: "decoder.layers.1.fc1.bias".'
    assert str(error.value) == f"the weights of {path} must fit the model, but: {lacks}"
