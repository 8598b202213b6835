"""Checkpoints are read safely: what a stranger put into one does not run, on any torch."""

from __future__ import annotations

import argparse
import inspect
import io
import os
import pickle
import types
import zipfile
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy
import pytest
import torch
from fairseq import checkpoint_utils
from shared.hostile_files import call, text, zipped

from layerdrop_plugin.fairseq_adapter.reading import reader
from layerdrop_plugin.fairseq_adapter.reading.archive import Content

UNSAFE = {"weights_only": False} if "weights_only" in inspect.signature(torch.load).parameters else {}
ALLOW = "LAYERDROP_ALLOW_GLOBALS"
STATE = {"args": None, "cfg": {"model": argparse.Namespace(arch="a")}, "model": {"w": torch.arange(3.0)}}


class Malicious:
    """Unpickled, it runs a command of its maker's choice."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.fixture(params=["zip", "legacy"])
def save(request, tmp_path):
    """Saves a checkpoint in torch's format or in that before 1.6; returns its path."""

    def write(state):
        path = tmp_path / "checkpoint.pt"
        torch.save(state, path, _use_new_zipfile_serialization=request.param == "zip")
        return str(path)

    return write


def test_a_checkpoint_is_read(save):
    extra = {"best": numpy.float64(1.5), "half": torch.ones(2).half(), "p": torch.nn.Parameter(torch.ones(2))}
    state = reader.read(save({**STATE, "extra_state": extra}))
    assert state["cfg"]["model"] == argparse.Namespace(arch="a")
    assert torch.equal(state["model"]["w"], torch.tensor([0.0, 1.0, 2.0]))
    assert state["extra_state"]["best"] == 1.5
    assert state["extra_state"]["half"].dtype == torch.float16
    assert torch.equal(state["extra_state"]["p"], torch.ones(2))


NUMPY = {
    **{"big": numpy.arange(3, dtype=">i4"), "columns": numpy.arange(6.0, dtype="f4").reshape(2, 3).T.copy("F")},
    **{"words": numpy.array(["a", "bcd"]), "bytes": numpy.array([b"a", b"\xff"]), "none": numpy.zeros((0, 2), bool)},
    **{"one": numpy.float32(1.5), "whole": numpy.int64(-3), "yes": numpy.bool_(True), "text": numpy.str_("\u00e9")},
    **{"z": numpy.complex128(1j), "half": numpy.ones(1, "f2"), "raw": numpy.bytes_(b"\x80"), "scalar": numpy.array(2)},
}


def test_numbers_of_numpy_are_read(save):
    read = reader.read(save({**STATE, "extra_state": NUMPY}))["extra_state"]
    assert read.keys() == NUMPY.keys()
    for name, value in NUMPY.items():
        kind = value.dtype.newbyteorder("=")  # as numpy itself reads
        assert (type(read[name]), read[name].dtype, read[name].shape) == (type(value), kind, value.shape)
        assert numpy.array_equal(read[name], value)


def test_a_type_of_numbers_has_the_size_that_its_name_says(tmp_path):
    """Unchecked, numpy would believe that a text has -1 bytes."""
    kind = call("numpy.dtype", text("S2")) + b"(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffK\x00K\x00tb"
    value = call("numpy.core.multiarray.scalar", kind, call("_codecs.encode", text("abcd"), text("latin1")))
    zipped(tmp_path / "checkpoint.pt", b"\x80\x02" + value + b".")
    assert reader.read_any(str(tmp_path / "checkpoint.pt")) == b"ab"


def test_malicious_code_is_refused_and_does_not_run(save, tmp_path):
    witness = tmp_path / "witness"
    path = save({**STATE, "extra_state": {"x": Malicious(f"touch {witness}")}})
    with pytest.raises(ValueError) as error:
        reader.read(path)
    assert str(error.value) == (
        f"a checkpoint must hold only known objects, but {path} holds {os.name}.system, "
        "which may run code as it is loaded: it was made to do harm, or is no checkpoint."
    )
    assert not witness.exists()
    torch.load(path, weights_only=False)  # as torch did before 2.6: the code is real
    assert witness.exists()


def test_malicious_code_outside_of_zip_and_tensors_does_not_run(tmp_path):
    witness = tmp_path / "witness"
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(pickle.dumps({**STATE, "model": Malicious(f"touch {witness}")}))
    with pytest.raises(ValueError) as error:
        reader.read(str(path))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert not witness.exists()


def test_an_object_is_known_by_its_full_name_only(save, tmp_path, monkeypatch):
    monkeypatch.setenv(ALLOW, "collections.Counter")
    witness = tmp_path / "witness"
    with pytest.raises(ValueError, match="system"):
        reader.read(save({**STATE, "extra_state": {"x": [Counter("aab"), Malicious(f"touch {witness}")]}}))
    assert not witness.exists()


def test_the_variable_allows_a_class_by_name(save, monkeypatch):
    path = save({**STATE, "extra_state": {"x": Fraction(1, 2)}})
    with pytest.raises(ValueError) as error:
        reader.read(path)
    assert str(error.value).endswith(f"if you trust the file, set {ALLOW}=fractions.Fraction")
    monkeypatch.setenv(ALLOW, " fractions.Fraction ,")
    assert reader.read(path)["extra_state"]["x"] == Fraction(1, 2)
    monkeypatch.delenv(ALLOW)
    with pytest.raises(ValueError):
        reader.read(path)


@pytest.mark.parametrize("name", ["nothing", "no.such_module", "os.no_such_thing", ".x"])
def test_the_variable_must_name_what_exists(save, monkeypatch, name):
    path = save(STATE)
    monkeypatch.setenv(ALLOW, name)
    with pytest.raises(ValueError) as error:
        reader.read(path)
    assert str(error.value) == f"`{ALLOW}` must name objects as module.name, but has {name!r}."


@pytest.mark.skipif(not reader.TORCH_TAKES_NAMES, reason="torch before 2.6 knows no names")
def test_reading_leaves_what_torch_knows_as_it_was(save):
    before = set(torch.serialization.get_safe_globals())
    assert (argparse.Namespace, "argparse.Namespace") in before
    path = save(STATE)
    reader.read(path)
    assert set(torch.serialization.get_safe_globals()) == before
    assert torch.load(path)["cfg"]["model"].arch == "a"  # fairseq's other calls


def test_a_missing_and_an_empty_file(tmp_path):
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(ValueError) as error:
        reader.read(str(path))
    assert str(error.value) == f"`path` must be the file of a checkpoint, but {path} does not exist."
    path.touch()
    with pytest.raises(ValueError) as error:
        reader.check_file(str(path), "--restore-file")
    assert str(error.value) == f"`--restore-file` must be the file of a checkpoint, but {path} is empty."


@pytest.mark.parametrize("left", [0.1, 0.5, 0.95])
def test_a_truncated_file(save, left):
    path = save({**STATE, "model": {"w": torch.zeros(5000)}})
    with open(path, "rb") as file:
        content = file.read()
    with open(path, "wb") as file:
        file.write(content[: int(len(content) * left)])
    with pytest.raises(ValueError) as error:
        reader.read(path)
    message = str(error.value)
    assert message.startswith(
        f"`path` must be the file of a checkpoint, but {path} is damaged or no checkpoint at all."
    )
    assert "\n" not in message


@pytest.mark.parametrize(
    "content",
    [
        *(b"hello", b"\x00" * 100, b"PK\x03\x04", b"\x80\x02}q\x00.", b"[1, 2]\n" * 50),
        *(b"junk", b"X\x01\x00\x00\x00\xf8.", b"}Gr6.q5KSqRS."),  # struct.error, UnicodeDecodeError, TypeError
        *(b"Fno number\n.", b"\x8e" + b"\x7f" * 8),  # ValueError, MemoryError
    ],
)
def test_a_file_that_is_no_checkpoint_of_torch(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        reader.read(str(path))
    message = str(error.value)
    assert message.startswith("`path` must be the file of a checkpoint, but ")
    assert str(path) in message
    assert "\n" not in message


@pytest.mark.parametrize("state", [[1, 2], {"model": {}}, {"cfg": {}}, torch.zeros(2), {"epoch": 1}])
def test_a_file_of_torch_that_is_no_checkpoint_of_fairseq(save, state):
    path = save(state)
    with pytest.raises(ValueError) as error:
        reader.read(path)
    lacks = f"a checkpoint must be one of fairseq, but {path} lacks the entries `model` and `cfg` or `args`."
    assert str(error.value) == lacks


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="asks Linux what is mapped")
@pytest.mark.skipif("mmap" not in inspect.signature(torch.load).parameters, reason="torch before 2.1 maps no file")
def test_tensors_are_mapped_not_read(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({**STATE, "model": {"w": torch.zeros(1000)}}, path)
    os.utime(path, (10**9, 10**9))
    state = reader.read(str(path))
    with open("/proc/self/maps") as maps:
        assert str(path) in maps.read()
    del state


def test_a_compressed_checkpoint_is_read(full, tmp_path):
    """Another tool may have written the archive again."""
    path = tmp_path / "compressed.pt"
    with zipfile.ZipFile(full["transformer"]) as read, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as write:
        folder = read.namelist()[0].partition("/")[0]
        for name in (f"{folder}/", *read.namelist()):
            write.writestr(name, b"" if name.endswith("/") else read.read(name))
    good, state = reader.read(str(full["transformer"])), reader.read(str(path))
    assert state["model"].keys() == good["model"].keys()
    for name, value in good["model"].items():
        assert torch.equal(state["model"][name], value)


def test_a_program_is_not_run_where_only_torch_sees_it(tmp_path, monkeypatch):
    """Two readers of zip archives may find different entries in the same bytes."""
    path = str(tmp_path / "checkpoint.pt")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    monkeypatch.setattr(reader.archive, "content_of", lambda path: Content(frozenset(), 10**6, 10**6))
    with pytest.raises(ValueError, match="is damaged or no checkpoint at all"):
        reader.read(path)


def test_no_file_is_written_about_a_class(tmp_path, monkeypatch):
    """Before torch 2.6 a file could set an attribute of a class, and then have torch note how its code differs."""

    class Pickler(pickle._Pickler):
        def persistent_id(self, thing):
            return ("module", argparse.Namespace, "argparse.py", "other code") if thing is Ellipsis else None

    monkeypatch.chdir(tmp_path)
    header = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}]
    with open("checkpoint.pt", "wb") as file:
        for part in header:
            pickle.dump(part, file, 2)
        Pickler(file, 2).dump({**STATE, "model": {}, "extra_state": {"x": Ellipsis}})
        pickle.dump([], file, 2)
    monkeypatch.setattr(argparse.Namespace, "dump_patches", True, raising=False)
    with pytest.raises(ValueError):
        reader.read("checkpoint.pt")
    assert os.listdir() == ["checkpoint.pt"]


MODULE = "import torch\ndef load(*args, **kwargs):\n    return torch.load(*args, **kwargs)\n"


def load_in(name):
    """The function of a module of this name that calls `torch.load`."""
    module = types.ModuleType(name)
    exec(MODULE, vars(module))
    return module.load


@pytest.mark.parametrize("module", ["fairseq.models.text_to_speech.vocoder", "fairseq_cli.other"])
def test_what_other_modules_of_fairseq_load_is_read_safely(module, save, tmp_path):
    load, witness = load_in(module), tmp_path / "witness"
    path = save([torch.ones(2), Malicious(f"touch {witness}")])
    for thing in (path, Path(path)):
        with pytest.raises(ValueError, match="must hold only known objects"):
            load(thing)
    with open(path, "rb") as file, pytest.raises(ValueError, match="must hold only known objects"):
        load(file, map_location="cpu")
    assert not witness.exists()
    assert torch.equal(load(save({"generator": torch.arange(2.0)}))["generator"], torch.tensor([0.0, 1.0]))
    buffer = io.BytesIO()
    torch.save(torch.ones(3), buffer)
    buffer.seek(0)
    assert torch.equal(load(buffer), torch.ones(3))


def test_what_a_program_loads_itself_is_its_own_affair(save, tmp_path):
    state = load_in("mine")(save([Counter("aab")]), **UNSAFE)
    assert state == [Counter("aab")]


def test_a_file_that_may_not_be_read(full, monkeypatch):
    path = str(full["transformer"])
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read any
    for read, option in (
        (reader.read, "path"),
        (lambda path: checkpoint_utils.load_model_ensemble_and_task([path]), "--path"),
    ):
        with pytest.raises(ValueError) as error:
            read(path)
        assert str(error.value) == f"`{option}` must be a file that can be read, but {path} can't be."
