"""How the tests are shared out, and fairseq in this process: configurations, trainings, models."""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import os
import re
import sys
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
from shared.tiny_models import (  # noqa: F401  fixtures
    classifier,
    cut,
    data,
    full,
    made_once,
    shared_folder,
    stock_full,
    text,
    tiny,
)

ROOT = Path(__file__).parents[1]

FIRST = (
    "end_to_end/test_ddp.py",
    "adapter/modeling/test_text_models.py",  # needs no server of forks, which takes ten seconds to start
    *("end_to_end/test_documents.py", "end_to_end/test_restart.py", "end_to_end/test_demo.py"),
    *("end_to_end/test_recipe_roberta.py", "end_to_end/test_learning.py", "end_to_end/test_pass.py"),
    *("end_to_end/test_speech.py", "end_to_end/test_search_interrupted.py", "end_to_end/test_structured_dropout.py"),
)
"""Tests that take longest."""


def pytest_configure():
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items):
    """Mark what runs commands as slow, and let several workers begin with what takes longest.

    The server of whose forks commands run takes ten seconds of CPU to start.
    """
    for item in items:
        if "fork_server" in item.fixturenames:
            item.add_marker(pytest.mark.slow)
    if "PYTEST_XDIST_WORKER" in os.environ:
        paths = [ROOT / "tests" / name for name in FIRST]
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
