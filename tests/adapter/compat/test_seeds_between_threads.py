"""What is drawn with a seed is the same, whatever another thread draws at that time."""

from __future__ import annotations

import inspect
import os
import threading

import numpy as np
import pytest
from fairseq.data import data_utils

ORIGINAL = inspect.unwrap(data_utils.numpy_seed, stop=lambda function: not hasattr(function, "layerdrop_patches"))


@pytest.fixture
def drawn_beside_another():
    """A function that draws with seed 1, while another thread has begun to draw with seed 2 if it may."""

    def draw(seeded):
        inside, done = threading.Event(), threading.Event()
        others = []

        def other():
            with seeded(2):
                inside.set()
                done.wait(10)
                others.append(np.random.rand())

        thread = threading.Thread(target=other)
        with seeded(1):
            thread.start()
            inside.wait(0.3)
            number = np.random.rand()
        done.set()
        thread.join()
        return number, others[0]

    return draw


def alone(seed):
    return np.random.RandomState(seed).rand()


def test_fairseq_draws_from_the_seed_of_another_thread(drawn_beside_another):
    assert drawn_beside_another(ORIGINAL) != (alone(1), alone(2))


def test_each_thread_draws_from_its_own_seed(drawn_beside_another):
    assert drawn_beside_another(data_utils.numpy_seed) == (alone(1), alone(2))


def test_a_seed_inside_of_another_and_none():
    before = np.random.get_state()[1].tolist()
    with data_utils.numpy_seed(1), data_utils.numpy_seed(2, 3), data_utils.numpy_seed(None):
        np.random.rand()
    assert np.random.get_state()[1].tolist() == before


def test_a_process_that_is_forked_while_a_thread_draws_can_draw():
    inside, done = threading.Event(), threading.Event()

    def other():
        with data_utils.numpy_seed(2):
            inside.set()
            done.wait(0.3)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    child = os.fork()
    if child == 0:
        with data_utils.numpy_seed(1):
            os._exit(0 if np.random.rand() == alone(1) else 1)
    done.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
