"""What to search: plans, their references and default strategies, what does not fit, and how much work that is."""

from __future__ import annotations

import pytest
from shared.search_models import load  # noqa: F401  fixture

from layerdrop_plugin import search
from layerdrop_plugin.candidates import all_candidates, some_candidates
from layerdrop_plugin.fairseq_adapter.evaluation import search as layer_search
from layerdrop_plugin.learned_rates import LearnedRate, Learning
from layerdrop_plugin.measuring import Measuring


def test_plan_of_both_stacks(load):
    plan = layer_search.plan(load("transformer"), None, [3, 1], None, "loss", 10)
    assert plan[:5] == (("encoder", "decoder"), (4, 4), (3, 1), "exhaustive", "loss")
    assert plan.candidates == tuple(all_candidates([4, 4], [3, 1]))
    assert plan.named == {
        "every_other:3+1": ((0, 1, 2), (0,)),
        "first:3+1": ((0, 1, 2), (0,)),
        "last:3+1": ((1, 2, 3), (3,)),
    }
    assert plan.specs(((0, 2), (1,))) == {"encoder": "0,2", "decoder": "1"}
    assert plan.model_overrides(((0, 2), (1,))) == "{'encoder_layers_to_keep': '0,2', 'decoder_layers_to_keep': '1'}"
    assert layer_search.plan(load("transformer"), "both", [3, 1], None, "loss", 10) == plan


def test_learned_rates_are_a_reference_where_all_searched_stacks_have_them(load):
    model = load("transformer")
    plan = layer_search.plan(model, None, [2], None, "loss", 1)
    assert plan.learned == {}
    encoder, decoder = {"encoder": (0.4, 0.1, 0.2, 0.3)}, {"decoder": (0.2, 0.2, 0.1, 0.2)}
    usual = ["every_other:2+2", "first:2+2", "last:2+2"]
    assert list(plan._replace(learned=encoder).named) == usual
    both = plan._replace(learned={**encoder, **decoder})
    assert list(both.named) == [*usual, "learned:2+2"]
    assert both.named["learned:2+2"] == ((1, 2), (0, 2))
    assert both.specs(both.named["learned:2+2"]) == {"encoder": "1,2", "decoder": "0,2"}
    alone = layer_search.plan(model, "encoder", [3], None, "loss", 1)._replace(learned=encoder)
    assert alone.named["learned:3"] == ((1, 2, 3),)
    assert "learned:3" not in alone._replace(learned=decoder).named


def test_a_plan_has_the_rates_that_a_model_learned(load):
    model = load("transformer_lm")
    stack = model.stacks["decoder"]
    try:
        for i, rate in enumerate((0.5, 0.25, 0.125, 0.75)):
            stack[i].learned_rate = LearnedRate(rate)
        stack.learning = Learning(4)
        plan = layer_search.plan(model, None, [2], None, "loss", 1)
    finally:
        stack.learning = None
        for i in range(4):
            del stack[i].learned_rate
    assert plan.learned == {"decoder": (0.5, 0.25, 0.125, 0.75)}
    assert plan.named["learned:2"] == ((1, 2),)


@pytest.mark.parametrize(("batches", "strategy"), [(31, "exhaustive"), (32, "racing")])
def test_the_default_strategy(load, batches, strategy):
    """36 sets take 63 layer evaluations a batch; 2,000 in all are short."""
    plan = layer_search.plan(load("transformer"), None, [2], None, "loss", batches)
    assert (plan.strategy, plan.estimates["exhaustive"]) == (strategy, 63 * batches)


def test_a_stack_that_is_not_searched_counts_in_the_estimate(load):
    """6 sets of 2 of 4 encoder layers, 9 layers with what they share, and the 4 decoder layers for each."""
    plan = layer_search.plan(load("transformer"), "encoder", [2], None, "loss", 10)
    assert plan.estimates["exhaustive"] == 10 * (9 + 6 * 4)


def test_a_race_of_too_many_is_of_some(load, monkeypatch):
    monkeypatch.setattr(search, "MOST", 20)
    plan = layer_search.plan(load("transformer"), None, [2], "racing", "loss", 1)
    assert plan.candidates == tuple(some_candidates([4, 4], [2, 2], 20, seed=1))
    assert len(plan.candidates) == 20


def test_greedy_makes_its_own_candidates(load):
    assert layer_search.plan(load("transformer"), None, [2], "greedy", "loss", 1).candidates == ()


@pytest.mark.parametrize(
    ("family", "options", "said"),
    [
        (
            "transformer_lm",
            {"stack": "encoder"},
            "`--stack` must be one that can be pruned, decoder, but is 'encoder' instead.",
        ),
        ("roberta", {"stack": "both"}, "`--stack` must be one that can be pruned, encoder, but is 'both' instead."),
        (
            "roberta",
            {"keep": [2, 2]},
            "`--keep` must be one number for the encoder, but is '2+2'.",
        ),
        (
            "transformer",
            {"keep": [2, 2, 2]},
            "`--keep` must be one number, or one for each of 2 stacks, but is '2+2+2'.",
        ),
        ("transformer", {"keep": [2, 5]}, "`--keep` must be at most the decoder's depth, 4, but is 5 instead."),
        ("transformer", {"keep": [5]}, "`--keep` must be at most the encoder's depth, 4, but is 5 instead."),
        (
            "transformer",
            {"metric": "accuracy"},
            "`--metric accuracy` must go with a task that classifies sentences, but this one does not.",
        ),
    ],
)
def test_plans_that_do_not_fit(load, family, options, said):
    chosen = {"stack": None, "keep": [2], "strategy": None, "metric": "loss", **options}
    with pytest.raises(ValueError) as error:
        layer_search.plan(load(family), batches=1, **chosen)
    assert str(error.value) == said


def test_more_sets_than_an_exhaustive_search_takes(load, monkeypatch):
    monkeypatch.setattr(search, "TOO_MANY", 35)
    with pytest.raises(ValueError) as error:
        layer_search.plan(load("transformer"), None, [2], "exhaustive", "loss", 1)
    assert str(error.value) == "`--strategy exhaustive` must not have more than 35 candidates, but has 36."


@pytest.mark.parametrize("strategy", layer_search.STRATEGIES)
@pytest.mark.parametrize(
    ("family", "keep", "number"), [("transformer_lm", 2, 3), ("transformer_lm", 4, 2), ("roberta", 1, 6)]
)
def test_the_work_is_what_is_done(load, strategy, family, keep, number):
    model = load(family, "--max-tokens", "64")
    batches = layer_search.chosen_batches(model, "valid", number)
    plan = layer_search.plan(model, None, [keep], strategy, "loss", len(batches))
    done = []
    layer_search.run(plan, Measuring(layer_search.Scoring(model, plan, batches), progress=done.append), len(batches))
    assert sum(done) == layer_search.work(plan, len(batches)) > 0
