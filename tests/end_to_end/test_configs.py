"""configs/: each YAML is the same experiment as its recipe, and the tiny ones train."""

from __future__ import annotations

import argparse
import functools
import shlex
import sys
from pathlib import Path

import pytest
import torch
from fairseq.models import ARCH_MODEL_REGISTRY

from layerdrop_plugin.fairseq_adapter.modeling.architectures import known_names
from layerdrop_plugin.state_dict import depths

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
sys.path.insert(0, str(ROOT / "scripts" / "benchmarks"))
import full_size  # noqa: E402

# The recipe, its settings, which of the stage's training commands, and the parameters of the model.
RECIPES = {
    "wmt16_en_de": ("wmt16_en_de", {}, 0, 209_911_808),
    "wmt16_en_de_12_6": ("wmt16_en_de", {"ENCODER_LAYERS": "12"}, 0, 285_489_152),
    "wikitext103": ("wikitext103", {}, 0, 246_933_504),
    "wikitext103_40": ("wikitext103", {"LAYERS": "40", "FFN": "2560"}, 0, 423_352_320),
    "roberta_base": ("roberta", {}, 0, 124_696_665),
    "roberta_large": ("roberta", {"SIZE": "large"}, 0, 355_411_033),
    "roberta_48": ("roberta", {"SIZE": "large", "LAYERS": "48", "RATE": "0.5"}, 0, 657_720_409),
    "glue_mnli": ("roberta", {"STAGE": "finetune", "TASKS": "MNLI", "KEEP": "every_other:6"}, 1, 82_762_332),
    "cnn_dm": ("cnn_dm", {}, 0, 60_526_592),
    "cnn_dm_6_8": ("cnn_dm", {"DECODER_LAYERS": "8"}, 0, 68_934_656),
    "eli5": ("eli5", {}, 0, 209_137_664),
}
ELSEWHERE = {"task.data", "checkpoint.save_dir", "checkpoint.finetune_from_model"}
"""Where data and checkpoints lie: a recipe writes below its own OUT."""

each_recipe = pytest.mark.parametrize("name", RECIPES)


@pytest.fixture(scope="module")
def from_recipe(recipe, configure):
    """A function from a YAML's name to the configuration of the recipe's training command."""

    @functools.cache
    def read(name):
        script, settings, index, _ = RECIPES[name]
        full = {"TINY": "", "DRY_RUN": "1", "GPUS": "8", "STAGE": "train"}
        printed = recipe(script, "/nowhere", **{**full, **settings}).stdout
        commands = [line for line in printed.splitlines() if line.startswith("fairseq-train ")]
        return configure(*shlex.split(commands[index])[1:])

    return read


@functools.cache
def from_yaml(name):
    model = ["checkpoint.finetune_from_model=none"] if name == "glue_mnli" else []
    return full_size.compose(name, "task.data=none", *model)


def settings_of(cfg):
    """Return what training is told by full names: all but the model, and scoring, which no training asks."""
    return {
        f"{group}.{name}": value
        for group, options in cfg.items()
        if group not in ("model", "scoring") and hasattr(options, "items")
        for name, value in options.items()
    }


def differences(ours, theirs):
    return {
        name: (ours.get(name), theirs.get(name))
        for name in sorted({*ours, *theirs} - ELSEWHERE)
        if ours.get(name) != theirs.get(name)
    }


@each_recipe
def test_yaml_and_recipe_train_in_the_same_way(from_recipe, name):
    assert differences(settings_of(from_yaml(name)), settings_of(from_recipe(name))) == {}


@pytest.mark.skipif(not hasattr(torch, "get_default_device"), reason="builds without memory, by torch 2")
@each_recipe
def test_yaml_and_recipe_build_the_same_model(from_recipe, name, monkeypatch):
    monkeypatch.setattr("fairseq.models.roberta.model.init_bert_params", lambda module: None)  # copies, has no memory
    ours, theirs = from_yaml(name), from_recipe(name)
    task = full_size.make_task(ours.task, full_size.MODELS.get(name, (50265,))[0])
    with torch.device("meta"):
        models = [task.build_model(cfg.model) for cfg in (ours, theirs)]
    shapes = [{name: tuple(p.shape) for name, p in model.named_parameters()} for model in models]
    assert shapes[0] == shapes[1]
    assert modules_of(models[0]) == modules_of(models[1])
    assert sum(p.numel() for p in models[0].parameters()) == RECIPES[name][3]

    assert differences(*(options_of(model, ours.model._name) for model in models)) == {}


def options_of(model, arch):
    """Return the options that a model was built with; one that a YAML leaves out has the command line's default."""
    parser = argparse.ArgumentParser()
    ARCH_MODEL_REGISTRY[arch].add_args(parser)
    given = vars(model.args if hasattr(model, "args") else model.decoder.args)
    return {name: given.get(name, parser.get_default(name)) or None for name in known_names(arch) - {"arch"}}


def modules_of(model):
    """Return the class and the plain attributes of each module: rates, numbers of heads, switches."""
    return {
        name: (type(module).__name__, {k: v for k, v in vars(module).items() if k[0] != "_" and is_plain(v)})
        for name, module in model.named_modules()
    }


def is_plain(value):
    return isinstance(value, (int, float, str))


YAMLS = sorted(CONFIGS.rglob("*.yaml"), key=str)


def commands_of(path):
    """Return the arguments of each command for fairseq-hydra-train in a YAML's header."""
    header = "".join(line[1:] for line in path.read_text().split("\n\n")[0].splitlines(keepends=True))
    lines = header.replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.strip().startswith("fairseq-hydra-train ")]


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_the_header_says_purpose_prerequisites_and_commands_that_hydra_understands(path):
    text = path.read_text()
    assert text.startswith("# Config for ")
    assert "\n# Purpose: " in text
    assert "\n# Prerequisites: " in text
    assert max(map(len, text.splitlines())) <= 120

    launch, changed = commands_of(path)
    folder = str(path.parent.relative_to(ROOT))
    assert launch[:6] == ["fairseq-hydra-train", "--config-dir", folder, "--config-name", path.stem, launch[5]]
    assert launch[5].startswith("task.data=")
    assert changed[:5] == launch[:5]
    cfg = full_size.compose(path.stem, *changed[5:], folder=path.parent)
    assert cfg.common.user_dir == "layerdrop_plugin"
    assert full_size.compose(path.stem, *launch[5:], folder=path.parent) != cfg, "the example changes something"


@pytest.fixture(scope="module")
def glue(text, tmp_path_factory, data):
    """A made-up task in the form of GLUE's: two sentences and one of three labels."""
    folder, raw = tmp_path_factory.mktemp("glue"), tmp_path_factory.mktemp("raw")
    for split in ("train", "valid"):
        sentences = (text / f"{split}.en").read_text().splitlines(keepends=True)
        (raw / f"{split}.label").write_text("".join(f"label{len(line) % 3}\n" for line in sentences))
        for part in ("input0", "input1"):
            (raw / f"{split}.{part}").write_text("".join(sentences))
    for part in ("input0", "input1", "label"):
        arguments = [
            "--only-source",
            "--trainpref",
            raw / "train",
            "--validpref",
            raw / "valid",
            "--destdir",
            folder / part,
        ]
        arguments = [f"{word}.{part}" if str(word).startswith(str(raw)) else word for word in arguments]
        dictionary = ["--srcdict", data["roberta"] / "dict.txt"] if part != "label" else []
        preprocess(*arguments, *dictionary)
    return folder


def preprocess(*argv):
    from fairseq import options
    from fairseq_cli import preprocess as command

    command.main(options.get_preprocessing_parser().parse_args([str(word) for word in argv]))


@pytest.fixture(scope="module")
def trained(command, data, glue, tmp_path_factory):
    """The checkpoints that the launch commands of configs/tiny leave, by the YAML's name."""
    folder = tmp_path_factory.mktemp("tiny")
    places = {"translation": data["transformer"], "language_model": data["transformer_lm"], "roberta": data["roberta"]}
    for name, place in {**places, "finetune": glue}.items():
        launch, _ = commands_of(CONFIGS / "tiny" / f"{name}.yaml")
        launch[2], launch[5] = CONFIGS / "tiny", f"task.data={place}"
        command(*launch, "optimization.max_update=3", cwd=folder)
    assert [path.name for path in folder.iterdir()] == ["results"]  # no log where the command runs
    return {name: torch.load(folder / f"results/tiny-yaml/{name}/checkpoint_last.pt") for name in [*places, "finetune"]}


def test_the_tiny_yamls_train(trained):
    assert [path.stem for path in YAMLS if path.parent.name == "tiny"] == sorted(trained)
    for state in trained.values():
        assert state["optimizer_history"][-1]["num_updates"] == 3
        assert state["cfg"]["common"]["user_dir"] == "layerdrop_plugin"
    layers = {name: depths(state["model"]) for name, state in trained.items()}
    assert layers == {
        "translation": {"encoder": 4, "decoder": 4},
        "language_model": {"decoder": 4},
        "roberta": {"encoder": 4},
        "finetune": {"encoder": 2},
    }


def test_the_finetuned_model_is_the_pretrained_one_pruned(trained):
    assert trained["finetune"]["layerdrop"]["encoder"]["kept"] == [0, 2]
