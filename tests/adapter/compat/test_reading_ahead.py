"""A process that ends before its data do first stops the threads that read ahead."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
from fairseq.data.iterators import BackgroundConsumer, BufferedIterator

from layerdrop_plugin.fairseq_adapter.compat import reading_ahead

ENDS_EARLY = """
import atexit, itertools, os, sys, threading, time
import torch
from fairseq.data.iterators import BackgroundConsumer, BufferedIterator

def threads():
    return [thread for thread in threading.enumerate() if isinstance(thread, BackgroundConsumer)]

class Source:
    def __init__(self, make):
        self.make = make
    def __len__(self):
        return 10**6
    def __iter__(self):
        return (self.make(number) for number in itertools.count())

def wait_until_full(queue):
    while not queue.not_full._waiters:  # one more is made, for which there is no room
        time.sleep(0.01)

def in_torch():
    square = torch.rand(500, 500)
    next(BufferedIterator(10, Source(lambda number: square @ square)))

def waiting_for_room():
    iterators = [BufferedIterator(size, Source(lambda number: number)) for size in (1, 3)]
    for iterator in iterators:
        next(iterator)
        wait_until_full(iterator._queue)

def stuck():
    reading_ahead.SECONDS = 0.1
    iterators = [BufferedIterator(1, Source(lambda number: number and time.sleep(20))) for _ in range(2)]
    for iterator in iterators:
        next(iterator)

atexit.register(lambda: print(len(threads()), flush=True))  # before the other: runs after it
from layerdrop_plugin.fairseq_adapter.compat import reading_ahead

for _ in range(int(sys.argv[2])):
    if os.fork() == 0:
        globals()[sys.argv[1]]()
        sys.exit()
    print(os.wait()[1], flush=True)
"""


@pytest.mark.parametrize(
    ("where", "times", "printed"),
    [
        ("in_torch", 5, ["0", "0"] * 5),  # no thread, status 0
        ("waiting_for_room", 1, ["0", "0"]),
        ("stuck", 1, ["2", "0"]),  # the limit is over
    ],
)
def test_the_end_of_a_process_stops_the_threads(where, times, printed, command):
    process = command("python", "-c", ENDS_EARLY, where, times)
    assert process.stdout.splitlines() == [*printed, "0"]
    assert "terminate called" not in process.stderr


def test_it_is_needed_here():
    assert reading_ahead.needed() == "fairseq leaves the thread that reads batches ahead to the end of the interpreter"


class Letters(str):
    """Data, which may fail at an item; knows its latest iterator."""

    fails_at = None

    def __iter__(self):
        items = self.items()
        self.iterator = weakref.ref(items)
        return items

    def items(self):
        for item in str.__iter__(self):
            if item == self.fails_at:
                raise ValueError(f"{item} as asked")
            yield item


@pytest.mark.parametrize("size", [1, 3, 10])
def test_an_epoch_has_all_its_items(size):
    assert list(BufferedIterator(size, Letters("abcde"))) == ["a", "b", "c", "d", "e"]


def test_an_epoch_that_is_cut_short_has_as_many_as_it_should():
    iterator = BufferedIterator(2, Letters("abcde"))
    iterator.take(3)
    assert list(iterator) == ["a", "b", "c"]


def test_what_the_source_raises_reaches_the_reader():
    letters = Letters("abc")
    letters.fails_at = "c"
    iterator = BufferedIterator(10, letters)
    assert [next(iterator), next(iterator)] == ["a", "b"]
    with pytest.raises(ValueError, match="c as asked"):
        next(iterator)


def test_nothing_is_held_after_an_epoch():
    letters = Letters("abcde")
    iterator = BufferedIterator(2, letters)
    iterator.take(3)  # leaves the iterator in the middle
    list(iterator)
    thread = weakref.ref(iterator._consumer)
    thread().join(5)
    assert letters.iterator() is None  # a DataLoader's has worker processes
    del iterator
    gc.collect()
    assert thread() is None
    assert not [thread for thread in threading.enumerate() if isinstance(thread, BackgroundConsumer)]
