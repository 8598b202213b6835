"""Tiny data and tiny models of each family, made once for all of pytest's workers."""

from __future__ import annotations

import fcntl
import inspect
import os
import random
import shutil
from collections.abc import Mapping

import pytest

SENTENCES = {"train": 240, "valid": 24, "test": 24}

TINY = {
    "transformer": [
        *("--task", "translation", "--share-all-embeddings", "--criterion", "label_smoothed_cross_entropy"),
        *("--encoder-layers", "4", "--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "24"),
        *("--decoder-layers", "4", "--decoder-ffn-embed-dim", "24"),
        *("--encoder-attention-heads", "2", "--decoder-attention-heads", "2"),
        *("--encoder-layerdrop", "0.3", "--decoder-layerdrop", "0.3"),
    ],
    "transformer_lm": [
        *("--task", "language_modeling", "--tokens-per-sample", "32"),
        *("--decoder-layers", "4", "--decoder-embed-dim", "16", "--decoder-ffn-embed-dim", "24"),
        *("--decoder-attention-heads", "2", "--decoder-layerdrop", "0.3"),
    ],
    "roberta": [
        *("--task", "masked_lm", "--criterion", "masked_lm", "--tokens-per-sample", "32"),
        *("--encoder-layers", "4", "--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "24"),
        *("--encoder-attention-heads", "2", "--encoder-layerdrop", "0.3"),
    ],
}
"""Options of a tiny model of each family with four layers per stack; `--arch` is left out."""

TRAINING = [
    *("--optimizer", "adam", "--lr", "0.01", "--max-tokens", "300", "--cpu", "--seed", "1"),
    *("--no-progress-bar", "--log-interval", "1", "--num-workers", "0", "--no-epoch-checkpoints"),
]


@pytest.fixture(scope="session")
def tiny():
    """Options of a tiny model and of its training, by family."""
    from fairseq.data import data_utils

    # fairseq-fixed leaves out a last batch that is no multiple of 8, which may be all that there is
    whole = "b[:-1]" in inspect.getsource(data_utils.batch_by_size)
    more = ["--required-batch-size-multiple", "1"] if whole else []
    return {family: [*options, *TRAINING, *more] for family, options in TINY.items()}


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    """A folder with a made-up translation task of 40 words: each sentence reversed, each w a v."""
    folder = tmp_path_factory.mktemp("text")
    generator = random.Random(1)
    for split, count in SENTENCES.items():
        source = [[f"w{generator.randrange(40)}" for _ in range(generator.randint(3, 8))] for _ in range(count)]
        target = [[word.replace("w", "v") for word in reversed(sentence)] for sentence in source]
        for language, side in (("en", source), ("de", target)):
            (folder / f"{split}.{language}").write_text("".join(" ".join(words) + "\n" for words in side))
    return folder


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """A folder that all of pytest's workers share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def made_once(shared_folder):
    """A function that returns the folder NAME, which `make(folder)` fills, once for all of pytest's workers."""
    made = shared_folder / "made_once"
    made.mkdir(exist_ok=True)

    def folder_with(name, make):
        folder, done = made / name, made / f"{name}.done"
        with open(made / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return folder_with


class PerFamily(Mapping):
    """Something for each family, which is made when it is asked for first."""

    def __init__(self, make):
        self.make, self.made = make, {}

    def __getitem__(self, family):
        if family in TINY and family not in self.made:
            self.made[family] = self.make(family)
        return self.made[family]

    def __iter__(self):
        return iter(TINY)

    def __len__(self):
        return len(TINY)


@pytest.fixture(scope="session")
def data(text, made_once):
    """Binarized data of each family: folders by the family's name."""

    def pairs(folder):
        prefixes = [word for split in SENTENCES for word in (f"--{split}pref", text / split)]
        languages = ("--source-lang", "en", "--target-lang", "de", "--joined-dictionary")
        preprocess(*languages, *prefixes, "--destdir", folder)

    def sentences(folder):
        prefixes = [word for split in SENTENCES for word in (f"--{split}pref", text / f"{split}.en")]
        preprocess("--only-source", *prefixes, "--destdir", folder)

    return PerFamily(lambda family: made_once(f"data_{family}", pairs if family == "transformer" else sentences))


def preprocess(*argv):
    from fairseq import options
    from fairseq_cli import preprocess as command

    command.main(options.get_preprocessing_parser().parse_args([str(word) for word in argv]))


@pytest.fixture(scope="session")
def full(tiny, data, train, made_once):
    """A checkpoint of each family, four layers per stack, after 12 updates with LayerDrop."""

    def trained(family):
        options = ["--arch", f"layerdrop_{family}", *tiny[family], "--max-update", 12, "--save-dir"]

        def make(folder):
            train(data[family], *options, folder)
            fill(folder / "checkpoint_last.pt")

        return made_once(f"full_{family}", make) / "checkpoint_last.pt"

    return PerFamily(trained)


def fill(path):
    """Set what fairseq never sets, which may be NaN by chance, unequal to itself."""
    import torch

    state = torch.load(path, weights_only=False)
    for name, value in state["model"].items():
        if name.endswith("_float_tensor"):
            value.zero_()
    torch.save(state, path)


@pytest.fixture(scope="session")
def classifier(tiny, data, text, full, train, made_once):
    """Data of a task with two classes of sentences, and the RoBERTa of `full` after 6 updates on it."""

    def classes(folder):
        for split in SENTENCES:
            sentences = (text / f"{split}.en").read_text().splitlines()
            (folder / f"{split}.label").write_text("".join(f"{len(words.split()) % 2}\n" for words in sentences))
        for name, paths, options in (
            ("input0", [text / f"{split}.en" for split in SENTENCES], ["--srcdict", data["roberta"] / "dict.txt"]),
            ("label", [folder / f"{split}.label" for split in SENTENCES], []),
        ):
            prefixes = [word for split, path in zip(SENTENCES, paths) for word in (f"--{split}pref", path)]
            preprocess("--only-source", *options, *prefixes, "--destdir", folder / name)

    model = tiny["roberta"][tiny["roberta"].index("--encoder-layers") :]
    task = ["--task", "sentence_prediction", "--criterion", "sentence_prediction", "--num-classes", 2]
    task += ["--init-token", 0, "--max-positions", 32, "--finetune-from-model", full["roberta"]]
    argv = [made_once("data_classifier", classes), "--arch", "layerdrop_roberta", *task, *model]
    saved = made_once("classifier", lambda folder: train(*argv, "--max-update", 6, "--save-dir", folder))
    return argv[0], saved / "checkpoint_last.pt"


@pytest.fixture(scope="session")
def stock_full(stock, tiny, data, made_once):
    """A checkpoint that stock fairseq trained, without LayerDrop, of the shape of `full["transformer"]`."""
    argv = ["fairseq-train", data["transformer"], "--arch", "transformer", *tiny["transformer"]]
    argv += ["--encoder-layerdrop", 0, "--decoder-layerdrop", 0, "--max-update", 5]
    argv += ["--data-buffer-size", 0]  # stock's thread that reads ahead may abort the process as it ends
    code = "from fairseq_cli.train import cli_main\nsys.argv = sys.argv[1:]\ncli_main()"
    return made_once("stock_full", lambda folder: stock(code, *argv, "--save-dir", folder)) / "checkpoint_last.pt"


@pytest.fixture(scope="session")
def cut():
    """A function that writes a checkpoint from which layers were removed by hand."""
    import torch

    def write(source, target, kept):
        state = torch.load(source)
        weights = {}
        for name, value in state["model"].items():
            for stack, layers in kept.items():
                for i in range(4):
                    if name.startswith((f"{stack}.layers.{i}.", f"{stack}.sentence_encoder.layers.{i}.")):
                        new = layers.index(i) if i in layers else None
                        name = name.replace(f"layers.{i}.", f"layers.{new}.", 1)
            if "layers.None." not in name:
                weights[name] = value
        state["model"] = weights
        for stack, layers in kept.items():
            setattr(state["cfg"]["model"], f"{stack}_layers", len(layers))
        torch.save(state, target)
        return target

    return write
