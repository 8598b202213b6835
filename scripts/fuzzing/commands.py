"""Every command, as a function to call, and lines for it that work on a good checkpoint."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import pkgutil
from typing import Callable, NamedTuple

from .judging import Wanted

OURS = ("average", "describe", "export", "prune", "search", "sweep")
FAIRSEQS = ("train", "hydra-train", "generate", "interactive", "validate", "eval-lm")
LATE = (  # what commands import as they run
    *("torch._dynamo", "torch.profiler", "numpy.random", "fairseq.data.data_utils_fast", "fairseq.libbleu"),
    *("ctranslate2.converters", "safetensors.torch", "transformers.models.roberta.modeling_roberta"),
    *(
        "transformers.models.roberta.configuration_roberta",
        "sacrebleu",
        "matplotlib.pyplot",
        "matplotlib.backends.backend_agg",
    ),
)


class Line(NamedTuple):
    """A command line that works.

    Attributes:
        subject: the name of the checkpoint for which it does; see subjects.py.
        argv: options; checkpoint.pt is the file that may be damaged, good.pt the same undamaged.
        stdin: what it is given to read.
    """

    command: str
    subject: str
    argv: list[str]
    wanted: Wanted
    stdin: str = ""

    @property
    def name(self) -> str:
        return f"{self.command} of {self.subject}"


def load() -> dict[str, Callable[[], object]]:
    """Import all that any command may need, and return the commands' functions by their names."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads would not be there in a fork
    logging.disable(logging.INFO)
    import torch

    torch.set_num_threads(1)
    import layerdrop_plugin

    for name in LATE:
        with contextlib.suppress(ImportError):  # an extra that is not installed: what needs it is refused
            importlib.import_module(name)
    for module in pkgutil.walk_packages(layerdrop_plugin.__path__, "layerdrop_plugin."):
        with contextlib.suppress(ImportError):
            importlib.import_module(module.name)
    _parse_once()
    found = {f"layerdrop-{name}": _function(f"layerdrop_plugin.cli.{name}", "main") for name in OURS}
    for name in ("preprocess", *FAIRSEQS):
        found[f"fairseq-{name}"] = _function("fairseq_cli." + name.replace("-", "_"), "cli_main")
    logging.disable(logging.NOTSET)
    return found


def _parse_once() -> None:
    """Let the parser of Hydra's grammar learn, which takes a second in each process that parses options."""
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    args = options.parse_args_and_arch(options.get_training_parser(), ["data", "--arch", "transformer"])
    convert_namespace_to_omegaconf(args)


def _function(module: str, name: str) -> Callable[[], object]:
    return getattr(importlib.import_module(module), name)


def wanted(shows: str, *writes: str, may: tuple = ()) -> Wanted:
    return Wanted(shows, frozenset(writes), frozenset(may))


STACKS = {"decoder": ["--decoder", "0,2"], "encoder": ["--encoder", "every_other:2"]}
HAS = {  # which stacks each checkpoint has
    "transformer": ("encoder", "decoder"),
    "stock": ("encoder", "decoder"),
    "old": ("encoder", "decoder"),
    "lm": ("decoder",),
    "adaptive": ("decoder",),
    "learned": ("decoder",),
    "roberta": ("encoder",),
    "classifier": ("encoder",),
    "pruned": ("encoder", "decoder"),
}
TASKS = {
    **dict.fromkeys(("transformer", "stock", "old", "pruned"), "translation"),
    **dict.fromkeys(("lm", "adaptive", "learned"), "language_modeling"),
    "roberta": "masked_lm",
    "classifier": "sentence_prediction",
}


def data_of(subject: str) -> str:
    """Return the name of the folder with the data of a checkpoint."""
    return {"translation": "pairs", "sentence_prediction": "classes"}.get(TASKS[subject], "text")


def lines(training: dict[str, list[str]]) -> list[Line]:
    """Return the lines of all commands for all checkpoints that they take.

    Args:
        training: options with which each checkpoint was trained, but for those of depth and names of files.
    """
    found = []
    for subject in HAS:
        found += _files(subject) + _evaluation(subject) + _export(subject)
        if subject in training:
            found += _training(subject, training[subject])
    return found


def _files(subject: str) -> list[Line]:
    keep = [word for stack in HAS[subject] for word in (STACKS[stack] if subject != "pruned" else (f"--{stack}", "1"))]
    small, mean = wanted("parameters", "small.pt"), wanted("average", "mean.pt")
    prune = ["checkpoint.pt", "-o", "small.pt"]
    rows = [
        ("describe", ["checkpoint.pt"], wanted("parameters")),
        ("describe", ["good.pt", "checkpoint.pt", *TABLES], wanted("parameters", "d.json", "d.csv")),
        ("prune", [*prune, *keep], small),
        (
            "prune",
            [*prune, *keep[:2], "--keep-optimizer", *TABLES],
            wanted("parameters", "small.pt", "d.json", "d.csv"),
        ),
        ("prune", [*prune, "--stock", "--dtype", "float16"], small),
        ("average", ["--inputs", "checkpoint.pt", "good.pt", "--output", "mean.pt"], mean),
        ("average", ["--inputs", "good.pt", "checkpoint.pt", "--output", "mean.pt"], mean),
    ]
    return [Line(f"layerdrop-{name}", subject, argv, want) for name, argv, want in rows]


TABLES = ("--json", "d.json", "--csv", "d.csv")


def _evaluation(subject: str) -> list[Line]:
    task = TASKS[subject]
    keep = {f"{stack}_layers_to_keep": "0,2" if subject != "pruned" else "1" for stack in HAS[subject]}
    common = [data_of(subject), "--path", "checkpoint.pt", "--cpu"]
    fairseq = [*common, "--user-dir", "layerdrop_plugin", "--task", task, "--num-workers", "0"]
    search = [*common, "--keep", ",".join("1" for _ in HAS[subject])]
    sweep = ["--cpu", "--depths", "1", "--repeats", "1"]
    compare = [data_of(subject), "--path", "good.pt", "--compare", "checkpoint.pt"]
    found = [
        Line("layerdrop-search", subject, search, wanted("--model-overrides")),
        Line("layerdrop-sweep", subject, [*common, *sweep], wanted("full")),
        Line("layerdrop-sweep", subject, [*compare, *sweep], wanted("full")),
    ]
    if task == "translation":
        for more in ([], ["--model-overrides", str(keep)]):
            found += [
                Line(
                    "fairseq-generate",
                    subject,
                    [*fairseq, "--beam", "2", "--max-len-b", "9", *more],
                    wanted(r"(?m)^H-"),
                ),
                Line(
                    "fairseq-interactive",
                    subject,
                    [*fairseq, "--max-len-b", "9", *more],
                    wanted(r"(?m)^H-"),
                    "w1 w2\nw3\n",
                ),
            ]
    if task == "language_modeling":
        for more in ([], ["--model-overrides", str(keep)]):
            found.append(Line("fairseq-eval-lm", subject, [*fairseq, *more], wanted("[Pp]erplexity")))
    if task != "sentence_prediction":  # fairseq-validate asks for options that no user would know
        validate = [*fairseq, "--max-tokens", "300", "--model-overrides", str(keep)]
        found.append(Line("fairseq-validate", subject, validate, wanted("valid on")))
    return found


def _export(subject: str) -> list[Line]:
    if TASKS[subject] in ("masked_lm", "sentence_prediction"):
        argv, made = ["checkpoint.pt", "--to", "huggingface", "out", "--encoder", "0,3"], "out/config.json"
    elif subject != "adaptive":
        keep = [word for stack in HAS[subject] for word in STACKS[stack]] if subject != "pruned" else []
        argv, made = ["checkpoint.pt", "--to", "ctranslate2", "out", *keep, "--data", data_of(subject)], "out/model.bin"
    else:
        return []
    return [Line("layerdrop-export", subject, argv, wanted(r"\S", made, may=("out/",)))]


RESETS = ("--reset-optimizer", "--reset-meters", "--reset-lr-scheduler", "--reset-dataloader")


def _training(subject: str, options: list[str]) -> list[Line]:
    made = wanted("done training", "save/checkpoint_last.pt", may=("save/",))._replace(may_leave=frozenset({"save"}))
    keep = [word for stack in HAS[subject] for word in (f"--{stack}-layers-to-keep", "1,3")]
    train = [data_of(subject), "--user-dir", "layerdrop_plugin", *options, "--save-dir", "save"]
    rows = [
        [*train, "--max-update", "4", "--restore-file", "checkpoint.pt"],
        [*train, "--max-update", "2", "--finetune-from-model", "checkpoint.pt"],
        [*train, "--max-update", "4", "--restore-file", "checkpoint.pt", *keep],
        [*train, "--max-update", "2", "--restore-file", "checkpoint.pt", *RESETS, *keep],
    ]
    found = [Line("fairseq-train", subject, argv, made) for argv in rows]
    if subject == "lm":
        found += _hydra(made)
    return found


HYDRA = {
    "common.user_dir": "layerdrop_plugin",
    "common.cpu": "true",
    "task": "language_modeling",
    "task.data": "../text",
    "task.tokens_per_sample": "32",
    "criterion": "cross_entropy",
    "optimizer": "adam",
    "lr_scheduler": "fixed",
    "optimization.lr": "[0.01]",
    "optimization.max_update": "4",
    "dataset.max_tokens": "300",
    "dataset.num_workers": "0",
    "checkpoint.save_dir": "../save",
    "checkpoint.restore_file": "../checkpoint.pt",
    "checkpoint.no_epoch_checkpoints": "true",
    "hydra.run.dir": "hydra",
    "+model._name": "layerdrop_transformer_lm",
    "+model.decoder_layers": "4",
    "+model.decoder_embed_dim": "16",
    "+model.decoder_ffn_embed_dim": "24",
    "+model.decoder_attention_heads": "2",
}


def _hydra(made: Wanted) -> list[Line]:
    made = made._replace(may_write=made.may_write | {"hydra/"}, may_leave=frozenset({"hydra/", "save"}), shows=r"\S")
    argv = [f"{name}={value}" for name, value in HYDRA.items()]
    return [
        Line("fairseq-hydra-train", "lm", more, made) for more in (argv, [*argv, "+model.decoder_layers_to_keep='0,2'"])
    ]
