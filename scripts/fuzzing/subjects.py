"""Tiny data and a checkpoint of each kind, trained for two updates by fairseq's own commands."""

from __future__ import annotations

import argparse
import random
import shutil
from pathlib import Path
from typing import Any, Callable, NamedTuple

from .commands import data_of
from .forking import Outcome, run

SENTENCES = {"train": 60, "valid": 8, "test": 8}
ENCODER = ["--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "24", "--encoder-attention-heads", "2"]
DECODER = ["--decoder-embed-dim", "16", "--decoder-ffn-embed-dim", "24", "--decoder-attention-heads", "2"]
LENGTH = ["--tokens-per-sample", "32"]
LM = ["--task", "language_modeling", *LENGTH, "--decoder-layers", "4", *DECODER]
BERT = ["--encoder-layers", "4", *ENCODER, "--encoder-layerdrop", "0.3"]
TRANSLATION = [
    *("--task", "translation", "--share-all-embeddings", "--criterion", "label_smoothed_cross_entropy"),
    *("--encoder-layers", "4", *ENCODER, "--decoder-layers", "4", *DECODER),
]
DROP = ["--encoder-layerdrop", "0.3", "--decoder-layerdrop", "0.3"]
CLASSES = ["--criterion", "sentence_prediction", "--num-classes", "2", "--init-token", "0", "--max-positions", "32"]
ADAPTIVE = ["--criterion", "adaptive_loss", "--adaptive-softmax-cutoff", "10,20", "--ddp-backend", "legacy_ddp"]
OUR_LM = ["--arch", "layerdrop_transformer_lm", *LM]
TRAINING = {
    "transformer": ["--arch", "layerdrop_transformer", *TRANSLATION, *DROP],
    "stock": ["--arch", "transformer", *TRANSLATION],
    "lm": [*OUR_LM, "--decoder-layerdrop", "0.3"],
    "learned": [*OUR_LM, "--decoder-layerdrop", "0.3", "--decoder-layerdrop-learned"],
    "adaptive": [*OUR_LM, *ADAPTIVE],
    "roberta": ["--arch", "layerdrop_roberta", *BERT, "--task", "masked_lm", "--criterion", "masked_lm", *LENGTH],
    "classifier": ["--arch", "layerdrop_roberta", *BERT, "--task", "sentence_prediction", *CLASSES],
}
"""Options by the checkpoint's name; all the others are made from these."""

ALWAYS = [
    *("--optimizer", "adam", "--lr", "0.01", "--max-tokens", "300", "--cpu", "--seed", "1", "--no-progress-bar"),
    *("--log-interval", "1", "--num-workers", "0", "--no-epoch-checkpoints", "--data-buffer-size", "0"),
]


class Subject(NamedTuple):
    """A good checkpoint.

    Attributes:
        state: its content; not to be changed.
    """

    path: str
    data: str
    state: dict[str, Any]


def make(folder: Path, commands: dict[str, Callable[[], object]]) -> dict[str, Subject]:
    """Write data and checkpoints into `folder`, and return the checkpoints by name; the same ones each time."""

    def command(name: str, *argv: object) -> None:
        outcome: Outcome = run(commands[name], [name, *map(str, argv)], str(folder))
        if outcome.status != 0:
            raise RuntimeError(f"{name} {' '.join(map(str, argv))}: {outcome.out[-2000:]}{outcome.err[-4000:]}")

    _data(folder, command)
    for name, options in TRAINING.items():
        where = ["--user-dir", "layerdrop_plugin", "--max-update", "2", "--save-dir", f"save_{name}"]
        command("fairseq-train", data_of(name), *options, *ALWAYS, *where)
        _settle(folder / f"save_{name}" / "checkpoint_last.pt", folder / f"{name}.pt")
    both = ["--encoder", "0,3", "--decoder", "1,2"]
    command("layerdrop-prune", "transformer.pt", "-o", "pruned.pt", *both, "--keep-optimizer")
    _old(folder)
    return {name: _subject(folder / f"{name}.pt", folder / data_of(name)) for name in (*TRAINING, "pruned", "old")}


def _settle(source: Path, target: Path) -> None:
    """Move a checkpoint, what differs from run to run replaced: times, and memory that fairseq never sets."""
    import torch

    state = torch.load(source, weights_only=False)  # made here
    state["extra_state"] = _timeless(state["extra_state"])
    for name, value in state["model"].items():
        if name.endswith("_float_tensor"):
            value.zero_()
    torch.save(state, target)
    shutil.rmtree(source.parent)


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return type(value)((key, _timeless(inner)) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(map(_timeless, value))
    return 0.5 if isinstance(value, float) else value


def _subject(path: Path, data: Path) -> Subject:
    import torch

    return Subject(str(path), str(data), torch.load(path, weights_only=False))


def _data(folder: Path, command: Callable[..., None]) -> None:
    """Write sentences of 40 words, in reverse in the other language, in two classes; binarize them."""
    generator = random.Random(1)
    for split, count in SENTENCES.items():
        source = [[f"w{generator.randrange(40)}" for _ in range(generator.randint(3, 8))] for _ in range(count)]
        target = [[word.replace("w", "v") for word in reversed(sentence)] for sentence in source]
        for end, side in (("en", source), ("de", target)):
            (folder / f"{split}.{end}").write_text("".join(" ".join(words) + "\n" for words in side))
        (folder / f"{split}.label").write_text("".join(f"{len(words) % 2}\n" for words in source))

    def binarize(end: str, to: str, *options: object) -> None:
        files = [word for split in SENTENCES for word in (f"--{split}pref", f"{split}{end}")]
        command("fairseq-preprocess", *files, "--destdir", to, *options)

    binarize("", "pairs", "--source-lang", "en", "--target-lang", "de", "--joined-dictionary")
    binarize(".en", "text", "--only-source")
    binarize(".en", "classes/input0", "--only-source", "--srcdict", "text/dict.txt")
    binarize(".label", "classes/label", "--only-source")


def _old(folder: Path) -> None:
    """Write a checkpoint of before fairseq 0.10: all options in one `args`."""
    import torch

    state = torch.load(folder / "transformer.pt", weights_only=False)
    cfg = state["cfg"]
    options: dict[str, Any] = {}
    groups = {
        name: group if isinstance(group, dict) else vars(group or argparse.Namespace()) for name, group in cfg.items()
    }
    for group in groups.values():
        options.update({name: value for name, value in group.items() if name[0] != "_"})
    names = {group: groups[group]["_name"] for group in ("task", "criterion", "optimizer", "lr_scheduler")}
    options.update(names, arch="layerdrop_transformer")
    state.update(cfg=None, args=argparse.Namespace(**options))
    torch.save(state, folder / "old.pt")


def training_options() -> dict[str, list[str]]:
    """Return the options with which each was trained, but for what names files."""
    return {name: [*options, *ALWAYS] for name, options in TRAINING.items()}
