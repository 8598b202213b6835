"""One process of a comparison, told what to do by speed.py: fairseq as it is ("stock"), or with this package ("ours").

fairseq_side.py SIDE run COMMAND ARGS...   fairseq-train or fairseq-eval-lm; each line on standard input is a number
                                           of steps to take, each answer a line: a list of [seconds, layers, words]
fairseq_side.py SIDE save FILE ARGS...     writes the checkpoint of a new model, by fairseq-train's arguments; answers
                                           parameters and layers
fairseq_side.py SIDE load FILE [KEPT]      reads one as fairseq's commands do; answers seconds, layers, and megabytes
                                           before and at most
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
import types
from typing import Any, Callable, NoReturn, TextIO

import numpy
import torch

PLUGIN = {"stock": [], "ours": ["--user-dir", "layerdrop_plugin"]}


def patch_by_hand() -> None:
    """What stock fairseq 0.12.2 needs on current numpy and torch for these jobs, and nothing more.

    On Python 3.11 and newer the start-up hook of this package has also made `import fairseq` possible.
    """
    if not hasattr(numpy, "compat"):
        numpy.compat = types.SimpleNamespace(long=int)
    if hasattr(torch.serialization, "add_safe_globals"):
        torch.serialization.add_safe_globals([argparse.Namespace])


def main() -> None:
    side, job, *argv = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # fairseq logs to standard output
    if side == "stock":
        patch_by_hand()
    {"run": run, "save": save, "load": load}[job](answers, side, *argv)
    leave(side)


def leave(side: str) -> NoReturn:
    """Ends the process, with status 3 where it was not the side that it should be.

    Python's own end is left out: fairseq may be reading ahead in a thread, for which C++ aborts the process there.
    """
    os._exit(0 if ("layerdrop_plugin" in sys.modules) == (side == "ours") else 3)


def run(answers: TextIO, side: str, command: str, *argv: str) -> None:
    from fairseq.modules.transformer_layer import TransformerDecoderLayerBase
    from fairseq.sequence_scorer import SequenceScorer
    from fairseq.trainer import Trainer

    turns = Turns(answers, side)
    TransformerDecoderLayerBase.forward = turns.counted(TransformerDecoderLayerBase.forward)
    Trainer.train_step = turns.timed(Trainer.train_step, lambda trainer, samples: sum(s["ntokens"] for s in samples))
    SequenceScorer.generate = turns.timed(SequenceScorer.generate, lambda scorer, models, sample: sample["ntokens"])
    sys.argv = [command, *argv, *PLUGIN[side]]
    if command == "fairseq-train":
        from fairseq_cli.train import cli_main
    else:
        from fairseq_cli.eval_lm import cli_main
    cli_main()


class Turns:
    """Holds fairseq up before a step until its turn has come.

    A step lasts until the next one begins, so reading data and logging are part of it.
    """

    def __init__(self, answers: TextIO, side: str) -> None:
        self.answers = answers
        self.side = side
        self.left = 0
        self.steps: list[tuple[float, int, int]] = []
        self.layers = self.words = 0
        self.start = 0.0

    def timed(self, step: Callable[..., Any], words: Callable[..., int]) -> Callable[..., Any]:
        def next_step(*args: Any, **kwargs: Any) -> Any:
            self._wait()
            self.words, self.layers, self.start = int(words(*args)), 0, time.perf_counter()
            return step(*args, **kwargs)

        return next_step

    def counted(self, layer: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            self.layers += 1
            return layer(*args, **kwargs)

        return forward

    def _wait(self) -> None:
        if self.start:
            self.steps.append((time.perf_counter() - self.start, self.layers, self.words))
            self.left -= 1
        if self.left == 0:
            if self.steps:
                print(json.dumps(self.steps), file=self.answers, flush=True)
            self.left, self.steps = int(sys.stdin.readline() or leave(self.side)), []


def save(answers: TextIO, side: str, file: str, *argv: str) -> None:
    from fairseq import options, tasks
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq.trainer import Trainer

    sys.argv = ["fairseq-train", *argv, *PLUGIN[side]]
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser()))
    task = tasks.setup_task(cfg.task)
    model = task.build_model(cfg.model)
    trainer = Trainer(cfg, task, model, task.build_criterion(cfg.criterion))
    trainer.consolidate_optimizer()  # fairseq does so before it saves
    trainer.save_checkpoint(file, {})
    answer = {"parameters": sum(p.numel() for p in model.parameters()), "layers": len(model.decoder.layers)}
    print(json.dumps(answer), file=answers, flush=True)


def load(answers: TextIO, side: str, file: str, kept: str = "") -> None:
    from fairseq import checkpoint_utils, utils

    if side == "ours":
        utils.import_user_module(argparse.Namespace(user_dir="layerdrop_plugin"))
    before, start = peak(), time.perf_counter()
    overrides = {"decoder_layers_to_keep": kept} if kept else {}
    models, _, _ = checkpoint_utils.load_model_ensemble_and_task([file], arg_overrides=overrides)
    seconds = time.perf_counter() - start
    answer = {"seconds": seconds, "peak": peak(), "before": before, "layers": len(models[0].decoder.layers)}
    print(json.dumps(answer), file=answers, flush=True)


def peak() -> float:
    """The most memory that this process has had resident, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


if __name__ == "__main__":
    main()
