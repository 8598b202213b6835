"""The search over a real model: scores through shared prefixes, plans and their errors, what a result depends on."""

from __future__ import annotations

import functools
import json
import os
import sys

import pytest
import torch

from layerdrop_plugin import prefixes, search
from layerdrop_plugin.candidates import all_candidates, some_candidates
from layerdrop_plugin.fairseq_adapter.evaluation import evaluation, search_report
from layerdrop_plugin.fairseq_adapter.evaluation import search as layer_search
from layerdrop_plugin.learned_rates import LearnedRate, Learning
from layerdrop_plugin.measuring import Measuring

FAMILIES = ["transformer", "transformer_lm", "roberta"]


@pytest.fixture(scope="module")
def load(full, data):
    """A function from a family and arguments to an evaluation, made once."""

    @functools.cache
    def make(family, *arguments):
        path = str(full[family]) if family in full else None
        return evaluation.load(path, "{}", [str(data[family]), "--cpu", *arguments], pytest.fail)

    before, sys.argv = sys.argv, ["pytest"]  # fairseq looks for --user-dir on it
    yield make
    sys.argv = before


def one_by_one(model, plan, batch, candidate):
    with model.running(dict(zip(plan.stacks, candidate))):
        return tuple(model.tally(batch))


@pytest.mark.parametrize(
    ("family", "stack", "keep"),
    [
        ("transformer", "encoder", [2]),
        ("transformer", "decoder", [2]),
        ("transformer", "both", [1, 3]),
        ("transformer", None, [2]),
        ("transformer_lm", None, [2]),
        ("transformer_lm", "decoder", [4]),
        ("roberta", "encoder", [3]),
        ("roberta", None, [1]),
    ],
)
def test_scores_are_those_of_one_set_after_another(load, family, stack, keep):
    model = load(family)
    batches = layer_search.chosen_batches(model, "valid", 3)
    plan = layer_search.plan(model, stack, keep, "exhaustive", "loss", len(batches))
    scoring = layer_search.Scoring(model, plan, batches)
    for number, batch in enumerate(batches):
        expected = [one_by_one(model, plan, batch, c) for c in plan.candidates]
        assert list(scoring(number, plan.candidates)) == expected  # bit for bit
        assert list(scoring(number, plan.candidates[::2])) == expected[::2]
    whole = [scoring.whole(c) for c in plan.candidates]
    calls = prefixes.layer_evaluations(whole) + prefixes.layer_evaluations(whole[::2])
    assert scoring.counters["layer_evaluations"] == len(batches) * calls
    assert scoring.counters["seconds"] > 0


def test_scores_of_a_classifier(classifier, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pytest"])
    folder, path = classifier
    model = evaluation.load(str(path), "{}", [str(folder), "--cpu"], pytest.fail)
    batches = layer_search.chosen_batches(model, "valid", 2)
    plan = layer_search.plan(model, None, [2], None, "accuracy", len(batches))
    scoring = layer_search.Scoring(model, plan, batches)
    found = list(scoring(1, plan.candidates))
    assert found == [one_by_one(model, plan, batches[1], c) for c in plan.candidates]
    assert all(0 <= correct <= count == batches[1]["target"].numel() for _, count, correct in found)


def test_the_whole_candidate_has_all_layers_of_stacks_that_are_not_searched(load):
    model = load("transformer")
    for stack, candidate, whole in [
        ("encoder", ((1, 2),), ((1, 2), (0, 1, 2, 3))),
        ("decoder", ((1, 2),), ((0, 1, 2, 3), (1, 2))),
        ("both", ((0,), (1, 2)), ((0,), (1, 2))),
    ]:
        plan = layer_search.plan(model, stack, [2], "greedy", "loss", 1)
        assert layer_search.Scoring(model, plan, []).whole(candidate) == whole


def test_totals_are_those_of_a_measure(load):
    model = load("roberta")
    batches = layer_search.chosen_batches(model, "valid", None)
    plan = layer_search.plan(model, None, [2], "exhaustive", "loss", len(batches))
    scoring = layer_search.Scoring(model, plan, batches)
    found = Measuring(scoring)(plan.candidates, range(len(batches)))
    for candidate, totals in zip(plan.candidates, found):
        assert scoring.totals(candidate).totals.tolist() == totals.tolist()


@pytest.mark.parametrize("strategy", layer_search.STRATEGIES)
def test_the_winner_by_brute_force(load, strategy):
    model = load("transformer_lm", "--max-tokens", "64")
    batches = layer_search.chosen_batches(model, "valid", None)
    plan = layer_search.plan(model, None, [3], strategy, "loss", len(batches))
    scoring = layer_search.Scoring(model, plan, batches)
    ranked = layer_search.run(plan, Measuring(scoring), len(batches))
    losses = {}
    for candidate in all_candidates([4], [3]):  # one layer goes: even greed can't miss the best
        tallies = [one_by_one(model, plan, batch, candidate) for batch in batches]
        losses[candidate] = sum(t[0] for t in tallies) / sum(t[1] for t in tallies)
    assert [r.candidate for r in ranked] == sorted(losses, key=losses.get)
    assert [r.loss for r in ranked] == pytest.approx(sorted(losses.values()), rel=1e-12)


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


@pytest.mark.slow
def test_batches_are_drawn_by_the_seed(load):
    def ids(seed, number):
        model = load("transformer", "--seed", str(seed), "--batch-size", "1")
        return [int(sample["id"]) for sample in layer_search.chosen_batches(model, "valid", number)]

    first = ids(1, None)
    assert sorted(first) == list(range(24)) != first
    assert ids(1, None) == first != ids(2, None)
    assert ids(1, 5) == first[:5]
    assert len(ids(1, 99)) == 24


def settings(
    model, path, stack="decoder", keep=2, strategy="racing", metric="loss", number=3, subset="valid", text="{}"
):
    batches = layer_search.chosen_batches(model, subset, number)
    plan = layer_search.plan(model, stack, [keep], strategy, metric, len(batches))
    found = layer_search.settings(plan, model, str(path), text, subset, batches)
    assert json.loads(json.dumps(found)) == found
    return found


def changed(one, other):
    assert list(one) == list(other)
    return [name for name in one if one[name] != other[name]]


@pytest.mark.slow
def test_settings_name_all_that_matters(load, full):
    model, path = load("transformer"), full["transformer"]
    before = settings(model, path)
    assert settings(model, path) == before
    assert changed(settings(model, path, stack="encoder"), before) == ["stacks"]
    assert changed(settings(model, path, keep=1), before) == ["keep"]
    assert changed(settings(model, path, strategy="greedy"), before) == ["strategy"]
    assert changed(settings(model, path, number=2), before) == ["batches"]
    assert changed(settings(model, path, subset="test"), before) == ["split", "batches"]
    assert changed(settings(model, full["roberta"]), before) == ["checkpoint"]
    assert changed(settings(model, path, text="{'encoder_layers_to_keep': '0'}"), before) == ["model_overrides"]
    assert changed(settings(load("transformer", "--seed", "2"), path), before) == ["batches", "seed"]
    assert changed(settings(load("transformer", "--max-tokens", "40"), path), before) == ["batches"]
    there_and_back = ["--source-lang", "de", "--target-lang", "en"]
    assert changed(settings(load("transformer", *there_and_back), path), before) == ["batches"]


def test_settings_know_the_inputs_too(load, full):
    """The same targets, with another source before them."""
    model, path = load("transformer"), full["transformer"]
    batches = layer_search.chosen_batches(model, "valid", None)
    plan = layer_search.plan(model, None, [2], None, "loss", len(batches))
    before = layer_search.settings(plan, model, str(path), "{}", "valid", batches)
    word = batches[-1]["net_input"]["src_tokens"][0]
    word[-2] += 1
    after = layer_search.settings(plan, model, str(path), "{}", "valid", batches)
    word[-2] -= 1
    assert changed(before, after) == ["batches"]
    assert layer_search.settings(plan, model, str(path), "{}", "valid", batches) == before


@pytest.mark.parametrize("zipped", [True, False])
def test_a_fingerprint_sees_one_number_changed(zipped, full, tmp_path):
    path = full["transformer_lm"]
    state = torch.load(path, weights_only=False)
    state["model"]["at the end"] = torch.zeros(2**18)  # a MB, and no weights in the last one
    for name in ("same.pt", "other.pt"):
        torch.save(state, tmp_path / name, _use_new_zipfile_serialization=zipped)
        next(iter(w for w in state["model"].values() if w.is_floating_point() and w.dim() == 2))[0, 0] += 1e-3
    os.rename(tmp_path / "same.pt", tmp_path / "a.pt")
    os.rename(tmp_path / "other.pt", tmp_path / "b.pt")
    first, second = (layer_search.fingerprint(str(tmp_path / name)) for name in ("a.pt", "b.pt"))
    assert first != second
    assert first.split(":")[0] == str(os.path.getsize(tmp_path / "a.pt"))


def test_a_second_split(load):
    model = load("transformer_lm", "--max-tokens", "64")
    batches = layer_search.chosen_batches(model, "valid", None)
    plan = layer_search.plan(model, None, [2], "exhaustive", "loss", len(batches))
    scoring = layer_search.Scoring(model, plan, batches)
    found = layer_search.run(plan, Measuring(scoring), len(batches))
    other = model.batches("test")
    options = {"report_split": "test", "report_batches": other}
    second = search_report.report(plan, scoring, found, scoring.counters, **options).second
    assert second.split == "test"
    rows = second.rows
    assert [row.rank for row in rows] == ["1", "every_other:2", "full"]
    for row, candidate in zip(rows, [found[0].candidate, ((0, 2),), ((0, 1, 2, 3),)]):
        tallies = [one_by_one(model, plan, batch, candidate) for batch in other]
        assert row.loss == pytest.approx(sum(t[0] for t in tallies) / sum(t[1] for t in tallies), rel=1e-12)


def test_learned_layers_are_on_the_second_split_too_and_what_is_equal_is_scored_once(load, monkeypatch):
    model = load("transformer_lm", "--max-tokens", "64")
    batches = layer_search.chosen_batches(model, "valid", 1)
    plan = layer_search.plan(model, None, [2], "exhaustive", "loss", 1)
    plan = plan._replace(learned={"decoder": (0.1, 0.4, 0.1, 0.4)})  # of the layers of every_other:2
    scoring = layer_search.Scoring(model, plan, batches)
    found = layer_search.run(plan, Measuring(scoring), 1)
    scored, totals = [], layer_search.Scoring.totals
    monkeypatch.setattr(layer_search.Scoring, "totals", lambda self, c: scored.append(c) or totals(self, c))
    options = {"report_split": "test", "report_batches": model.batches("test")}
    done = []
    rows = search_report.report(plan, scoring, found, scoring.counters, **options, done=done.append).second.rows
    assert sum(done) == len({found[0].candidate, ((0, 2),), ((0, 1, 2, 3),)})
    assert sum(done) <= search_report.work(plan, found, bleu=False, second=True) == 4
    assert [row.rank for row in rows] == ["1", "every_other:2", "learned:2", "full"]
    assert rows[1].loss == rows[2].loss
    full, best, half = ((0, 1, 2, 3),), found[0].candidate, ((0, 2),)
    assert scored == [full, *dict.fromkeys([best, half]), full]


def test_at_chance_there_is_nothing_to_choose_by(classifier, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pytest"])
    folder, path = classifier
    model = evaluation.load(str(path), "{}", [str(folder), "--cpu", "--batch-size", "8"], pytest.fail)
    batches = layer_search.chosen_batches(model, "valid", None)
    plan = layer_search.plan(model, None, [3], "exhaustive", "accuracy", len(batches))
    scoring = layer_search.Scoring(model, plan, batches)
    found = layer_search.run(plan, Measuring(scoring), len(batches))
    labels = torch.cat([batch["target"].view(-1) for batch in batches])
    most = max((labels == label).sum().item() for label in (0, 1))
    assert evaluation.majority(batches) == most / 24

    def warned(right):
        """With so many right ones in every set."""
        totals = [r.totals.copy() for r in found]
        for sums in totals:
            sums[:, 2] = right, 0
        ranked = [r._replace(totals=sums) for r, sums in zip(found, totals)]
        monkeypatch.setattr(layer_search.Scoring, "totals", lambda self, c: ranked[0]._replace(candidate=c))
        return search_report.report(plan, scoring, ranked, scoring.counters).warnings

    said = (
        "there is nothing to choose by: no set, nor full depth, is better than to answer the most frequent class "
        f"always ({100 * most / 24:.2f}%)."
    )
    assert warned(most) == [said]
    assert said not in warned(most + 1)
