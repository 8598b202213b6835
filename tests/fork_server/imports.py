"""What the server imports, and how a fork finds it: as if it were not there until the command imports it."""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import sys
import threading
import warnings
import weakref
from importlib.machinery import ModuleSpec

from . import configurations, overrides

COMMANDS = ("eval_lm", "generate", "hydra_train", "interactive", "preprocess", "score", "train", "validate")
LATE = (  # what commands import as they run; an extra that is not installed is left out
    *("torch._dynamo", "torch.distributed.run", "torch.profiler", "torch.utils.tensorboard", "numpy.random"),
    *("fairseq.data.data_utils_fast", "fairseq.data.token_block_utils_fast", "fairseq.libbleu"),
    *("babel.dates", "babel.lists", "babel.numbers", "babel.units", "sentencepiece", "sacrebleu", "sacremoses"),
    *("matplotlib.pyplot", "matplotlib.backends.backend_agg", "rouge_score.rouge_scorer"),
    *("ctranslate2.converters", "safetensors.torch", "transformers.models.roberta.modeling_roberta"),
)
QUIET, *FILTERS = warnings.filters
"""Of the server's own -W ignore, and Python's, before anything is imported."""


def load():
    """Import everything, and put fairseq aside."""
    logging.disable(logging.INFO)
    import fairseq  # noqa: F401

    log = take_log()
    for name in (*(f"fairseq_cli.{name}" for name in COMMANDS), *LATE):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    learn_to_parse()
    logging.disable(logging.NOTSET)
    take_log()
    for name in [name for name in sys.modules if name.partition(".")[0] == "fairseq_cli"]:
        del sys.modules[name]  # what they do as they are imported, they do in each fork
    sys.meta_path.insert(0, FairseqAside(*log))
    assert not any(name.partition(".")[0] == "layerdrop_plugin" for name in sys.modules)
    assert threads() == 1, "threads are lost in a fork"
    for each in list(weakref.finalize._registry):
        each.atexit = False  # torch would take its libraries of operators down, which takes as long as a short command
    gc.collect()
    gc.freeze()  # else collecting garbage would copy all memory in each fork


def take_log():
    """Return the handlers and the level of the root logger, and leave it as it was when Python started."""
    handlers, level = logging.root.handlers[:], logging.root.level
    logging.root.handlers.clear()
    logging.root.setLevel(logging.WARNING)
    return handlers, level


def learn_to_parse():
    """Let Hydra learn the grammar and usual configurations, which takes half a second in each process that parses."""
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    overrides.remember()
    configurations.remember()
    training, task, criterion = options.get_training_parser, "--task", "--criterion"
    generation = options.get_generation_parser()
    generation.add_argument("--arch", default="wav2vec2")  # as fairseq-generate does
    for parser, *argv in (
        (training(), "--arch", "transformer", criterion, "label_smoothed_cross_entropy", "--optimizer", "adam"),
        (training(), "--arch", "transformer", task, "language_modeling", "--optimizer", "adam"),  # as for our models
        (training(), "--arch", "roberta", task, "masked_lm", criterion, "masked_lm", "--optimizer", "adam"),
        (options.get_validation_parser(), task, "translation"),
        (options.get_validation_parser(), task, "translation", criterion, "label_smoothed_cross_entropy"),
        (generation,),
        (options.get_eval_lm_parser(),),
    ):
        convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, ["data", *argv]))


def threads():
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else threading.active_count()


class FairseqAside:
    """Takes fairseq's modules out of `sys.modules`, and puts them back when the command imports fairseq.

    Args:
        handlers: those with which `import fairseq` provides the root logger, if it has none by then.
        level: that of the root logger after that.
    """

    def __init__(self, handlers, level):
        self.handlers, self.level = handlers, level
        names = [name for name in sys.modules if name.partition(".")[0] == "fairseq"]
        self.modules = {name: sys.modules.pop(name) for name in names}
        self.spec = self.modules["fairseq"].__spec__

    def find_spec(self, name, path=None, target=None):
        if name != "fairseq":
            return None
        spec = ModuleSpec(name, self, origin=self.spec.origin, is_package=True)
        spec.submodule_search_locations = list(self.spec.submodule_search_locations)
        return spec

    def create_module(self, spec):
        return self.modules["fairseq"]

    def exec_module(self, module):
        module.__spec__ = self.spec
        sys.modules.update(self.modules)
        if not logging.root.handlers and self.handlers:
            for handler in self.handlers:
                handler.setStream(sys.stderr)
                logging.root.addHandler(handler)
            logging.root.setLevel(self.level)
