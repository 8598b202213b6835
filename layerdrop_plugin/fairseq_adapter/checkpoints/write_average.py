"""Average checkpoints into one: which ones, what the new file holds, what can't be averaged."""

from __future__ import annotations

import os
import re
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Callable

import torch

from ... import atomic, averaging, one_training
from ...one_training import Training
from ..reading import reader
from .checkpoint import EMA, Checkpoint

SHARD = r"-shard[0-9]+"
# fairseq's names for what it saves after an epoch, and after so many updates. Shards are found too, to be refused.
NAMES = {
    "--num-epoch-checkpoints": rf"checkpoint([0-9]+)(?:{SHARD})?\.pt",
    "--num-update-checkpoints": rf"checkpoint_[0-9]+_([0-9]+)(?:{SHARD})?\.pt",
}
EXAMPLES = {"--num-epoch-checkpoints": "checkpoint7.pt", "--num-update-checkpoints": "checkpoint_3_500.pt"}


def choose(
    inputs: Sequence[str],
    num_epoch_checkpoints: int | None = None,
    num_update_checkpoints: int | None = None,
    checkpoint_upper_bound: int | None = None,
) -> list[str]:
    """Return the paths to average: `inputs`, or the last checkpoints of the folder in it, the last one first.

    Args:
        checkpoint_upper_bound: the highest epoch, or update, that counts.

    Raises:
        ValueError: one line: the options do not go together, or there are not so many checkpoints.
    """
    option = "--num-epoch-checkpoints" if num_epoch_checkpoints else "--num-update-checkpoints"
    count = num_epoch_checkpoints or num_update_checkpoints
    if count is not None:
        if len(inputs) != 1 or not os.path.isdir(inputs[0]):
            raise ValueError(f"`--inputs` must be one folder with `{option}`, but is {' '.join(inputs)}.")
        return _last(inputs[0], count, option, checkpoint_upper_bound)
    for path in inputs:
        if os.path.isdir(path):
            raise ValueError(
                "`--inputs` must be files, or one folder with `--num-epoch-checkpoints` or "
                f"`--num-update-checkpoints`, but {path} is a folder."
            )
    if checkpoint_upper_bound is not None:
        raise ValueError(
            "`--checkpoint-upper-bound` must stand beside `--num-epoch-checkpoints` or `--num-update-checkpoints`, "
            f"but is {checkpoint_upper_bound} without either."
        )
    return list(inputs)


def _last(folder: str, count: int, option: str, upper_bound: int | None) -> list[str]:
    pattern = re.compile(NAMES[option])
    matches = filter(None, map(pattern.fullmatch, os.listdir(folder)))
    found = sorted(((int(match[1]), match[0]) for match in matches), reverse=True)
    names = [name for number, name in found if upper_bound is None or number <= upper_bound]
    if len(names) < count:
        limit = "" if upper_bound is None else f" up to {upper_bound}"
        raise ValueError(
            f"`{option}` must not be more than there are, but is {count}, "
            f"and {folder} has {len(names)}{limit} named like {EXAMPLES[option]}."
        )
    return [os.path.join(folder, name) for name in names[:count]]


def average_checkpoints(
    paths: Sequence[str],
    output: str,
    force: bool = False,
    when_read: Callable[[], Any] = lambda: None,
) -> str | None:
    """Write a checkpoint with the mean weights of others; the rest of it is as in the first one.

    What belongs to no mean is left out: the optimizer's state and the moving average (EMA) of the weights.

    Args:
        force: whether `output` may replace a file.
        when_read: is called after each file.

    Returns:
        A clause on why the checkpoints seem to be of several trainings, None where nothing speaks for it.

    Raises:
        ValueError: one line: the files are not checkpoints of one model, or `output` can't be written.
    """
    atomic.check_file(output, force)
    _check_files(paths, output)
    first: Checkpoint | None = None
    apart: str | None = None

    def read(path: str) -> tuple[str, averaging.Weights]:
        nonlocal first, apart
        checkpoint = Checkpoint.of(reader.read(path, "--inputs"))
        first = first or _without_tensors(checkpoint)
        _check_layers(paths[0], first, path, checkpoint)
        apart = apart or one_training.difference(paths[0], _training(first), path, _training(checkpoint))
        when_read()
        return path, checkpoint.weights

    with reader.unchanged(*paths):
        averaged = averaging.average(map(read, paths))
        assert first is not None  # there is no mean of nothing
    with atomic.write_file(output, force) as file:
        torch.save(replace(first, weights=averaged).as_state(), file)
    return apart


def _check_files(paths: Sequence[str], output: str) -> None:
    seen: dict[str, str] = {}
    for path in paths:
        reader.check_file(path, "--inputs")
        if re.search(SHARD + r"\.pt$", path):
            raise ValueError(f"`--inputs` must be whole checkpoints, but {path} is one of several shards.")
        place = os.path.realpath(path)
        if place in seen:
            raise ValueError(f"`--inputs` must name a checkpoint once, but {seen[place]} and {path} are the same file.")
        seen[place] = path
    if os.path.realpath(output) in seen:
        raise ValueError(f"`--output` must be none of the inputs, but is {output}.")


def _without_tensors(checkpoint: Checkpoint) -> Checkpoint:
    """Return it without the weights, for which there is a mean, and without what belongs to no mean."""
    rest = replace(checkpoint, weights={}, optimizer=None).without_entries("last_optimizer_state")
    extra_state = {name: value for name, value in rest.extra_state.items() if name not in EMA}
    return rest.with_entries(extra_state=extra_state) if rest.extra_state else rest


def _training(checkpoint: Checkpoint) -> Training:
    """Return what the checkpoint says of its training."""
    options: dict[str, Any] = {"arch": checkpoint.architecture}
    for group in (*(checkpoint.cfg or {}).values(), checkpoint.args):  # in a Namespace are the options of all groups
        held = vars(group) if isinstance(group, Namespace) else group
        options = {**held, **options} if isinstance(held, dict) else options
    before = [(entry.get("num_updates"), _best(entry)) for entry in checkpoint.history[:-1]]
    return Training({name: value for name, value in options.items() if name[:1] != "_"}, before)


def _best(entry: dict[str, Any]) -> Any:
    scheduler = entry.get("lr_scheduler_state")
    return scheduler.get("best") if isinstance(scheduler, dict) else None


def _check_layers(first: str, its: Checkpoint, path: str, checkpoint: Checkpoint) -> None:
    """Refuse models that were pruned to different layers, which may well have the same shape."""
    held = [{stack: o.first for stack, o in c.origins.items()} for c in (its, checkpoint)]
    if held[0] != held[1]:
        layers = ["; ".join(f"{stack} layers {kept}" for stack, kept in h.items()) or "all layers" for h in held]
        raise ValueError(
            "checkpoints to average must hold the same layers, "
            f"but {first} holds {layers[0]}, and {path} holds {layers[1]}."
        )
