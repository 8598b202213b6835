"""The search over a real model: scores through shared prefixes, what a result depends on, and what is reported."""

from __future__ import annotations

import json
import os
import sys

import pytest
import torch
from shared.search_models import load  # noqa: F401  fixture

from layerdrop_plugin import prefixes
from layerdrop_plugin.candidates import all_candidates
from layerdrop_plugin.fairseq_adapter.evaluation import evaluation, search_report
from layerdrop_plugin.fairseq_adapter.evaluation import search as layer_search
from layerdrop_plugin.measuring import Measuring

FAMILIES = ["transformer", "transformer_lm", "roberta"]


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
