"""The strategies of a search, over made-up scores; ranking, noise and counts, worked out by hand."""

from __future__ import annotations

import math

import numpy
import pytest

from layerdrop_plugin import search
from layerdrop_plugin.candidates import all_candidates, count_candidates, some_candidates
from layerdrop_plugin.search import Ranked

NAN = math.nan


class Measure:
    """A `search.Measure` over a table or function of losses, one prediction a batch; notes what it is asked."""

    def __init__(self, loss):
        self.loss = loss if callable(loss) else lambda candidate, batch: loss[candidate][batch]
        self.asked = []

    def __call__(self, candidates, batches):
        self.asked.append((list(candidates), list(batches)))
        totals = numpy.zeros((len(candidates), 2, 3))
        for i, candidate in enumerate(candidates):
            for batch in batches:
                totals[i, batch % 2] += (self.loss(candidate, batch), 1, 0)
        return totals


def one(*kept):
    """A candidate of one stack."""
    return (kept,)


def ranked(losses, counts=(1, 1), correct=(0, 0)):
    """A candidate with sums on both halves."""
    return Ranked(one(0), numpy.array([losses, counts, correct], dtype=float).T)


def table(found):
    return [(r.candidate, r.loss) for r in found]


@pytest.mark.parametrize(
    ("depths", "keep", "count"),
    [([16], [8], 12870), ([6, 6], [3, 3], 400), ([4, 2], [4, 1], 2), ([12], [1], 12), ([5], [5], 1)],
)
def test_count_of_candidates(depths, keep, count):
    found = all_candidates(depths, keep)
    assert count_candidates(depths, keep) == len(found) == count
    assert found == sorted(set(found))


def test_all_candidates_of_two_stacks():
    assert all_candidates([2, 3], [1, 2]) == [
        *(((0,), (0, 1)), ((0,), (0, 2)), ((0,), (1, 2))),
        *(((1,), (0, 1)), ((1,), (0, 2)), ((1,), (1, 2))),
    ]


def test_exhaustive_scores_all_on_all():
    measure = Measure({one(0, 1): [3, 1], one(0, 2): [1, 1.5], one(1, 2): [2, 4]})
    candidates = all_candidates([3], [2])
    found = search.exhaustive(measure, candidates, 2, "loss")
    assert table(found) == [(one(0, 2), 1.25), (one(0, 1), 2.0), (one(1, 2), 3.0)]
    assert found[0].halves("loss") == (1.0, 1.5)
    assert measure.asked == [(candidates, [0, 1])]


def test_greedy_drops_the_least_harmful_layer_again_and_again():
    losses = {one(1, 2, 3): 4, one(0, 2, 3): 1, one(0, 1, 3): 2, one(0, 1, 2): 3}
    losses.update({one(0, 2): 7, one(0, 3): 6, one(2, 3): 5, one(0, 1): 0})  # the best one is out of its reach
    measure = Measure({candidate: [loss, loss + 1] for candidate, loss in losses.items()})
    found = search.greedy(measure, [4], [2], 2, "loss")
    assert table(found) == [(one(2, 3), 5.5), (one(0, 3), 6.5), (one(0, 2), 7.5)]
    assert measure.asked == [
        ([one(0, 1, 2), one(0, 1, 3), one(0, 2, 3), one(1, 2, 3)], [0, 1]),
        ([one(0, 2), one(0, 3), one(2, 3)], [0, 1]),
    ]


def test_greedy_takes_a_layer_of_either_stack_until_each_has_few_enough():
    losses = {((0,), (0, 1)): 3, ((0, 1), (0,)): 4, ((0, 1), (1,)): 2, ((1,), (0, 1)): 5}
    measure = Measure({c: [loss] for c, loss in {**losses, ((0,), (1,)): 9, ((1,), (1,)): 8}.items()})
    found = search.greedy(measure, [2, 2], [1, 1], 1, "loss")
    assert table(found) == [(((1,), (1,)), 8.0), (((0,), (1,)), 9.0)]
    assert [candidates for candidates, _ in measure.asked] == [sorted(losses), [((0,), (1,)), ((1,), (1,))]]


def test_greedy_leaves_a_stack_alone_that_is_to_stay_whole():
    measure = Measure(lambda candidate, batch: sum(map(sum, candidate)))
    found = search.greedy(measure, [2, 3], [2, 1], 1, "loss")
    assert found[0].candidate == ((0, 1), (0,))
    assert all(candidate[0] == (0, 1) for candidates, _ in measure.asked for candidate in candidates)


def test_greedy_with_nothing_to_drop_scores_what_is_there():
    measure = Measure({((0, 1), (0,)): [3]})
    assert table(search.greedy(measure, [2, 1], [2, 1], 1, "loss")) == [(((0, 1), (0,)), 3.0)]


def test_a_race(monkeypatch):
    monkeypatch.setattr(search, "FINALISTS", 2)
    losses = {one(i): [float(i)] * 8 for i in range(8)}
    losses[one(3)][1] = -9.0  # fourth at first: it just survives, and then is the best
    losses[one(7)] = [9.0] + [-99.0] * 7  # would be the best by far
    measure = Measure(losses)
    found = search.racing(measure, sorted(losses), 8, "loss")
    assert measure.asked == [
        ([one(i) for i in range(8)], [0]),
        ([one(0), one(1), one(2), one(3)], [1]),  # each batch is scored once
        ([one(0), one(3)], [2, 3]),
        ([one(0), one(3)], [4, 5, 6, 7]),
    ]
    assert table(found) == [(one(0), 0.0), (one(3), 1.5)]  # one(3): 7 times 3, once -9, of 8
    assert found[1].totals.tolist() == [[12.0, 4.0, 0.0], [0.0, 4.0, 0.0]]


def test_at_least_ten_reach_the_end_of_a_race():
    measure = Measure(lambda candidate, batch: -sum(candidate[0]) if batch == 0 else sum(candidate[0]))
    candidates = all_candidates([6], [3])
    found = search.racing(measure, candidates, 4, "loss")
    assert [(len(asked), batches) for asked, batches in measure.asked] == [(20, [0]), (10, [1]), (10, [2, 3])]
    assert [sum(r.candidate[0]) for r in found] == [8, 8, 8, 9, 9, 9, 10, 10, 11, 12]
    assert found[0] == (one(0, 3, 5), pytest.approx(numpy.array([[0, 2, 0], [16, 2, 0]])))


def test_a_race_of_few_is_exhaustive():
    losses = {one(i): [float(i), 5.0 - i, 1.0] for i in range(5)}
    race, all_of_them = Measure(losses), Measure(losses)
    first = search.racing(race, sorted(losses), 3, "loss")
    second = search.exhaustive(all_of_them, sorted(losses), 3, "loss")
    assert table(first) == table(second)
    assert [len(candidates) for candidates, _ in race.asked] == [5, 5, 5]


@pytest.mark.parametrize(
    ("batches", "sizes"),
    [
        (1, [1]),
        (2, [1, 2]),
        (3, [1, 2, 3]),
        (127, [1, 2, 4, 8, 16, 32, 64, 127]),
        (129, [2, 4, 8, 16, 32, 64, 128, 129]),
        (1000, [8, 16, 32, 64, 128, 256, 512, 1000]),
    ],
)
def test_rounds_of_a_race(batches, sizes):
    assert search.rounds(batches) == sizes


def test_of_equals_the_first_leads():
    candidates = [one(1), one(0), one(2)]
    totals = numpy.array([[[2, 1, 0], [0, 1, 0]]] * 2 + [[[1, 1, 0], [0, 1, 0]]])
    assert [r.candidate for r in search.rank(candidates, totals, "loss")] == [one(2), one(0), one(1)]


def test_of_equal_accuracies_the_lower_loss_leads():
    totals = numpy.array([[[4, 2, 1], [0, 0, 0]], [[3, 2, 1], [0, 0, 0]], [[9, 2, 2], [0, 0, 0]]])
    assert [r.candidate for r in search.rank([one(0), one(1), one(2)], totals, "accuracy")] == [one(2), one(1), one(0)]


@pytest.mark.parametrize("metric", ["loss", "perplexity"])
def test_a_loss_that_is_no_number_comes_last(metric):
    totals = numpy.array([[[loss, 1, 0], [0, 0, 0]] for loss in (NAN, 5.0, math.inf, 2000.0, 3.0)])
    found = search.rank([one(i) for i in range(5)], totals, metric)
    assert [r.candidate for r in found] == [one(4), one(1), one(3), one(0), one(2)]
    assert [r.perplexity for r in found[:3]] == [8.0, 32.0, math.inf]
    assert math.isnan(found[3].perplexity)
    assert found[4].perplexity == math.inf


def test_values_and_halves():
    r = ranked(losses=(4, 6), counts=(2, 3), correct=(1, 3))
    assert (r.loss, r.perplexity, r.accuracy) == (2.0, 4.0, 0.8)
    assert (r.value("loss"), r.value("perplexity"), r.value("accuracy")) == (2.0, 2.0, -0.8)
    assert r.halves("loss") == r.halves("perplexity") == (2.0, 2.0)
    assert r.halves("accuracy") == (-0.5, -1.0)


def test_a_single_batch_has_no_second_half():
    first, second = ranked(losses=(4, 0), counts=(2, 0)).halves("loss")
    assert first == 2.0
    assert math.isnan(second)


@pytest.mark.parametrize(
    ("losses", "others", "better", "spread", "noise"),
    [
        ((2.0, 3.0), (2.5, 4.0), 0.75, 0.5, False),  # better by 0.5 on one half, by 1 on the other
        ((2.0, 3.0), (4.0, 3.0), 1.0, 2.0, True),  # by 2 and by 0
        ((2.0, 3.0), (3.0, 3.5), 0.75, 0.5, False),
        ((2.0, 3.0), (2.0, 3.0), 0.0, 0.0, True),
        ((2.0, 3.0), (1.0, 2.0), -1.0, 0.0, True),  # it is worse
    ],
)
def test_difference(losses, others, better, spread, noise):
    found = search.difference(ranked(losses), ranked(others), "loss")
    assert (*found, found.is_noise) == (better, spread, noise)


def test_difference_in_accuracy():
    found = search.difference(
        ranked((0, 0), counts=(4, 4), correct=(3, 4)), ranked((0, 0), counts=(4, 4), correct=(2, 2)), "accuracy"
    )
    assert (*found, found.is_noise) == (0.375, 0.25, False)


def test_one_half_tells_nothing_from_noise():
    found = search.difference(ranked((1, 0), (1, 0)), ranked((9, 0), (1, 0)), "loss")
    assert found.better == 8.0
    assert math.isnan(found.spread)
    assert found.is_noise


def test_some_candidates():
    found = some_candidates([16], [8], 40, seed=1)
    assert len(found) == 40
    assert found == sorted(set(found))
    assert all(kept == tuple(sorted(set(kept))) and len(kept) == 8 and kept[-1] < 16 for (kept,) in found)
    assert found == some_candidates([16], [8], 40, seed=1) != some_candidates([16], [8], 40, seed=2)
    assert ((0, 2, 4, 6, 8, 10, 12, 14),) not in found  # nobody is asked in


def test_some_candidates_of_two_stacks():
    found = some_candidates([4, 3], [2, 1], 5, seed=1)
    assert len(set(found)) == 5
    assert set(found) < set(all_candidates([4, 3], [2, 1]))


@pytest.mark.parametrize("count", [6, 7, 10**6])
def test_all_where_there_are_no_more(count):
    assert some_candidates([4], [2], count, seed=1) == all_candidates([4], [2])


def test_all_but_one():
    assert len(some_candidates([4], [2], 5, seed=1)) == 5
