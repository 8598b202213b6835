"""Searches within a budget: which splits, the best of each, what they cost, and what a search would take."""

from __future__ import annotations

from types import SimpleNamespace

import numpy
import pytest
from shared.evaluating import load, message

from layerdrop_plugin.budget import Cost, parse
from layerdrop_plugin.cost_model import CostModel
from layerdrop_plugin.fairseq_adapter.checkpoints.describe import describe
from layerdrop_plugin.fairseq_adapter.checkpoints.write_pruned import prune_checkpoint
from layerdrop_plugin.fairseq_adapter.evaluation import (
    budget_search,
    generation,
    part_costs,
    replay,
    running_cost,
    split_costs,
)
from layerdrop_plugin.fairseq_adapter.evaluation import search as layer_search

SLOW = {"encoder": 0.001, "decoder": 0.004}

SECONDS = CostModel(0.002, (0.001, 0.004))  # 22 ms with 4+4 layers


@pytest.fixture
def asked(full, data):
    def ask(kind, text, family="transformer", seconds=SECONDS, strategy="exhaustive", path=None):
        model = load(full[family], data[family])
        whole = layer_search.plan(model, None, [1], "greedy", "loss", 2)
        costs = split_costs.costs(model, whole, seconds, path)
        option = f"--{kind.replace('_', '-')}"
        return budget_search.Asked(model, parse(kind, text), option, whole, strategy, 2, costs)

    return ask


def measure(candidates, batches):
    """Made-up scores: a layer more is better, a later one more so; each batch in both halves alike."""
    losses = [10 - sum(1 + i / 10 for kept in candidate for i in kept) for candidate in candidates]
    return numpy.array([[[loss * len(batches), len(batches), 0]] * 2 for loss in losses])


@pytest.mark.parametrize(
    ("kind", "value", "splits"),
    [
        ("speedup", "1.9", [(4, 1), (1, 2)]),  # 10 and 11 ms
        ("latency", "14ms", [(4, 2)]),
        ("latency", "13.9ms", [(3, 2), (4, 1)]),
        ("speedup", "1.05", [(2, 4), (4, 3)]),
    ],
)
def test_the_splits_within_a_time(asked, kind, value, splits):
    assert sorted(budget_search.fitting(asked(kind, value))) == sorted(splits)


def test_parameters_and_bytes_are_those_of_the_pruned_file(asked, full, tmp_path):
    path = str(full["transformer"])
    costs = asked("params", "1K", path=path).costs
    for encoder, decoder in ((4, 4), (3, 1), (1, 4)):
        output = tmp_path / f"{encoder}{decoder}.pt"
        prune_checkpoint(path, str(output), {"encoder": f"last:{encoder}", "decoder": f"first:{decoder}"})
        cost = costs.of((encoder, decoder))
        assert cost.parameters == describe(str(output)).parameters
        assert cost.bytes == pytest.approx(
            output.stat().st_size, abs=512
        )  # the parts of a zip begin at multiples of 64
        plan = asked("params", "1K").whole
        layers = {"encoder": tuple(range(4 - encoder, 4)), "decoder": tuple(range(decoder))}
        assert split_costs.size_of(path, plan, layers) == output.stat().st_size


def test_nothing_meets_it(asked):
    least = asked("params", "1").costs.of((1, 1)).parameters
    assert message(budget_search.fitting, asked("params", "1K")) == (
        f"`--params` must be met by some depth, but 1K is not: with the fewest layers, 1+1, there are {least:,} "
        "parameters."
    )
    assert message(budget_search.fitting, asked("speedup", "4")) == (
        "`--speedup` must be met by some depth, but 4 is not: with the fewest layers, 1+1, the model is 3.14 times as "
        "fast."
    )
    assert message(budget_search.fitting, asked("latency", "1ms")).endswith("1+1, a sentence takes 7 ms.")


def test_met_in_full(asked):
    assert budget_search.is_met_in_full(asked("latency", "22ms"))
    assert not budget_search.is_met_in_full(asked("latency", "21.9ms"))
    assert not budget_search.is_met_in_full(asked("max_loss_increase", "90%"))


@pytest.mark.parametrize("strategy", ["exhaustive", "racing", "greedy"])
def test_the_best_layers_of_the_best_split(asked, strategy):
    result = budget_search.run(asked("speedup", "1.9", strategy=strategy), measure)
    assert [(one.split, one.best.candidate) for one in result.found] == [
        ((4, 1), ((0, 1, 2, 3), (3,))),
        ((1, 2), ((3,), (2, 3))),
    ]
    assert result.chosen is result.found[0]
    assert result.full.loss == pytest.approx(10 - 2 * 4.6)
    assert (result.every_other.split, result.every_other.best.candidate) == ((1, 1), ((0,), (0,)))


def test_one_stack(asked):
    result = budget_search.run(asked("speedup", "2", "roberta", CostModel(0.0, (1.0,))), measure)
    assert [(one.split, one.best.candidate) for one in result.found] == [((2,), ((2, 3),))]
    assert result.every_other.best.candidate == ((0, 2),)


@pytest.mark.parametrize(("increase", "split"), [("415%", (4, 1)), ("410%", (3, 2)), ("125.1%", (4, 3))])
def test_the_fastest_within_a_loss(asked, increase, split):
    """The best of 4+1 has 10 - 4.6 - 1.3 = 4.1 bits, 412.5% above the 0.8 of 4+4; that of 3+2 has 3.9."""
    assert budget_search.run(asked("max_loss_increase", increase), measure).chosen.split == split


def test_no_smaller_model_is_within_a_loss(asked):
    assert message(budget_search.run, asked("max_loss_increase", "2%"), measure) == (
        "`--max-loss-increase` must be met by some depth below 4+4, but 2% is not: the best of 4+3 layers has a loss "
        "125.00% above that of all."
    )


def test_what_a_search_takes(asked):
    """Of 4+1: 4 encoder layers, then 4 decoder layers. Of 1+2: 4, then the 9 beginnings of 6 pairs for each of them."""
    found = budget_search.estimate(asked("speedup", "1.9"), CostModel(1.0, (0.5, 2.5)))
    assert [plan.keep for plan in found.plans] == [(4, 1), (1, 2)]
    assert found.layer_evaluations == 2 * (4 + 4 + 4 + 4 * 9)  # 2 batches
    assert found.seconds == 96 * 1.5 + 2 * (4 + 4 * 6) * 1.0


def test_what_a_search_for_a_loss_takes(asked):
    """All splits on the way down are asked about; if 4+3 and 3+4 are not within, no other."""
    question = asked("max_loss_increase", "2%")
    found = budget_search.estimate(question, SECONDS)
    assert [plan.keep for plan in found.plans] == [(4, 3), (4, 2), (4, 1), (3, 1), (2, 1), (1, 1)]
    found = budget_search.estimate(question, SECONDS, within=False)
    assert [plan.keep for plan in found.plans] == [(4, 3), (3, 4)]


def test_beam_search_goes_the_same_way_with_fewer_layers(full, data):
    """So many steps, the same words; without, the shallow model writes something else."""
    model = load(full["transformer"], data["transformer"], "--beam", 2, "--max-len-b", 9)
    batch = model.batches("valid")[0]
    steps, again = [], []
    with model.running({"encoder": range(4), "decoder": range(4)}):
        tokens, _ = generation.time_generation(model, batch, lambda generator: replay.record(generator, steps))

    def prepare(generator):
        replay.replay(generator, steps)
        replay.record(generator, again)

    with model.running({"encoder": [0], "decoder": [0]}):
        assert generation.time_generation(model, batch, prepare)[0] == tokens
        alone = []
        generation.time_generation(model, batch, lambda generator: replay.record(generator, alone))
    assert len(again) == len(steps)
    assert all(one.equal(other) for a, b in zip(steps, again) for one, other in zip(a, b))
    assert not all(one.equal(other) for a, b in zip(steps, alone) for one, other in zip(a, b))


@pytest.mark.parametrize("family", ["transformer", "transformer_lm"])
def test_the_costs_are_those_of_the_layers_that_run(full, data, monkeypatch, family):
    """By a clock that a layer moves on when it runs: 1 ms in the encoder, 4 ms in the decoder; 2 ms is the rest."""
    monkeypatch.setattr(part_costs, "REPEATS", (1, 1))
    model = load(full[family], data[family], "--beam", 2, "--max-len-b", 9)
    batches = model.batches("valid")[:2]
    now = [0.0]
    for module in (generation, running_cost):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def slow(seconds):
        def tick(module, args, output):
            now[0] += seconds

        return tick

    hooks = [model.stacks[name][i].register_forward_hook(slow(SLOW[name])) for name in model.stacks for i in range(4)]
    try:
        costs = part_costs.measure(model, list(model.stacks), batches)
    finally:
        for hook in hooks:
            hook.remove()
    sentences = part_costs.sentences_in(batches)
    assert costs.scoring.layers == pytest.approx([SLOW[name] for name in model.stacks])
    assert costs.in_use.fixed == pytest.approx(0, abs=1e-9)
    assert costs.in_use.layers[0] == pytest.approx(SLOW[next(iter(model.stacks))] * len(batches) / sentences)
    if family == "transformer":  # at each of some steps
        steps = costs.in_use.layers[1] / (SLOW["decoder"] / sentences)
        assert steps == pytest.approx(round(steps))
        assert steps > 4


def test_cost_of_a_split(asked):
    assert asked("params", "1K").costs.of((2, 3))._replace(parameters=0) == Cost(pytest.approx(0.016), 0, 0)
