"""A search that is interrupted keeps its state, and says what is the best so far."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .command import Parser

if TYPE_CHECKING:
    from ..fairseq_adapter.evaluation.search import Plan
    from ..measuring import Measuring


@contextlib.contextmanager
def interruptible(parser: Parser, plan: Plan, measure: Measuring, first: bool) -> Iterator[None]:
    """Interrupted, keep the state and print the best so far."""
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
                sets = " and ".join(f"{len(kept)} {name}" for name, kept in zip(plan.stacks, best.candidate))
                print(f"best so far, {sets} layers: loss {best.loss:.4f}, perplexity {best.perplexity:.2f}")
                print(f'--model-overrides "{plan.model_overrides(best.candidate)}"', flush=True)
        parser.exit(130, f"{parser.prog}: interrupted; --resume goes on from {measure.path}\n" if first else None)
    except RuntimeError:  # the GPU is out of memory, or another worker is gone
        measure.save()
        raise
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
