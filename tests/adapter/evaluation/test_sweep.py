"""A sweep's measures: equal to fairseq's own of the pruned model, with the checkpoint loaded once."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from layerdrop_plugin.fairseq_adapter.evaluation import evaluation, generation, running_cost
from layerdrop_plugin.fairseq_adapter.evaluation import importance as layer_importance
from layerdrop_plugin.fairseq_adapter.evaluation import sweep as layer_sweep
from layerdrop_plugin.fairseq_adapter.evaluation.sweep import Subject
from layerdrop_plugin.sweep import Point

pytestmark = pytest.mark.slow

OVERRIDES = {
    "transformer": "{'encoder_layers_to_keep': '0,2', 'decoder_layers_to_keep': '0,2'}",
    "transformer_lm": "{'decoder_layers_to_keep': '0,2'}",
    "roberta": "{'encoder_layers_to_keep': '0,2'}",
}
FAMILIES = list(OVERRIDES)
MASKS = ["--seed", "1"]
CPU = ["--cpu", "--num-workers", 0]


def load(full, data, family, overrides="{}"):
    return evaluation.load(str(full[family]), overrides, [str(data[family]), "--cpu", *MASKS], pytest.fail)


@pytest.fixture(scope="module")
def subjects(full, data):
    """By family, a subject with full depth and two ways to keep half."""
    found = {}
    for family in FAMILIES:
        model = load(full, data, family)
        stacks = len(model.stacks)
        kept = [((0, 1, 2, 3),) * stacks, ((0, 2),) * stacks, ((2, 3),) * stacks]
        points = [Point(name, k) for name, k in zip(("full", "every_other", "last"), kept)]
        found[family] = Subject(family, model, model.batches("valid"), points)
    return found


def losses(subject, done=lambda count: None):
    tallies = layer_sweep.losses_by_batch(subject.evaluation, subject.batches, subject.candidates, done)
    return {c: sum(t.loss for t in some) / sum(t.count for t in some) for c, some in tallies.items()}


def by_fairseq(parser, main, *argv, overriding=False):
    """Run one of fairseq's commands here, by its `main`."""
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    arguments = [str(word) for word in argv]
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(parser(), arguments))
    given = {"override_args": options.parse_args_and_arch(parser(), arguments, suppress_defaults=True)}
    main(cfg, **(given if overriding else {}))


@pytest.mark.parametrize("overrides", ["{}", OVERRIDES["transformer_lm"]])
def test_the_loss_is_that_of_fairseq_eval_lm(overrides, subjects, full, data, monkeypatch):
    from fairseq import options
    from fairseq_cli import eval_lm

    evaluate, results = eval_lm.eval_lm, []
    monkeypatch.setattr(eval_lm, "eval_lm", lambda **how: results.append(evaluate(**how)) or results[0])
    argv = [data["transformer_lm"], "--path", full["transformer_lm"], *CPU, "--gen-subset", "valid"]
    argv += ["--tokens-per-sample", 32, "--model-overrides", overrides]
    by_fairseq(options.get_eval_lm_parser, eval_lm.main, *argv)
    candidate = subjects["transformer_lm"].candidates[0 if overrides == "{}" else 1]
    assert losses(subjects["transformer_lm"])[candidate] == pytest.approx(float(results[0]["loss"]), rel=1e-6)


@pytest.mark.parametrize("family", ["transformer", "roberta"])
def test_the_loss_is_that_of_fairseq_validate(family, subjects, full, data, monkeypatch):
    from fairseq import options
    from fairseq.criterions.label_smoothed_cross_entropy import LabelSmoothedCrossEntropyCriterion
    from fairseq.criterions.masked_lm import MaskedLmLoss
    from fairseq_cli import validate

    logs = []
    for criterion in (LabelSmoothedCrossEntropyCriterion, MaskedLmLoss):
        monkeypatch.setattr(criterion, "reduce_metrics", staticmethod(logs.extend))
    argv = [data[family], "--path", full[family], *CPU, *MASKS, "--max-tokens", 4000, "--valid-subset", "valid"]
    argv += ["--task", subjects[family].evaluation.cfg.task._name, "--model-overrides", OVERRIDES[family]]
    by_fairseq(options.get_validation_parser, validate.main, *argv, overriding=True)
    name, count = ("nll_loss", "ntokens") if family == "transformer" else ("loss", "sample_size")
    expected = sum(float(log[name]) for log in logs) / sum(int(log[count]) for log in logs) / math.log(2)
    half = subjects[family].candidates[1]
    assert losses(subjects[family])[half] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_and_loss_are_those_of_the_pruned_model(family, subjects, full, data):
    subject = subjects[family]
    pruned = load(full, data, family, OVERRIDES[family])
    half = subject.candidates[1]
    count = sum(p.numel() for p in pruned.model.parameters())
    assert running_cost.parameters(subject.evaluation, half) == count
    assert count < running_cost.parameters(subject.evaluation, subject.candidates[0])
    sizes = [t.numel() * t.element_size() for t in (*pruned.model.parameters(), *pruned.model.buffers())]
    assert running_cost.bytes_in_use(subject.evaluation, half) == sum(sizes)
    sums = [pruned.tally(batch) for batch in pruned.batches("valid")]
    expected = sum(t.loss for t in sums) / sum(t.count for t in sums)
    assert losses(subject)[half] == pytest.approx(expected, rel=1e-6)


def test_some_batches_are_drawn_by_seed_and_stay_in_order(full, data):
    def ids(batches):
        return [batch["id"].tolist() for batch in batches]

    model = evaluation.load(
        str(full["transformer"]), "{}", [str(data["transformer"]), "--cpu", "--batch-size", "2"], pytest.fail
    )
    every = ids(layer_sweep.some_batches(model, "valid", None))
    assert len(every) == len(ids(layer_sweep.some_batches(model, "valid", 99))) == 12
    drawn = ids(layer_sweep.some_batches(model, "valid", 5))
    assert [one for one in every if one in drawn] == drawn
    assert len(drawn) == 5
    assert drawn != every[:5]  # which would be sentences of one length
    assert ids(layer_sweep.some_batches(model, "valid", 5)) == drawn


@pytest.mark.parametrize(("seed", "drawn"), [(1, "abe"), (2, "ade")])
def test_other_batches_are_drawn_by_another_seed(seed, drawn):
    cfg = SimpleNamespace(common=SimpleNamespace(seed=seed))
    model = SimpleNamespace(batches=lambda subset: list("abcde"), cfg=cfg)
    assert "".join(layer_sweep.some_batches(model, "valid", 3)) == drawn


def test_progress_counts_batches(subjects):
    subject, ticks = subjects["transformer_lm"], []
    layer_sweep.measure([subject], 2, with_bleu=False, done=ticks.append)
    assert sum(ticks) == layer_sweep.work([subject], 2, with_bleu=False) == 3 * 3 * len(subject.batches)
    ticks.clear()
    layer_importance.measure([subject], ["decoder"], 5, ticks.append)
    assert sum(ticks) == layer_importance.work([subject], ["decoder"], 5)


def test_a_pass_with_bleu(subjects):
    pytest.importorskip("sacrebleu")
    subject, ticks = subjects["transformer"], []
    found = layer_sweep.measure([subject], 1, with_bleu=True, done=ticks.append)
    assert sum(ticks) == layer_sweep.work([subject], 1, with_bleu=True) == 3 * 3 * len(subject.batches)
    assert found.bleu_signature.startswith("nrefs:1|")
    with subject.evaluation.running({"encoder": (0, 2), "decoder": (0, 2)}):
        bleu = generation.bleu(subject.evaluation, subject.batches)
    assert found.rows[1].measured.bleu == bleu.score
    assert found.rows[1].measured.loss == pytest.approx(losses(subject)[subject.candidates[1]], rel=1e-6)


def test_models_take_turns_on_each_batch_and_medians_count(subjects, monkeypatch):
    evaluation = subjects["transformer_lm"].evaluation
    full, half = subjects["transformer_lm"].candidates[:2]
    times = {
        (4, "b1"): [1.0, 9.0, 2.0],  # the median is 2
        (4, "b2"): [3.0, 3.0, 3.0],
        (2, "b1"): [0.5, 0.5, 9.0],
        (2, "b2"): [9.0, 1.5, 1.0],
    }
    order = []

    def evaluate(evaluation, batch):
        order.append((len(evaluation.stacks["decoder"].running_layers), batch))
        return {"b1": 10, "b2": 30}[batch], times[order[-1]][order.count(order[-1]) - 1]

    monkeypatch.setattr(running_cost, "evaluate", evaluate)
    turns = [running_cost.Turn(evaluation, candidate, ["b1", "b2"]) for candidate in (full, half)]
    assert running_cost.tokens_per_second(turns, 3, translating=False) == [40 / 5, 40 / 2]
    once = [(4, "b1"), (2, "b1"), (2, "b2"), (4, "b2")]
    again = [(2, "b1"), (4, "b1"), (4, "b2"), (2, "b2")]
    assert order == once + again + once
    order.clear()
    uneven = [turns[0]._replace(batches=["b1"]), turns[1]]
    assert running_cost.tokens_per_second(uneven, 1, translating=False) == [10 / 1, 40 / 9.5]
    assert order == [(4, "b1"), (2, "b1"), (2, "b2")]


def first_pass(peak=None, **values):
    return lambda turn, with_bleu: running_cost.FirstPass(evaluation.Tally(8.0, 4, 3), None, peak, **values)


def test_weights_that_do_not_run_do_not_count_as_memory(subjects, monkeypatch):
    mib = 2**20
    monkeypatch.setattr(layer_sweep, "first_pass", first_pass(600 * mib))
    pair = [subjects["transformer_lm"], subjects["roberta"]]
    rows = layer_sweep.measure(pair, repeats=1, with_bleu=False).rows
    sizes = [running_cost.bytes_in_use(s.evaluation, s.candidates[0]) for s in pair]
    layer = sum(p.numel() * 4 for p in pair[0].evaluation.stacks["decoder"][1].parameters())
    expected = [600 * mib - sizes[1], 600 * mib - (sizes[1] + 2 * layer)]
    assert [row.measured.peak_memory for row in rows[:2]] == expected
    assert rows[3].measured.peak_memory == 600 * mib - sizes[0]


def test_where_the_system_does_not_tell_memory_it_is_missing(subjects, monkeypatch):
    monkeypatch.setattr(running_cost.peak_memory, "reset", lambda device: False)
    found = layer_sweep.measure([subjects["transformer_lm"]], repeats=1, with_bleu=False)
    assert [row.measured.peak_memory for row in found.rows] == [None, None, None]
    assert [row.measured.tokens_per_second > 0 for row in found.rows] == [True, True, True]
    batches = subjects["transformer_lm"].batches
    assert found.tokens == sum(int(batch["target"].ne(1).sum()) for batch in batches)
    assert (found.batches, found.bleu_signature) == (len(batches), None)


def test_accuracy_of_a_task_that_classifies(subjects, monkeypatch):
    monkeypatch.setattr(layer_sweep, "first_pass", first_pass())
    monkeypatch.setattr(layer_sweep, "tokens_per_second", lambda turns, *how: [1.0] * len(turns))
    monkeypatch.setattr(subjects["roberta"].evaluation, "classifies", True)
    rows = layer_sweep.measure([subjects["roberta"]], 1, with_bleu=False).rows
    row = rows[0]
    assert (row.measured.loss, row.measured.accuracy, "perplexity" in row.as_json()) == (2.0, 75.0, False)
    one = subjects["roberta"]._replace(batches=[{"target": torch.tensor([[1], [1], [0], [1]])}])
    assert layer_sweep.at_chance([one], rows) == [
        "there is nothing to choose by: roberta is at no depth better than to answer the most frequent class always "
        "(75.00%)"
    ]
    better = [r._replace(measured=r.measured._replace(accuracy=75.5)) for r in rows]
    assert layer_sweep.at_chance([one], better) == []


@pytest.mark.parametrize(
    ("stack", "swept"),
    [(None, ["encoder", "decoder"]), ("both", ["encoder", "decoder"]), ("decoder", ["decoder"])],
)
def test_which_stacks_lose_layers(stack, swept):
    assert layer_sweep.swept({"a": {"encoder": 6, "decoder": 6}}, stack) == swept


@pytest.mark.parametrize("stack", ["both", "encoder"])
def test_a_stack_that_is_not_there(stack):
    with pytest.raises(ValueError) as error:
        layer_sweep.swept({"a": {"decoder": 6}}, stack)
    assert str(error.value) == f"`--stack` must be one that can be pruned, decoder, but is {stack!r} instead."


def test_models_that_are_not_alike():
    with pytest.raises(ValueError) as error:
        layer_sweep.swept({"mt": {"encoder": 6, "decoder": 6}, "lm": {"decoder": 6}}, None)
    assert str(error.value) == (
        "`--compare` must hold models with the same stacks, but mt has encoder and decoder, and lm has decoder."
    )


def test_models_on_other_data(subjects):
    one = subjects["transformer_lm"]
    other = one._replace(label="other", batches=one.batches[1:])
    layer_sweep.check_same_data([one, one._replace(label="same")])
    with pytest.raises(ValueError) as error:
        layer_sweep.check_same_data([one, other])
    numbers = [sum(int(batch["ntokens"]) for batch in s.batches) for s in (one, other)]
    assert str(error.value) == (
        f"`--compare` must hold models that take the same data, but transformer_lm takes {numbers[0]} tokens, "
        f"and other takes {numbers[1]}."
    )


def test_importance_is_of_the_networks_that_it_names(subjects):
    subject = subjects["transformer"]
    model = subject.evaluation
    torch.manual_seed(3)
    before = torch.get_rng_state()
    rows = layer_importance.measure([subject], ["decoder"], samples=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert rows == layer_importance.measure([subject], ["decoder"], samples=4)
    assert [(row.stack, row.layer) for row in rows] == [("decoder", i) for i in range(4)]
    with model.running({"decoder": (0, 1, 3)}):
        sums = [model.tally(batch) for batch in subject.batches]
    expected = sum(t.loss for t in sums) / sum(t.count for t in sums)
    assert rows[2].loss_without == pytest.approx(expected, rel=1e-6)
    assert rows[2].loss_full == pytest.approx(losses(subject)[subject.candidates[0]], rel=1e-6)
    halves = [(row.subnetworks_with, row.subnetworks_without) for row in rows]
    assert all(with_it != without_it for with_it, without_it in halves)
