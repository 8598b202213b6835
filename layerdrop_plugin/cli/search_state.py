"""The state of a search: where it is kept, and what an interrupted search says."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .. import atomic, layer_spec
from ..message import counted
from . import search_settings
from .command import Parser

if TYPE_CHECKING:
    from ..fairseq_adapter.evaluation.search import Plan, Scoring
    from ..measuring import Measuring

OPTIONS = ("--state", "--resume")

OF_MODEL = ("version", "checkpoint", "model_overrides", "fp16")
"""The settings on which the scores of a set of layers depend, beside the batches."""


def origin(args: Namespace, settings: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """Return what results are of, for other commands: the checkpoint, what identifies it, and the data.

    Where --model-overrides prunes, `held` has the checkpoint's layers that it leaves of each stack.
    """
    found = {"checkpoint": args.path, "fingerprint": settings["checkpoint"], "split": args.gen_subset}
    held = {stack: layer_spec.describe(layers) for stack, layers in plan.held.items()}
    return {**found, "held": held} if held else found


def check(args: Namespace) -> None:
    """Refuse, before long work, a state file that can't be written, or that is also a file of results.

    Raises:
        ValueError: one line.
    """
    if args.state is None:
        return
    atomic.check_file(args.state, force=True, option="--state")
    for option in ("json", "csv"):
        if os.path.abspath(args.state) == os.path.abspath(getattr(args, option) or ""):
            raise ValueError(f"`--state` must be another file than --{option}, but is {args.state} too.")


def measuring(args: Namespace, settings: dict[str, Any], scoring: Scoring) -> Measuring:
    """Return the measure of candidates, with the state of an interrupted search if --resume is given.

    Raises:
        ValueError: one line: there is no such state, or there is one and neither --resume nor --force is given.
    """
    from ..measuring import Measuring, read_state

    if args.state is not None or args.keep is None:
        return _kept_scores(args, settings, scoring)
    path = _default(settings)
    if not args.resume and os.path.exists(path):
        read_state(path, options=OPTIONS)  # a file that is not a state is never replaced
        _check_force(args, path)
    if args.resume and not os.path.exists(path):
        raise ValueError(search_settings.no_state_of(path, settings))
    state = read_state(path, settings, OPTIONS) if args.resume else None
    measure = Measuring(scoring, path, settings, state, option="--state")
    scoring.counters = measure.counters
    return measure


def finish(args: Namespace, measure: Measuring) -> None:
    """Keep the scores in a state file that the user has named; remove another one."""
    if args.state is not None:
        measure.save()
    else:
        measure.forget()


def _kept_scores(args: Namespace, settings: dict[str, Any], scoring: Scoring) -> Measuring:
    from ..fairseq_adapter.evaluation.search import names
    from ..kept_scores import KeptScores, read_scores

    path = args.state if args.state is not None else _default(settings)
    atomic.check_file(path, force=True, option="--state")
    model = {name: settings[name] for name in OF_MODEL}
    state = None
    if os.path.exists(path):
        state = read_scores(path, "--state")  # a file that is not a state is never replaced
        anew = args.force and not args.resume
        if args.state is None and not args.resume:
            _check_force(args, path)
        differ = search_settings.differences(state["settings"], model)
        if differ and not anew:
            raise ValueError(
                f"`--state` must have scores of the same model, but {path} is of a search with {' and '.join(differ)}: "
                f"name another file; --force{' without --resume' if args.resume else ''} starts anew."
            )
        state = None if differ else state
    elif args.resume and args.state is None:
        raise ValueError(search_settings.no_state_of(path, settings))
    elif args.resume:
        raise ValueError(f"`--resume` must find the state of an interrupted search, but {path} does not exist.")
    measure = KeptScores(scoring, path, settings, names(scoring.batches), scoring.whole, state, option="--state")
    scoring.counters = measure.counters
    return measure


def _check_force(args: Namespace, path: str) -> None:
    if not args.force:
        raise ValueError(
            f"`--state` must be a new file, but {path} is of a search to --resume; --force starts it anew."
        )


def _default(settings: dict[str, Any]) -> str:
    short = hashlib.blake2b(json.dumps(settings).encode(), digest_size=4).hexdigest()
    path = f"layerdrop-search-{short}.json"
    atomic.check_file(path, force=True, option="--state")
    return path


@contextlib.contextmanager
def interruptible(parser: Parser, plan: Plan, measure: Measuring, first: bool) -> Iterator[None]:
    """Keep the state and print the best set so far if the search inside is interrupted."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as a scheduler or torchrun ends a command
    try:
        yield
    except KeyboardInterrupt:
        for number in handlers:  # torchrun sends both
            signal.signal(number, signal.SIG_IGN)
        try:
            measure.save()
        finally:
            best = measure.best_so_far(plan.metric)
            if first and best is not None:
                sizes = zip(plan.stacks, map(len, best.candidate))
                layers = " and ".join(counted(size, f"{stack} layer") for stack, size in sizes)
                print(f"best so far, {layers}: loss {best.loss:.4f}, perplexity {best.perplexity:.2f}")
                print(f'--model-overrides "{plan.model_overrides(best.candidate)}"', flush=True)
        parser.exit(130, f"{parser.prog}: interrupted; --resume goes on from {measure.path}\n" if first else None)
    except RuntimeError:  # the GPU is out of memory, or another worker is gone
        measure.save()
        raise
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
