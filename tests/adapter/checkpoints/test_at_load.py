"""Reading gives memory of its own to any caller; the file is mapped only where it is dropped at once."""

from __future__ import annotations

import copy
import gc
import inspect
import os
import shutil

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.models import BaseFairseqModel as FairseqModel
from fairseq.tasks.translation import TranslationTask

from layerdrop_plugin import averaging
from layerdrop_plugin.fairseq_adapter.checkpoints import at_load
from layerdrop_plugin.fairseq_adapter.checkpoints.write_average import average_checkpoints
from layerdrop_plugin.fairseq_adapter.checkpoints.write_pruned import prune_checkpoint
from layerdrop_plugin.fairseq_adapter.evaluation import evaluation
from layerdrop_plugin.fairseq_adapter.reading import reader

LONG_AGO = (10**9, 10**9)
KEPT = {"encoder_layers_to_keep": "0,2", "decoder_layers_to_keep": "last:1"}
on_linux = pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="asks Linux what is mapped")
torch_maps = pytest.mark.skipif(
    "mmap" not in inspect.signature(torch.load).parameters, reason="torch before 2.1 maps no file"
)


@pytest.fixture
def path(full, tmp_path):
    """A translation model's checkpoint of this test alone, written a while ago."""
    path = shutil.copy(full["transformer"], str(tmp_path / "checkpoint.pt"))
    os.utime(path, LONG_AGO)
    return path


def save(state, path):
    """Write it, as if a while ago."""
    torch.save(state, path)
    os.utime(path, LONG_AGO)


def is_mapped(path):
    gc.collect()  # torch leaves the weights that it loaded in a circle of references
    with open("/proc/self/maps") as maps:
        return str(path) in maps.read()


def overwrite(path):
    """Write as many zeros over a file, in place, as copying another one over it does."""
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        file.write(bytes(size))


def test_a_checkpoint_saved_to_the_path_it_was_read_from_is_whole(path):
    before = torch.load(path)
    state = checkpoint_utils.load_checkpoint_to_cpu(path)
    del state["last_optimizer_state"]
    save(state, path)
    after = torch.load(path, weights_only=False)  # fairseq made omegaconf's containers of the configuration
    assert list(after["model"]) == list(before["model"])
    assert all(torch.equal(after["model"][name], value) for name, value in before["model"].items())
    assert after["extra_state"]["best"] == before["extra_state"]["best"]


@pytest.mark.parametrize("overrides", [None, {}, KEPT])
def test_what_another_caller_holds_does_not_change_with_the_file(overrides, path):
    state = checkpoint_utils.load_checkpoint_to_cpu(path, overrides)
    expected = copy.deepcopy(state)
    overwrite(path)
    for key in ("model", "last_optimizer_state"):
        torch.testing.assert_close(state[key], expected[key], rtol=0, atol=0)
    assert ("decoder.layers.3.fc1.bias" in state["model"]) == (overrides != KEPT)


@pytest.mark.parametrize("overrides", [None, KEPT])
def test_tied_weights_share_memory_in_what_another_caller_gets(overrides, path):
    weights = checkpoint_utils.load_checkpoint_to_cpu(path, overrides)["model"]
    tied = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "decoder.output_projection.weight")
    assert len({weights[name].data_ptr() for name in tied}) == 1


@on_linux
def test_fairseqs_other_reader_maps_nothing_either(path):
    state = torch.load(path)
    state["extra_state"]["ema"] = dict(state["model"])
    save(state, path)
    held = checkpoint_utils.load_ema_from_checkpoint(path)
    assert not is_mapped(path)
    assert held["last_optimizer_state"]["state"][0]["exp_avg"].abs().sum() > 0


@pytest.mark.slow
@on_linux
@torch_maps
@pytest.mark.parametrize("overrides", [{}, KEPT])
@pytest.mark.parametrize("reader", ["fairseq", "trainer", "evaluation"])
def test_a_file_is_mapped_until_the_model_has_its_weights(
    reader, overrides, path, data, tiny, make_trainer, monkeypatch
):
    state = torch.load(path)
    state["task_state"] = {"seen": torch.arange(3.0)}
    save(state, path)
    seen = []

    def load_state_dict(model, *args, **kwargs):
        seen.append(is_mapped(path))
        return original(model, *args, **kwargs)

    original = torch.nn.Module.load_state_dict
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", load_state_dict)
    argv = [data["transformer"], *tiny["transformer"]]
    if reader == "fairseq":
        held = checkpoint_utils.load_model_ensemble_and_task([path], overrides)
        assert held[2].state_dict()["seen"].tolist() == [0.0, 1.0, 2.0]
    elif reader == "evaluation":
        held = evaluation.load(path, repr(overrides), [str(data["transformer"])], pytest.fail)
    else:
        options = [word for name, spec in overrides.items() for word in (f"--{name}".replace("_", "-"), spec)]
        held = make_trainer(*argv, "--arch", "layerdrop_transformer", *options)
        extra_state = held.load_checkpoint(path)
        assert extra_state["train_iterator"]["epoch"] == 3
    assert seen[0]
    assert not is_mapped(path), held


@on_linux
@torch_maps
def test_what_a_model_reads_as_it_is_built_is_not_mapped(path, full):
    with at_load.mapping(path):
        outer, inner = (checkpoint_utils.load_checkpoint_to_cpu(str(p)) for p in (path, full["transformer"]))
        assert is_mapped(path)
        assert not is_mapped(full["transformer"])
    assert torch.equal(outer["model"]["encoder.layers.0.fc1.bias"], inner["model"]["encoder.layers.0.fc1.bias"])


def test_no_shards_at_all_are_fairseqs_to_refuse(path):
    with pytest.raises(AssertionError):
        checkpoint_utils.load_model_ensemble_and_task([path], num_shards=0)


def test_what_a_model_reads_as_it_is_built_is_logged(path, full, monkeypatch, caplog):
    build = TranslationTask.build_model

    def build_model(task, *args, **kwargs):
        checkpoint_utils.load_checkpoint_to_cpu(str(full["roberta"]))
        return build(task, *args, **kwargs)

    monkeypatch.setattr(TranslationTask, "build_model", build_model)
    with caplog.at_level("INFO"):
        checkpoint_utils.load_model_ensemble_and_task([path])
    said = [record.getMessage() for record in caplog.records if "also reading" in record.getMessage()]
    assert said == [f"also reading {full['roberta']}, which the options of the model or the task name"]


@on_linux
@torch_maps
def test_a_file_that_was_written_just_now_is_not_mapped(path):
    os.utime(path)
    with at_load.mapping(path):
        state = checkpoint_utils.load_checkpoint_to_cpu(path)
        assert not is_mapped(path)
        overwrite(path)
    assert state["model"]["encoder.layers.0.fc1.weight"].abs().sum() > 0


def written_by(function, path):
    """Let the file be written to as `function` is called."""

    def wrapped(*args, **kwargs):
        with open(path, "r+b") as file:
            byte = file.read(1)
            file.seek(0)
            file.write(byte)
        return function(*args, **kwargs)

    return wrapped


def written(path):
    return f"a checkpoint must stay as it is while it is read, but {path} was written meanwhile."


def test_a_checkpoint_written_while_it_is_read_is_refused(path, monkeypatch):
    monkeypatch.setattr(reader, "_load", written_by(reader._load, path))
    with pytest.raises(ValueError) as error:
        reader.read(path)
    assert str(error.value) == written(path)


def test_a_checkpoint_written_while_a_model_takes_its_weights_is_refused(path, data, monkeypatch):
    monkeypatch.setattr(FairseqModel, "load_state_dict", written_by(FairseqModel.load_state_dict, path))
    with pytest.raises(ValueError) as error:
        checkpoint_utils.load_model_ensemble_and_task([path])
    assert str(error.value) == written(path)
    with pytest.raises(ValueError) as error:
        evaluation.load(path, "{}", [str(data["transformer"])], pytest.fail)
    assert str(error.value) == written(path)


def test_nothing_is_written_of_a_checkpoint_that_changed_meanwhile(path, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "save", written_by(torch.save, path))
    with pytest.raises(ValueError) as error:
        prune_checkpoint(path, str(tmp_path / "small.pt"), {"decoder": "0,2"})
    assert str(error.value) == written(path)
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_nothing_is_averaged_of_a_checkpoint_that_changed_meanwhile(path, full, tmp_path, monkeypatch):
    monkeypatch.setattr(averaging, "average", written_by(averaging.average, path))
    with pytest.raises(ValueError) as error:
        average_checkpoints([path, str(full["transformer"])], str(tmp_path / "mean.pt"))
    assert str(error.value) == written(path)
    assert os.listdir(tmp_path) == ["checkpoint.pt"]
