"""Made-up sentences for the miniatures of the recipes' data."""

from __future__ import annotations

import random

SPLITS = {"train": 400, "valid": 40, "test": 40}


def sentence(generator: random.Random) -> list[str]:
    """Words of 100; each but the first tends to follow from the one before, so that there is something to learn."""
    words = [generator.randrange(100)]
    for _ in range(generator.randint(3, 11)):
        words.append((words[-1] * 7 + 3) % 100 if generator.random() < 0.8 else generator.randrange(100))
    return [f"w{word}" for word in words]
