"""A command that stops before its data end is aborted as it ends: "terminate called without an active exception".

fairseq 0.12.2 and main, any torch, Python 3.13 and older: fairseq-train at --max-update, any command after an error.
fairseq reads --data-buffer-size batches ahead in a thread that nobody stops. The thread may be in torch's C++ code as
the interpreter ends. When it comes back, Python ends it, and C++ takes that for a fault (SIGABRT, exit status 134).
"""

from __future__ import annotations

import atexit
import inspect
import math
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from ..hooks import wrap

SECONDS = 5.0
"""The most that the end of a process waits, for all threads together: the next batch may never come."""

_ending = threading.Event()


def needed() -> str | None:
    """Return the reason, where fairseq reads ahead in a thread that the end of the interpreter does not wait for."""
    from fairseq.data.iterators import BufferedIterator

    if "daemon" in inspect.unwrap(BufferedIterator._create_consumer).__code__.co_names:
        return "fairseq leaves the thread that reads batches ahead to the end of the interpreter"
    return None


def apply() -> None:
    """Let these threads stop after their current batch when the interpreter ends, and let that wait for them."""
    from fairseq.data.iterators import BackgroundConsumer

    wrap(BackgroundConsumer, "run", _run)
    atexit.unregister(_stop)
    atexit.register(_stop, BackgroundConsumer)  # torch was imported before: its own handlers run after this one


def _run(original: Any, consumer: Any) -> None:
    consumer._source = _UntilTheEnd(consumer._source)
    original(consumer)


class _UntilTheEnd:
    """An iterable that stops when the interpreter has begun to end; like its source, it is not an iterator."""

    def __init__(self, source: Iterable[Any]) -> None:
        self.source = source

    def __iter__(self) -> Iterator[Any]:
        for item in self.source:
            yield item
            if _ending.is_set():
                break


def _stop(kind: type) -> None:
    threads: Any = [thread for thread in threading.enumerate() if isinstance(thread, kind)]
    _ending.set()
    for queue in (thread._queue for thread in threads):
        with queue.mutex:  # a thread may wait for room in its queue: nobody reads from it any more
            queue.maxsize = math.inf
            queue.not_full.notify_all()
    deadline = time.monotonic() + SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
