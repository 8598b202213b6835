"""Tiny data and tiny models, made once for all workers."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import gc
import inspect
import logging
import os
import random
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from shared.processes import (  # noqa: F401  fixtures
    command,
    fork_server,
    path,
    programs_folder,
    recipe,
    stock,
    torchrun,
)

ROOT = Path(__file__).parents[1]

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

LONGEST = ("restart", "ddp", "demo", "recipe_roberta", "learning", "search_interrupted", "structured_dropout")
"""End-to-end tests that take longest."""

TRAINING = [
    *("--optimizer", "adam", "--lr", "0.01", "--max-tokens", "300", "--cpu", "--seed", "1"),
    *("--no-progress-bar", "--log-interval", "1", "--num-workers", "0", "--no-epoch-checkpoints"),
]


def pytest_configure():
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    """Let several workers begin with what takes longest."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        paths = [ROOT / "tests" / "end_to_end" / f"test_{name}.py" for name in LONGEST]
        items.sort(key=lambda item: paths.index(item.path) if item.path in paths else len(paths))


def pytest_collection_finish():
    """Spare all tests what would be done again and again."""
    if "hydra" in sys.modules:
        from fork_server import configurations, overrides

        overrides.remember()
        configurations.remember()
    gc.collect()
    gc.freeze()  # else each full collection goes through all that was imported


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `--dist loadgroup`, share out test by test, but in one piece each file whose tests share a fixture."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByFixture(LoadScopeScheduling):
        @functools.cache  # noqa: B019  there is one
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            text = (config.rootpath / file).read_text(encoding="utf-8")
            for module in re.findall(r"^from shared\.(\w+) import", text, re.MULTILINE):
                text += (ROOT / "tests" / "shared" / f"{module}.py").read_text(encoding="utf-8")
            return file if 'scope="module"' in text else nodeid

    config.option.loadscopereorder = False  # else files with many tests would come first
    return ByFixture(config, log)


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
def configure():
    """A function from fairseq-train's arguments to its configuration."""
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    import layerdrop_plugin  # noqa: F401  registers

    def parse(*argv):
        with command_line("pytest"):
            parser = options.get_training_parser()
            return convert_namespace_to_omegaconf(
                options.parse_args_and_arch(parser, input_args=[str(word) for word in argv])
            )

    return parse


@contextlib.contextmanager
def command_line(*argv):
    """Let fairseq's parsers, which look at the command line for --user-dir, see this one."""
    before, sys.argv = sys.argv, [str(word) for word in argv]
    try:
        yield
    finally:
        sys.argv = before


@pytest.fixture(scope="session")
def train(configure):
    """A function that trains in this process, by fairseq-train's arguments."""
    from fairseq import checkpoint_utils
    from fairseq_cli import train as command

    def run(*argv):
        with contextlib.suppress(AttributeError):
            del checkpoint_utils.save_checkpoint.best  # of the training before
        command.main(configure(*argv))

    return run


@pytest.fixture(scope="session")
def make_trainer(configure):
    """A function from fairseq-train's arguments to a `Trainer` with everything that it works with."""
    from fairseq import tasks
    from fairseq.trainer import Trainer

    def make(*argv):
        cfg = configure(*argv)
        task = tasks.setup_task(cfg.task)
        return Trainer(cfg, task, task.build_model(cfg.model), task.build_criterion(cfg.criterion))

    return make


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
def load_model():
    """A function from a checkpoint to its model, ready to be evaluated, and the model's configuration."""
    from fairseq import checkpoint_utils

    def load(path, **overrides):
        models, cfg, _ = checkpoint_utils.load_model_ensemble_and_task([str(path)], arg_overrides=overrides)
        return models[0].eval(), cfg.model

    return load


@pytest.fixture(scope="session")
def tokens():
    """Two sentences for a model of any family."""
    import torch

    return torch.tensor([[5, 6, 7, 8, 2], [9, 10, 11, 2, 1]])  # the second is padded


@pytest.fixture(scope="session")
def outputs(tokens):
    """A function from a model of a family to its logits for `tokens`, which for a translation are the target too."""
    import torch

    def run(model, family):
        with torch.no_grad():
            return model(tokens, None, tokens)[0] if family == "transformer" else model(tokens)[0]

    return run


@pytest.fixture
def error_of(capsys):
    """A function that calls the `main` of one of our commands, and returns its one line as it ends with status 2."""

    def run(main, *argv):
        with pytest.raises(SystemExit) as end:
            main(argv)
        written = capsys.readouterr()
        assert (end.value.code, written.out) == (2, "")
        (line,) = written.err.splitlines()
        start = f"layerdrop-{main.__module__.rpartition('.')[2]}: error: "
        assert line.startswith(start)
        return line[len(start) :]

    return run


@pytest.fixture(scope="session")
def in_fairseq_train():
    """A function that calls a function with arguments as fairseq-train would."""
    names = {}
    source = "def cli_main(call, *args, **kwargs):\n    return call(*args, **kwargs)"
    exec(compile(source, "/any/fairseq_cli/train.py", "exec"), names)
    return names["cli_main"]


@pytest.fixture(autouse=True)
def fairseq_logs():
    """Our commands, run in this process, tell fairseq to log no more than warnings; the next test may want more."""
    yield
    logging.getLogger("fairseq").setLevel(logging.NOTSET)


@pytest.fixture
def one_worker(tmp_path):
    """A process group of this process alone."""
    import torch

    hook = sys.excepthook
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()
    sys.excepthook = hook  # torch has put one in its place that names the rank


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
