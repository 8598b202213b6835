"""What a checkpoint holds beside plain Python is read by default, and named all at once where it is not."""

from __future__ import annotations

import argparse
import base64
import datetime
import sys
import types
import zipfile
import zlib
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from layerdrop_plugin.fairseq_adapter.checkpoints.describe import describe
from layerdrop_plugin.fairseq_adapter.checkpoints.write_average import average_checkpoints
from layerdrop_plugin.fairseq_adapter.checkpoints.write_pruned import prune_checkpoint, pruned
from layerdrop_plugin.fairseq_adapter.reading import reader, saved_options

ALLOW = "LAYERDROP_ALLOW_GLOBALS"
CONTAINERS_OF_OMEGACONF_2_0_6 = (  # DictConfig({"task": {"_name": "translation", "lr": [0.5, None]}}), in protocol 2
    "c-mc3$#T;`5S8sDw#Oj}n1q;}uqhBs*mpumNDhDwI_W~GM)KG#B1>**lqw&l3Jz5HGx-#HB&%XGr|z!q_g=rAUsXRIiUIfIsNd}c"
    "zSKc5V22bQ6d@Yhzp<jQYC28BFx;V#yvHTS+RUiOQ^9CJ@*on)_h}2m1)5z{xMVsFnoUICmE)1Xy6?JP7KAd0T$gEHh7G4hEwT4g"
    "__F9~TKQBwl0h8t5ZT13QGO!E*s`2O3i}}+q`0i`oU=q}DwE8YxH3tdm7Fe(!&8yCKKDW3s_(~PNa%!?vYzPkER+TJ8Z`dkc^fa}"
    "ghWsXXj{%Q<suYA5luy1v@*}BYa>QHp(?HyDqZqH>U=}tC1-&ulBXxQ3EIAn!pkPqK-+Oe;Z+mrKA{ECfbB<PhS#8J0h>SzHi5Re"
    "4y%w$x?$r@Xj`C3VI3+!;J3_tbvNQefm<^-h~l0|HJ(KQ!`sAlN8w%K{r^yB_qj(+_Z6BX2+l-oX%X9{hzB-4%;`J%TJ9;GVkbYA"
    "On8)rTpNmy$d)SA!UVfBd|{B5f9e~B<)3;?yt@jYl%_mY_-v|S?rZ3AhR+LGT`lWHDeI+;ub@5O9h0H>y0ohU8$a-k3EGLb3g2lm"
    "z3_X5ALbVRYG~w-CGwt)pK^d**g4+&Yvhj#8fRbO=Mv{Y;o&?^MdN%aagJ;}E^$ba$h<7`(#-4r0~5v)2>"
)


@pytest.fixture
def save(tmp_path):
    """A function that saves a small checkpoint with these entries and returns its path."""

    def write(**entries):
        options = argparse.Namespace(arch="transformer_lm", decoder_layers=2)
        weights = {f"decoder.layers.{i}.w": torch.ones(1) * i for i in range(2)}
        torch.save({"args": None, "cfg": {"model": options}, "model": weights, **entries}, tmp_path / "a.pt")
        return str(tmp_path / "a.pt")

    return write


@pytest.fixture
def dictionary():
    from fairseq.data import Dictionary

    words = Dictionary()
    words.add_symbol("a", n=3)
    return words


def test_a_dictionary_of_fairseq_is_read(save, dictionary):
    state = reader.read(save(task_state={"dictionaries": [dictionary]}))
    (found,) = state["task_state"]["dictionaries"]
    assert type(found) is type(dictionary)
    assert vars(found) == vars(dictionary)
    assert (found.index("a"), found[4], found.count[4], found.pad()) == (4, "a", 3, 1)


WRONG = [
    {"symbols": "abc"},
    {"symbols": [1, 2, 3, 4, 5]},
    {"count": [1]},
    {"indices": {"a": "b"}},
    {"indices": None},
    {"unk_index": [0]},
]


@pytest.mark.parametrize("attributes", WRONG, ids=str)
def test_a_dictionary_of_other_attributes_is_refused(attributes, save, dictionary):
    vars(dictionary).update(attributes)
    path = save(task_state={"dictionaries": [dictionary]})
    with pytest.raises(ValueError) as error:
        reader.read(path)
    wrong = f"a checkpoint must be one of fairseq, but {path} has a Dictionary that fairseq did not make."
    assert str(error.value) == wrong


def test_what_is_written_again_holds_the_true_dictionary(save, dictionary, tmp_path):
    path = save(task_state={"target_dictionary": dictionary})
    prune_checkpoint(path, str(tmp_path / "pruned.pt"), {"decoder": "1"})
    average_checkpoints([path], str(tmp_path / "average.pt"))
    for name in ("pruned.pt", "average.pt"):
        found = torch.load(tmp_path / name)["task_state"]["target_dictionary"]
        assert type(found) is type(dictionary)
        assert vars(found) == vars(dictionary)


IN_A_COMMAND = """
import sys
import layerdrop_plugin_commands
layerdrop_plugin_commands.started = True
from layerdrop_plugin.fairseq_adapter.reading import saved_options
from layerdrop_plugin.fairseq_adapter.checkpoints.write_average import average_checkpoints
from layerdrop_plugin.fairseq_adapter.checkpoints.describe import describe
assert describe(sys.argv[1]).stacks["decoder"].depth == 2
assert "fairseq" not in sys.modules
average_checkpoints([sys.argv[1]], sys.argv[2])
"""


def test_a_command_describes_without_fairseq_and_writes_the_true_dictionary(save, dictionary, command, tmp_path):
    path = save(task_state={"dictionaries": [dictionary]})
    assert command("python", "-W", "ignore", "-c", IN_A_COMMAND, path, tmp_path / "b.pt").stderr == ""
    (found,) = torch.load(tmp_path / "b.pt")["task_state"]["dictionaries"]
    assert type(found) is type(dictionary)
    assert vars(found) == vars(dictionary)


@pytest.mark.slow
def test_training_goes_on_from_its_own_checkpoint_with_a_dictionary(data, tiny, train, tmp_path, monkeypatch):
    from fairseq.tasks.language_modeling import LanguageModelingTask

    build = LanguageModelingTask.build_model

    def build_model(self, *args, **kwargs):  # its state then has dictionaries, as that of tasks of audio
        self.state.add_factory("dictionaries", lambda: [self.source_dictionary])
        assert len(self.state.dictionaries) == 1
        return build(self, *args, **kwargs)

    monkeypatch.setattr(LanguageModelingTask, "build_model", build_model)
    argv = [data["transformer_lm"], "--arch", "layerdrop_transformer_lm", *tiny["transformer_lm"]]
    for updates in (1, 3):
        train(*argv, "--save-dir", tmp_path, "--max-update", updates)
        state = torch.load(tmp_path / "checkpoint_last.pt")
        assert state["optimizer_history"][-1]["num_updates"] == updates
        assert len(state["task_state"]["dictionaries"][0]) == 48  # 40 words, 4 marks, and padding to a multiple of 8
    assert len(state["optimizer_history"]) == 2  # the second training went on from the first


@pytest.mark.parametrize("family", ["transformer", "transformer_lm"])
def test_what_fairseqs_reader_made_of_a_checkpoint_is_read_when_written_again(
    family, full, tmp_path, load_model, outputs
):
    from fairseq import checkpoint_utils

    path = tmp_path / "again.pt"
    state = checkpoint_utils.load_checkpoint_to_cpu(str(full[family]))
    assert isinstance(state["cfg"], DictConfig)
    torch.save(state, path)
    before = saved_options.disarm(reader.read(str(full[family])), "")  # as the reader does
    after = reader.read(str(path))
    assert after["cfg"] == before["cfg"]
    assert type(after["cfg"]) is dict
    described, expected = describe(str(path)), describe(str(full[family]))
    assert replace(described, checkpoint=expected.checkpoint, bytes=expected.bytes) == expected
    model, cfg = load_model(path, decoder_layers_to_keep="0,2")
    wanted, _ = load_model(full[family], decoder_layers_to_keep="0,2")
    assert torch.equal(outputs(model, family), outputs(wanted, family))
    assert cfg.decoder_layers == 2
    assert pruned(str(path), {"decoder": "0,2"}, stock=True)[0].cfg["model"].arch == family


def test_training_goes_on_from_a_checkpoint_written_again(data, tiny, full, train, tmp_path):
    from fairseq import checkpoint_utils

    torch.save(checkpoint_utils.load_checkpoint_to_cpu(str(full["transformer_lm"])), tmp_path / "again.pt")
    argv = [data["transformer_lm"], "--arch", "layerdrop_transformer_lm", *tiny["transformer_lm"]]
    train(*argv, "--max-update", 13, "--restore-file", tmp_path / "again.pt", "--save-dir", tmp_path)
    assert torch.load(tmp_path / "checkpoint_last.pt")["optimizer_history"][-1]["num_updates"] == 13


def test_containers_in_a_namespace_are_omegaconfs_again(save):
    """As `w2v_args` in the options of wav2vec's models."""
    inner = OmegaConf.create({"model": {"_name": "wav2vec2"}, "lr": [0.5, None], "left": "???"})
    options = argparse.Namespace(arch="wav2vec_ctc", w2v_args=inner, listed=[inner, 1])
    found = reader.read(save(cfg={"model": options}))["cfg"]["model"]
    assert isinstance(found.w2v_args, DictConfig)
    assert OmegaConf.to_container(found.w2v_args) == {"model": {"_name": "wav2vec2"}, "lr": [0.5, None], "left": "???"}
    assert found.w2v_args.model._name == "wav2vec2"
    assert found.listed[0] is found.w2v_args


def test_containers_of_an_older_omegaconf(save, tmp_path):
    containers = zlib.decompress(base64.b85decode(CONTAINERS_OF_OMEGACONF_2_0_6))[2:-1]  # without protocol and end
    save(last="here")  # where the containers, which number their parts, come into nothing's way
    with zipfile.ZipFile(tmp_path / "a.pt") as read, zipfile.ZipFile(tmp_path / "b.pt", "w") as write:
        for name in read.namelist():
            content = read.read(name).replace(b"X\x04\x00\x00\x00here", containers)
            write.writestr(name.replace("a/", "b/", 1), content)
    assert reader.read(str(tmp_path / "b.pt"))["last"] == {"task": {"_name": "translation", "lr": [0.5, None]}}


def test_lookups_among_the_options_are_carried_out(save):
    cfg = {"model": {"_name": "${task.name}", "arch": None}, "task": {"name": "transformer_lm", "_name": "x"}}
    assert reader.read(save(cfg=cfg))["cfg"]["model"] == {"_name": "transformer_lm", "arch": None}


def test_a_refusal_names_all_objects_in_the_form_of_the_variable(save, monkeypatch):
    things = {"x": [Fraction(1, 2), types.SimpleNamespace(a=1), datetime.timedelta(1)], "y": Fraction(3)}
    path = save(extra_state=things)
    for already, full in (("", ""), ("decimal.Decimal, fractions.Fraction", "decimal.Decimal,fractions.Fraction,")):
        monkeypatch.setenv(ALLOW, already)
        with pytest.raises(ValueError) as error:
            reader.read(path)
        names = ["datetime.timedelta", "fractions.Fraction", "types.SimpleNamespace"][:: 2 if already else 1]
        assert str(error.value) == (
            f"a checkpoint must hold only known objects, but {path} holds {', '.join(names)}; "
            f"if you trust the file, set {ALLOW}={full}{','.join(names)}"
        )
    monkeypatch.setenv(ALLOW, str(error.value).partition(f"{ALLOW}=")[2])
    read = reader.read(path)["extra_state"]
    assert (read["x"][0], read["x"][1].a, read["y"]) == (Fraction(1, 2), 1, Fraction(3))


def test_a_builtin_is_advised_by_its_full_name(save, monkeypatch):
    path = save(extra_state={"x": range(3)})
    with pytest.raises(ValueError) as error:
        reader.read(path)
    assert str(error.value).endswith(f"holds builtins.range; if you trust the file, set {ALLOW}=builtins.range")
    monkeypatch.setenv(ALLOW, "builtins.range")
    assert reader.read(path)["extra_state"]["x"] == range(3)


def test_what_a_program_told_torch_to_allow_is_allowed(save):
    if not reader.TORCH_TAKES_NAMES:
        pytest.skip("torch 2.6 has it")
    path = save(extra_state={"x": Fraction(1, 2)})
    with torch.serialization.safe_globals([Fraction, DictConfig]):
        assert reader.read(path)["extra_state"]["x"] == Fraction(1, 2)
        assert {Fraction, DictConfig} <= set(torch.serialization.get_safe_globals())
        again = save(cfg=OmegaConf.create({"model": {"_name": "x"}}))
        assert reader.read(again)["cfg"] == {"model": {"_name": "x"}}  # not by omegaconf's own code


@pytest.mark.skipif(not reader.TORCH_TAKES_NAMES, reason="torch before 2.6 is told nothing")
def test_stand_ins_are_not_told_to_torch():
    told = [thing[0] if isinstance(thing, tuple) else thing for thing in torch.serialization.get_safe_globals()]
    assert not any(getattr(thing, "__module__", "").startswith("layerdrop_plugin") for thing in told)


def test_a_class_is_not_changed(tmp_path):
    """By BUILD with attributes for a class, which pickle would give to all its objects."""
    content = b"\x80\x02cargparse\nNamespace\nN}X\x01\x00\x00\x00xK\x01s\x86b."
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as file:
        file.writestr("a/data.pkl", content)
        file.writestr("a/version", "3\n")
    with pytest.raises(ValueError):
        reader.read(str(tmp_path / "a.pt"))
    assert not hasattr(argparse.Namespace, "x")
    assert sys.modules["argparse"] is argparse
