"""Prune at load: a checkpoint that is read to be used becomes the small one that is asked for.

`--model-overrides` of fairseq's commands and the keywords of `from_pretrained` come here. What
follows, building the model and filling it, then needs to know nothing of pruning.

Files are mapped only for `load_model_ensemble_and_task`, for the trainer, and where `mapping` says so. Any other
caller of fairseq's functions gets memory of its own, since it may hold what it read while the file is written.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import itertools
import logging
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Callable

from fairseq import checkpoint_utils
from fairseq.tasks import FairseqTask

from ..compat import safe_loading
from ..errors import user_errors
from ..errors.one_line import in_command, one_line
from ..hooks import wrap
from ..options.declared import KEEP
from ..reading import reader
from . import misspelled, pruning, registered, trained_depths, usable
from .checkpoint import Checkpoint
from .whole import refuse_shard

logger = logging.getLogger(__name__)

Prepare = Callable[[Checkpoint, str], Checkpoint]


@dataclass(frozen=True)
class Reading:
    """For what fairseq reads a checkpoint now; nothing here crosses fairseq's functions as an argument."""

    option: str = "--path"
    """What names the file."""
    overrides: str | None = None
    """What holds the options to override; None for those of every command."""
    prepare: Prepare | None = None
    """What the trainer wants done to its checkpoint."""
    to_use: bool = False
    """Whether models are loaded to be used."""
    built: tuple[str, ...] = ()
    """What is built of a checkpoint's configuration then."""
    kinds: Mapping[str, str] | None = None
    """Of these models so far, by their paths."""


_reading: ContextVar[Reading] = ContextVar("reading")

PLAIN = frozenset(("cfg", "args"))  # without tensors
TRAINED = PLAIN | {"model"}
EVALUATED = TRAINED | {"criterion", "extra_state", "optimizer_history", "last_optimizer_state"}
"""Entries of a checkpoint that the trainer, and those who load a model to use it, drop when the model has its weights.

The trainer keeps the optimizer's state, the task its own, `task_state`.
"""

_dropped: ContextVar[dict[str, frozenset[str]]] = ContextVar("dropped")  # of files now read, by path


def install() -> None:
    """Put pruning into fairseq's functions that read checkpoints."""
    wrap(checkpoint_utils, "load_checkpoint_to_cpu", _load_checkpoint_to_cpu)
    wrap(checkpoint_utils, "load_model_ensemble_and_task", _load_model_ensemble_and_task)
    wrap(FairseqTask, "build_criterion", _build_criterion)


def is_loading() -> bool:
    """Whether a model is being built for a checkpoint that is loaded to be used."""
    return _reading.get(Reading()).to_use


@contextlib.contextmanager
def prepared_by(prepare: Prepare, path: str, option: str) -> Iterator[None]:
    """Give the trainer, inside, what `prepare(checkpoint, path)` makes of what it reads; `option` names the file."""
    with _now(Reading(option=option, prepare=prepare)), mapping(path, dropped=TRAINED):
        yield


@contextlib.contextmanager
def named_by(option: str, overrides: str) -> Iterator[None]:
    """Let errors of what is loaded inside say that these options name the file and its overrides."""
    with _now(Reading(option=option, overrides=overrides)):
        yield


@contextlib.contextmanager
def used(path: str) -> Iterator[None]:
    """Let fairseq build, inside, a model of this file's options to be used: nothing of its training is looked for.

    Raises:
        ValueError: one line: there are options that fairseq can't build a model of.
    """
    with _now(replace(_reading.get(Reading()), to_use=True)), usable.taken(path):
        yield


@contextlib.contextmanager
def mapping(*paths: str, dropped: frozenset[str] = EVALUATED) -> Iterator[None]:
    """Let fairseq map these files inside this context; the caller drops these entries of them at its end."""
    token = _dropped.set(dict.fromkeys(paths, dropped))
    try:
        yield
    finally:
        _dropped.reset(token)


def _load_checkpoint_to_cpu(original, path, arg_overrides=None, *args, **kwargs):
    overrides = dict(arg_overrides or {})
    specs = pruning.requested(overrides)
    for stack in specs:
        del overrides[KEEP[stack]]
    dropped = _dropped.get({}).get(path, frozenset())
    mapped = bool(dropped or specs)  # what is pruned away is never read
    reading = _reading.get(Reading())
    if reading.to_use and not dropped:
        logger.info("also reading %s, which the options of the model or the task name", path)
    if arg_overrides:
        _check_names(overrides, path, reading)
    with safe_loading.reading(reading.option, mapped), usable.taken(path):
        state = original(path, overrides if arg_overrides is not None else None, *args, **kwargs)
    with one_line():
        checkpoint = Checkpoint.of(state)
        if reading.kinds is not None and dropped:  # one of the models, none that they read themselves
            _reading.set(replace(reading, kinds=registered.check_kind(reading.kinds, checkpoint, path)))
        usable.check_options(checkpoint, path, *reading.built)
        checkpoint = pruning.reconcile(checkpoint)
        if reading.prepare is not None:
            checkpoint = reading.prepare(checkpoint, path)
        elif specs:
            small, kept = pruning.prune(checkpoint, specs)
            pruning.log(kept, path)
            depth_note = trained_depths.note(checkpoint, kept)
            for note in (*pruning.single_layer_notes(specs, kept), *filter(None, [depth_note])):
                logger.warning("%s: %s", path, note)
            checkpoint = small
    state = checkpoint.as_state()
    if mapped:  # a copy at once, as entries and tied weights may share memory
        state.update(copy.deepcopy({key: value for key, value in state.items() if key not in dropped}))
    return state


def _check_names(overrides: Mapping[str, object], path: str, reading: Reading) -> None:
    """Refuse what looks like an option of ours, but is none of the checkpoint's."""
    suspects = misspelled.suspects(overrides)
    if suspects:
        with one_line():
            saved = Checkpoint.of(reader.read(path, reading.option))
            option = reading.overrides or ("--model-overrides" if in_command() else "arg_overrides")
            misspelled.check(suspects, {"cfg": saved.cfg, "args": saved.args}, option)


def _load_model_ensemble_and_task(original, *args, **kwargs):
    given = inspect.signature(original).bind(*args, **kwargs)
    given.apply_defaults()
    options = given.arguments
    shards = range(max(options["num_shards"], 1))  # fairseq itself refuses 0
    paths = [
        [
            checkpoint_utils.get_maybe_sharded_checkpoint_filename(name, options["suffix"], shard, len(shards))
            for shard in shards
        ]
        for name in options["filenames"]
    ]
    if options["state"] is None:
        with one_line():
            for first, *_ in paths:
                reader.check_file(first, "--path")
                if len(shards) == 1:
                    refuse_shard(first, "--path")
    built = ("model",) if options["task"] is not None else ("model", "task")
    named = ", ".join(map(str, options["filenames"]))
    with contextlib.ExitStack() as stack:
        before = _reading.get(Reading())
        stack.enter_context(_now(Reading(before.option, before.overrides, to_use=True, built=built, kinds={})))
        stack.enter_context(mapping(*itertools.chain(*paths)))
        if options["state"] is None:
            if in_command():
                stack.enter_context(one_line())
            stack.enter_context(reader.unchanged(*itertools.chain(*paths)))
            stack.enter_context(usable.taken(named))
            stack.enter_context(usable.fitting(named))
            if in_command():  # a program's overrides are no --model-overrides
                stack.enter_context(user_errors.overriding(options["arg_overrides"] or {}, options["filenames"]))
        ensemble, cfg, task = original(*args, **kwargs)
    if pruning.requested(options["arg_overrides"] or {}):
        for model in ensemble:
            logger.info("num. model params: %s", f"{sum(p.numel() for p in model.parameters()):,}")
    return ensemble, cfg, task


def _build_criterion(original, task, *args, **kwargs):
    """Build what fairseq-validate and our commands take from the checkpoint."""
    with usable.criterion_options():
        return original(task, *args, **kwargs)


@contextlib.contextmanager
def _now(reading: Reading) -> Iterator[None]:
    """Read for this as long as fairseq works inside."""
    token = _reading.set(reading)
    try:
        yield
    finally:
        _reading.reset(token)
