"""What a checkpoint's configuration names is not written and not imported; a user's own options are."""

from __future__ import annotations

import copy
import shutil
from argparse import Namespace
from dataclasses import fields, is_dataclass

import pytest
import torch
from fairseq import checkpoint_utils, file_utils, options
from fairseq.data.encoders import gpt2_bpe
from fairseq.dataclass.configs import FairseqConfig
from fairseq.models.transformer import TransformerModel
from fairseq_cli import validate
from omegaconf import OmegaConf

from layerdrop_plugin.cli.search import main as search
from layerdrop_plugin.fairseq_adapter.reading.saved_options import NOT_TAKEN, disarm

GPT2 = "https://dl.fbaipublicfiles.com/fairseq/gpt2_bpe/"
LOGGING = {"version": 1, "disable_existing_loggers": False}


def test_what_takes_the_place_of_an_option_is_fairseqs_default():
    parts = [part.default for part in fields(FairseqConfig) if is_dataclass(part.default)]
    known = {field.name: field.default for part in parts for field in fields(part)}
    assert {name: known[name] for name in NOT_TAKEN if name in known} == {
        "tensorboard_logdir": None,
        "log_file": None,
        "save_dir": "checkpoints",
        "results_path": None,
        "distributed_init_method": None,
        "use_plasma_view": False,
        "plasma_path": "/tmp/plasma",
        "aim_repo": None,
        "aim_run_hash": None,
        "wandb_project": None,
        "azureml_logging": False,
        "user_dir": None,
    }
    assert set(NOT_TAKEN) - set(known) == {"save_predictions", "job_logging_cfg"}


def in_a_circle(**entries):
    entries["again"] = [entries]
    return entries


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Namespace(save_predictions="x", data="d"), Namespace(save_predictions=None, data="d")),
        (Namespace(arch="a", data=["d"]), Namespace(arch="a", data=["d"])),
        ({"common": {"log_file": "x", "seed": 1}}, {"common": {"log_file": None, "seed": 1}}),
        ({"criterion": Namespace(save_predictions="x")}, {"criterion": Namespace(save_predictions=None)}),
        (
            {"model": {"w2v_args": Namespace(task={"tensorboard_logdir": "x"}), "w2v_path": "y"}},
            {"model": {"w2v_args": Namespace(task={"tensorboard_logdir": None}), "w2v_path": "y"}},
        ),
        ({"x": [({"user_dir": "x"},)]}, {"x": [({"user_dir": None},)]}),
        ({"x": ((OmegaConf.create({"user_dir": "x"}),),)}, {"x": [[{"user_dir": None}]]}),
        (OmegaConf.create({"common": {"plasma_path": "x", "lr": "${a.lr}"}}),
         {"common": {"plasma_path": "/tmp/plasma", "lr": "${a.lr}"}}),
        ({"bpe": {"_name": "gpt2", "gpt2_vocab_bpe": "http://x/y"}}, {"bpe": {"_name": "gpt2"}}),
        (Namespace(bpe_codes="s3://x/y", bpe_vocab="x/y"), Namespace(bpe_vocab="x/y")),
        ({"bpe": {"gpt2_vocab_bpe": GPT2 + "vocab.bpe"}}, {"bpe": {"gpt2_vocab_bpe": GPT2 + "vocab.bpe"}}),
        ({"job_logging_cfg": {"()": "os.system"}}, {"job_logging_cfg": LOGGING}),
        (None, None),
    ],
)  # fmt: skip
def test_options_are_changed_wherever_they_are(before, after):
    for name in ("args", "cfg"):
        assert disarm({name: copy.deepcopy(before), "save_dir": 1}, "model.pt") == {name: after, "save_dir": 1}


def test_containers_in_a_namespace_stay_containers():
    inner = OmegaConf.create({"task": {"tensorboard_logdir": "x", "lr": [0.5]}})
    options = disarm({"cfg": {"model": Namespace(w2v_args=inner)}}, "model.pt")["cfg"]["model"]
    assert options.w2v_args.task.lr[0] == 0.5
    assert options.w2v_args.task.tensorboard_logdir is None


def test_references_in_a_circle_are_followed_once():
    cfg = disarm({"cfg": in_a_circle(user_dir="x")}, "model.pt")["cfg"]
    assert cfg["user_dir"] is None
    assert cfg["again"][0] is cfg


@pytest.mark.parametrize(
    "text",
    [
        "${oc.create:{save_predictions:x}}",
        "${ oc.decode:'{save_predictions: x}'}",
        "a ${oc . create:${x}}",
        "${oc.${made_up}:{a:b}}",
    ],
)
def test_text_that_becomes_options_is_refused(text):
    with pytest.raises(ValueError) as error:
        disarm({"cfg": {"criterion": text}}, "model.pt")
    assert (
        str(error.value) == f"`criterion` in a checkpoint must be a plain value, but in model.pt is {text!r} instead."
    )


def test_options_as_text_are_refused():
    with pytest.raises(ValueError) as error:
        disarm({"args": None, "cfg": "user_dir: x"}, "model.pt")
    assert str(error.value) == "`cfg` in a checkpoint must hold options, but in model.pt is 'user_dir: x' instead."


@pytest.fixture
def precious(tmp_path):
    """A file of the user's."""
    path = tmp_path / "precious.txt"
    path.write_text("years of work\n")
    return path


@pytest.fixture(params=["cfg", "args"])
def hostile(request, full, precious, tmp_path):
    """A RoBERTa's checkpoint whose criterion would write to the user's file."""
    state = torch.load(full["roberta"])
    criterion = {"save_predictions": str(precious), "ranking_head_name": "head", "num_classes": 2}
    if request.param == "cfg":
        state["cfg"]["criterion"] = {"_name": "sentence_ranking", **criterion}
    else:
        options = vars(state["cfg"]["model"])  # from the command line: those of all parts
        state["cfg"], state["args"] = None, Namespace(**{**options, **criterion, "criterion": "sentence_ranking"})
    torch.save(state, tmp_path / "model.pt")
    return str(tmp_path / "model.pt")


def run_validate(*argv):
    words = [str(word) for word in (*argv, "--task", "masked_lm", "--batch-size", 8, "--cpu", "--num-workers", 0)]
    complete, given = (
        options.parse_args_and_arch(options.get_validation_parser(), words, suppress_defaults=suppress)
        for suppress in (False, True)
    )
    with pytest.raises(AssertionError, match="model must provide sentence ranking head"):  # the criterion was built
        validate.main(complete, given)


@pytest.mark.slow
def test_fairseq_validate_leaves_the_users_file_alone(hostile, precious, data):
    run_validate(data["roberta"], "--path", hostile)
    assert precious.read_text() == "years of work\n"


@pytest.mark.slow
def test_layerdrop_search_leaves_the_users_file_alone(hostile, precious, data, capsys):
    with pytest.raises(SystemExit):
        search([str(data["roberta"]), "--path", hostile, "--keep", "2", "--cpu"])
    assert "model must provide sentence ranking head" in capsys.readouterr().err
    assert precious.read_text() == "years of work\n"


@pytest.mark.slow
def test_the_users_own_choice_is_taken(hostile, precious, data, tmp_path):
    own = tmp_path / "own.txt"
    run_validate(data["roberta"], "--path", hostile, "--model-overrides", {"save_predictions": str(own)})
    assert (own.read_text(), precious.read_text()) == ("", "years of work\n")


@pytest.mark.slow
def test_a_caller_of_fairseqs_function_gets_no_names_either_but_its_own(full, tmp_path):
    path = shutil.copy(full["transformer"], str(tmp_path / "model.pt"))
    cfg = checkpoint_utils.load_checkpoint_to_cpu(path)["cfg"]
    assert torch.load(path)["cfg"]["checkpoint"]["save_dir"] == str(full["transformer"].parent)
    assert (cfg.checkpoint.save_dir, cfg.common.user_dir) == ("checkpoints", None)
    assert cfg.task.data == torch.load(path)["cfg"]["task"]["data"]
    cfg = checkpoint_utils.load_checkpoint_to_cpu(path, {"save_dir": "mine"})["cfg"]
    assert cfg.checkpoint.save_dir == "mine"


@pytest.mark.slow
def test_an_address_in_a_file_is_not_fetched(full, data, tmp_path, monkeypatch, caplog):
    state = torch.load(full["transformer"], weights_only=False)
    state["cfg"]["bpe"] = {"_name": "gpt2", "gpt2_encoder_json": "http://stranger/a", "gpt2_vocab_bpe": GPT2 + "b"}
    torch.save(state, tmp_path / "model.pt")
    asked = []
    monkeypatch.setattr(file_utils, "get_from_cache", lambda url, folder: asked.append(url))
    monkeypatch.setattr(gpt2_bpe, "get_encoder", lambda *paths: None)
    TransformerModel.from_pretrained(str(tmp_path), "model.pt", str(data["transformer"]))
    assert asked == [GPT2 + "encoder.json", GPT2 + "b"]
    path = tmp_path / "model.pt"
    assert f"`gpt2_encoder_json` in {path} is not taken, as it is an address: 'http://stranger/a'" in caplog.text
