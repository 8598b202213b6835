"""The importance of layers, from losses chosen by hand."""

from __future__ import annotations

import math
import random

import pytest
import torch

from layerdrop_plugin import importance


@pytest.mark.parametrize(
    ("stack", "layer", "left"),
    [(0, 0, ((1, 2), (0,))), (0, 2, ((0, 1), (0,))), (1, 0, None)],
)
def test_all_layers_but_one(stack, layer, left):
    assert importance.without([3, 1], stack, layer) == left


def test_random_halves_differ_and_are_halves_of_the_swept_stacks():
    found = importance.random_halves([6, 5], swept=[1], samples=7, seed=3)
    assert len(set(found)) == 7
    assert {network[0] for network in found} == {(0, 1, 2, 3, 4, 5)}
    assert {len(network[1]) for network in found} == {2}
    assert importance.random_halves([6, 5], swept=[1], samples=7, seed=4) != found


def test_where_there_are_few_halves_it_is_all_of_them():
    found = importance.random_halves([3, 1], swept=[0, 1], samples=20, seed=1)
    assert found == [((0,), (0,)), ((1,), (0,)), ((2,), (0,))]


def test_random_halves_come_from_a_generator_of_their_own():
    before, torch_before = random.getstate(), torch.get_rng_state()
    first = importance.random_halves([16], swept=[0], samples=5, seed=9)
    random.seed(5), torch.manual_seed(5)
    assert importance.random_halves([16], swept=[0], samples=5, seed=9) == first
    random.setstate(before), torch.set_rng_state(torch_before)
    importance.random_halves([16], swept=[0], samples=5, seed=9)
    assert random.getstate() == before
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_means_with_a_layer_and_without_it():
    losses = {((0, 1),): 1.0, ((0, 2),): 3.0, ((1, 2),): 8.0}
    assert importance.means(list(losses), losses, 0, 0) == ((2.0, 1.0), (8.0, None))
    assert importance.means(list(losses), losses, 0, 1) == ((4.5, pytest.approx(3.5)), (3.0, None))
    assert importance.means(list(losses)[:1], losses, 0, 2) == ((None, None), (1.0, None))


def test_the_error_of_a_difference_between_two_losses():
    """4 and 2 of 2 predictions each, on the two batches: 1.5 in all, 1 too much and 1 too little, of 4."""
    error = importance.error_of_difference([9.0, 7.0], [5.0, 5.0], [2, 2])
    assert error == pytest.approx(math.sqrt(2 * (1 + 1)) / 4)
    assert importance.error_of_difference([9.0, 14.0], [8.0, 12.0], [2, 4]) == 0.0  # half a bit more on each
    assert importance.error_of_difference([9.0], [5.0], [2]) is None


def test_rows():
    losses = {
        ((0,), (0, 1)): 1.0,  # all
        ((0,), (1,)): 4.0,
        ((0,), (0,)): 2.0,
    }
    found = importance.rows(
        "small",
        {"encoder": 1, "decoder": 2},
        ["decoder"],
        [((0,), (0,)), ((0,), (1,))],
        losses,
        {"encoder": [0.5], "decoder": [0.25, 0.125]},
        errors={((0,), (1,)): 0.75},
    )
    assert found == [
        ("small", "decoder", 0, 1.0, 4.0, 2.0, 4.0, 0.25, 0.75, None, None),
        ("small", "decoder", 1, 1.0, 2.0, 4.0, 2.0, 0.125, None, None, None),
    ]
    assert list(found[0].as_json()) == [
        *("checkpoint", "stack", "layer", "loss_full", "loss_without"),
        *("subnetworks_with", "subnetworks_without", "cosine_distance"),
        *("loss_without_error", "subnetworks_with_error", "subnetworks_without_error"),
    ]


def test_a_stack_of_one_layer_has_nothing_to_leave_out():
    only = ((0,),)
    row = importance.rows("a", {"encoder": 1}, ["encoder"], [only], {only: 2.0}, {"encoder": [0.5]})[0]
    assert (row.loss_without, row.subnetworks_with, row.subnetworks_without) == (None, 2.0, None)
