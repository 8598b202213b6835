"""A small search with made-up scores."""

from __future__ import annotations

import random

import pytest

from layerdrop_plugin import search
from layerdrop_plugin.candidates import all_candidates
from layerdrop_plugin.measuring import Measuring

SETTINGS = {"checkpoint": "1:a", "keep": [2], "strategy": "racing"}


CANDIDATES = all_candidates([4], [2])


BATCHES = 5


STRATEGIES = {
    "exhaustive": lambda measure: search.exhaustive(measure, CANDIDATES, BATCHES, "loss"),
    "racing": lambda measure: search.racing(measure, CANDIDATES, BATCHES, "loss"),
    "greedy": lambda measure: search.greedy(measure, [3, 2], [1, 1], 3, "loss"),
}


class Scores:
    """Made-up scores with digits to the last bit; Ctrl-C is hit in place of number `interrupted_at`."""

    def __init__(self, interrupted_at=None):
        self.interrupted_at = interrupted_at
        self.done = []
        self.counters = {}

    def __call__(self, batch, candidates):
        for candidate in candidates:
            if len(self.done) == self.interrupted_at:
                raise KeyboardInterrupt
            self.done.append((batch, candidate))
            self.counters["scored"] = self.counters.get("scored", 0) + 1
            draw = random.Random(f"{batch} {candidate}")
            yield draw.uniform(10, 20) / 3, draw.randrange(1, 9), draw.randrange(3)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "state.json")


def measure(scores, path=None, state=None, **options):
    found = Measuring(scores, path, SETTINGS, state, **options)
    scores.counters = found.counters
    return found


@pytest.fixture(params=STRATEGIES)
def strategy(request):
    return STRATEGIES[request.param]
