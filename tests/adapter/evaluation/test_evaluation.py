"""A checkpoint with its task and data: losses are those of fairseq's own commands; what is wrong is one line."""

from __future__ import annotations

import math
import sys
from argparse import Namespace

import pytest
import torch
from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq_cli import eval_lm, validate
from shared.evaluating import load

from layerdrop_plugin.dropping import LayerDropStack
from layerdrop_plugin.fairseq_adapter.checkpoints.write_pruned import prune_checkpoint
from layerdrop_plugin.fairseq_adapter.evaluation import evaluation

ADAPTIVE = [  # of 48 words 10 are frequent
    *("--criterion", "adaptive_loss", "--adaptive-softmax-cutoff", "10,42", "--adaptive-softmax-factor", "2"),
    *("--adaptive-input", "--adaptive-input-cutoff", "10,42", "--adaptive-input-factor", "2"),
    *("--tie-adaptive-weights", "--tie-adaptive-proj", "--decoder-input-dim", "16", "--decoder-output-dim", "16"),
]


EVERY = {
    "transformer": {"encoder": (0, 1, 2, 3), "decoder": (0, 1, 2, 3)},
    "transformer_lm": {"decoder": (0, 1, 2, 3)},
    "roberta": {"encoder": (0, 1, 2, 3)},
}


HALF = {
    "transformer": {"encoder": (0, 3), "decoder": (1, 2)},
    "transformer_lm": {"decoder": (0, 2)},
    "roberta": {"encoder": (1, 3)},
}


@pytest.fixture(autouse=True)
def no_command_line(monkeypatch):
    """Empty the command line, on which fairseq looks for --user-dir."""
    monkeypatch.setattr(sys, "argv", ["pytest"])


def total(model, batches):
    return evaluation.Tally(*map(sum, zip(*map(model.tally, batches))))


def overrides_for(kept):
    return str({f"{stack}_layers_to_keep": ",".join(map(str, layers)) for stack, layers in kept.items()})


def parsed(parser, arguments, **how):
    return options.parse_args_and_arch(parser, input_args=[str(word) for word in arguments], **how)


def by_eval_lm(path, data, *arguments, overrides="{}"):
    """Loss in bits that fairseq-eval-lm finds."""
    arguments = [data, "--path", path, "--cpu", "--num-workers", 0, "--model-overrides", overrides, *arguments]
    arguments += ["--gen-subset", "valid"]
    return float(eval_lm.main(convert_namespace_to_omegaconf(parsed(options.get_eval_lm_parser(), arguments)))["loss"])


def by_validate(monkeypatch, path, data, task, *arguments, overrides="{}"):
    """What fairseq-validate prints, to three digits."""
    found = {}

    class Bar(list):
        def log(self, *args, **kwargs):
            pass

        def print(self, stats, **kwargs):
            found.update(stats)

    monkeypatch.setattr(validate.progress_bar, "progress_bar", lambda itr, **kwargs: Bar(itr))
    monkeypatch.setattr(validate, "reset_logging", lambda: None)
    arguments = [data, "--path", path, "--cpu", "--num-workers", 0, "--task", task, "--max-tokens", 300, *arguments]
    given = parsed(
        options.get_validation_parser(), [*arguments, "--model-overrides", overrides], suppress_defaults=True
    )
    validate.main(convert_namespace_to_omegaconf(parsed(options.get_validation_parser(), arguments)), given)
    return found


def value(stats, name="loss"):
    found = stats[name]
    return float(found.avg if hasattr(found, "avg") else found)


@pytest.mark.parametrize("kept", [EVERY, HALF], ids=["every", "half"])
@pytest.mark.parametrize(("family", "task"), [("transformer", "translation"), ("roberta", "masked_lm")])
def test_losses_of_fairseq_validate(monkeypatch, full, data, family, task, kept):
    model = load(full[family], data[family])
    with model.running(kept[family]):
        tally = total(model, model.batches("valid"))
    stats = by_validate(monkeypatch, full[family], data[family], task, overrides=overrides_for(kept[family]))
    name = "nll_loss" if family == "transformer" else "loss"  # not the one with label smoothing
    assert tally.loss / tally.count == pytest.approx(value(stats, name), abs=6e-4)
    assert tally.correct == 0
    assert not model.classifies


def test_it_is_not_the_loss_with_label_smoothing(monkeypatch, full, data):
    """With --label-smoothing, what is trained on is another number."""
    state = torch.load(full["transformer"], weights_only=False)
    assert state["cfg"]["criterion"]["_name"] == "label_smoothed_cross_entropy"
    smoothed = "{'label_smoothing': 0.2}"
    plain, other = (load(full["transformer"], data["transformer"], overrides=text) for text in ("{}", smoothed))
    assert other.criterion.eps == 0.2
    assert total(plain, plain.batches("valid")) == total(other, other.batches("valid"))


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [([], EVERY), ([], HALF), (["--sample-break-mode", "eos"], HALF), (["--tokens-per-sample", 8], EVERY)],
)
def test_losses_of_fairseq_eval_lm(full, data, arguments, kept):
    family = "transformer_lm"
    model = load(full[family], data[family], *arguments)
    batches = model.batches("valid")
    with model.running(kept[family]):
        tally = total(model, batches)
    tokens = [] if "--tokens-per-sample" in arguments else ["--tokens-per-sample", 32]
    loss = by_eval_lm(full[family], data[family], *arguments, *tokens, overrides=overrides_for(kept[family]))
    assert tally.loss / tally.count == pytest.approx(loss, rel=1e-6)
    assert tally.count == 160


def test_a_context_window(full, data):
    family, window = "transformer_lm", 8
    model, without = (load(full[family], data[family], *arguments) for arguments in (["--context-window", window], []))
    tally = total(model, model.batches("valid"))
    arguments = ["--context-window", window, "--tokens-per-sample", 32, "--max-tokens", 64]
    loss = by_eval_lm(full[family], data[family], *arguments)
    assert tally.loss / tally.count == pytest.approx(loss, rel=1e-6)
    assert tally.count == 160  # each word once
    assert tally.loss != total(without, without.batches("valid")).loss


@pytest.mark.slow
def test_a_mark_before_each_sample_is_nothing_to_predict(tiny, data, train, tmp_path):
    argv = [data["transformer_lm"], "--arch", "layerdrop_transformer_lm", *tiny["transformer_lm"], "--add-bos-token"]
    train(*argv, "--max-update", 3, "--save-dir", tmp_path)
    path, folder = tmp_path / "checkpoint_last.pt", data["transformer_lm"]
    model = load(path, folder)
    found = total(model, model.batches("valid"))
    arguments = ["--tokens-per-sample", 32, "--sample-break-mode", "none", "--add-bos-token", "--max-tokens", 400]
    assert found.loss / found.count == pytest.approx(by_eval_lm(path, folder, *arguments), rel=1e-6)


def test_data_without_a_target_side(full, data):
    model = load(full["transformer"], data["transformer"])
    (batch, *_) = model.batches("valid")
    with pytest.raises(ValueError) as error:
        model._predictions({**batch, "target": None}, "valid")
    assert str(error.value) == "`DATA` must have the target side of 'valid', but has none."


@pytest.mark.slow
def test_an_adaptive_softmax(tiny, data, train, tmp_path):
    """Not the loss of fairseq's criterion: that leaves out a word of each cluster."""
    argv = [data["transformer_lm"], "--arch", "layerdrop_transformer_lm", *tiny["transformer_lm"], *ADAPTIVE]
    train(*argv, "--max-update", 2, "--save-dir", tmp_path)
    path = tmp_path / "checkpoint_last.pt"
    model = load(path, data["transformer_lm"])
    batches = model.batches("valid")
    with model.running(HALF["transformer_lm"]):
        tally = total(model, batches)
        of_the_criterion = sum(float(model.criterion(model.model, batch)[0]) for batch in batches) / math.log(2)
    arguments = ["--tokens-per-sample", 32]
    loss = by_eval_lm(path, data["transformer_lm"], *arguments, overrides=overrides_for(HALF["transformer_lm"]))
    assert tally.loss / tally.count == pytest.approx(loss, rel=1e-6)
    assert tally.loss > of_the_criterion + 1


def test_accuracy(monkeypatch, classifier):
    kept = HALF["roberta"]
    folder, path = classifier
    model = load(path, folder)
    assert model.classifies
    with model.running(kept):
        tally = total(model, model.batches("valid"))
    overrides = overrides_for(kept)
    arguments = ["--criterion", "sentence_prediction", "--num-classes", 2]
    stats = by_validate(monkeypatch, path, folder, "sentence_prediction", *arguments, overrides=overrides)
    assert tally.loss / tally.count == pytest.approx(value(stats), abs=6e-4)
    assert 100 * tally.correct / tally.count == pytest.approx(value(stats, "accuracy"), abs=0.06)
    assert tally.count == 24
    assert 0 < tally.correct < 24


@pytest.mark.slow
def test_a_checkpoint_of_stock_fairseq(monkeypatch, stock_full, data):
    model = load(stock_full, data["transformer"])
    assert [(name, type(stack), len(stack)) for name, stack in model.stacks.items()] == [
        ("encoder", LayerDropStack, 4),
        ("decoder", LayerDropStack, 4),
    ]
    kept = HALF["transformer"]
    with model.running(kept):
        tally = total(model, model.batches("valid"))
    argv = [stock_full, data["transformer"], "translation"]
    stats = by_validate(monkeypatch, *argv, overrides=overrides_for(kept))
    assert tally.loss / tally.count == pytest.approx(value(stats, "nll_loss"), abs=6e-4)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["transformer_lm", "roberta"])
def test_architectures_of_fairseq_itself(family, tiny, data, train, tmp_path):
    options = tiny[family]
    stack = "decoder" if family == "transformer_lm" else "encoder"
    place = options.index(f"--{stack}-layerdrop")
    options = options[:place] + options[place + 2 :]
    train(data[family], "--arch", family, *options, "--max-update", 1, "--save-dir", tmp_path)
    path = tmp_path / "checkpoint_last.pt"
    model = load(path, data[family])
    pruned = load(path, data[family], overrides=overrides_for(HALF[family]))
    assert len(pruned.stacks[stack]) == 2
    with model.running(HALF[family]):
        found = total(model, model.batches("valid"))
    assert found == total(pruned, pruned.batches("valid")) != total(model, model.batches("valid"))


@pytest.mark.slow
def test_an_old_checkpoint(full, data, tmp_path):
    """As fairseq saved before 2020: `args`, no `cfg`."""
    state = torch.load(full["transformer_lm"], weights_only=False)
    args = Namespace(**vars(state.pop("cfg")["model"]))
    del args._name
    torch.save({**state, "args": args}, tmp_path / "old.pt")
    old, new = (load(p, data["transformer_lm"]) for p in (tmp_path / "old.pt", full["transformer_lm"]))
    assert total(old, old.batches("valid")) == total(new, new.batches("valid"))


@pytest.mark.slow
def test_pruned_at_load_and_pruned_while_running_are_the_same(full, data):
    for family, kept in HALF.items():
        model = load(full[family], data[family])
        pruned = load(full[family], data[family], overrides=overrides_for(kept))
        with model.running(kept):
            assert [model.tally(b) for b in model.batches("valid")] == [
                pruned.tally(b) for b in pruned.batches("valid")
            ]


def test_options_of_the_task_on_the_command_line(monkeypatch, full, data):
    there = load(full["transformer"], data["transformer"])
    assert (there.task.cfg.source_lang, there.task.cfg.target_lang) == ("en", "de")
    back = load(full["transformer"], data["transformer"], "--source-lang", "de", "--target-lang", "en")
    assert (back.task.cfg.source_lang, back.task.cfg.target_lang) == ("de", "en")
    tally = total(back, back.batches("valid"))
    arguments = ["--source-lang", "de", "--target-lang", "en"]
    stats = by_validate(monkeypatch, full["transformer"], data["transformer"], "translation", *arguments)
    assert tally.loss / tally.count == pytest.approx(value(stats, "nll_loss"), abs=6e-4)
    assert tally.loss != total(there, there.batches("valid")).loss


def test_the_data_may_have_moved(full, data, tmp_path):
    """The checkpoint names the folder of its training data."""
    (tmp_path / "moved").symlink_to(data["transformer_lm"])
    model = load(full["transformer_lm"], tmp_path / "moved")
    assert model.task.args.data == str(tmp_path / "moved")
    assert len(model.batches("test")) == 2


def sizes(batches):
    return [sample["id"].numel() for sample in batches]


@pytest.mark.slow
def test_sizes_of_batches(full, data):
    def found(*arguments, at_least=1):
        model = load(full["transformer"], data["transformer"], *arguments)
        return sizes(model.batches("valid", at_least))

    assert found() == [16, 8]
    assert len(found(at_least=128)) == 23
    assert max(found(at_least=128)) == 2
    assert len(found(at_least=4)) in (4, 5, 6)
    assert found("--batch-size", 10, at_least=128) == [8, 8, 8]  # in multiples of eight
    assert found("--batch-size", 10, "--required-batch-size-multiple", 1) == [10, 10, 4]
    assert found("--max-tokens", 9, "--batch-size", 1) == [1] * 24


def test_batches_in_which_nothing_is_to_be_predicted_are_left_out(full, data):
    """RoBERTa's masks, drawn for each sentence, may leave out a short one."""
    arguments = ["--sample-break-mode", "eos", "--mask-prob", "0.05"]
    one = load(full["roberta"], data["roberta"], *arguments, "--batch-size", 1)
    every = load(full["roberta"], data["roberta"], *arguments)
    batches = one.batches("valid")
    tallies = [one.tally(sample) for sample in batches]
    assert min(t.count for t in tallies) >= 1
    assert len(batches) < len(one.task.dataset("valid"))
    assert total(one, batches).loss == pytest.approx(total(every, every.batches("valid")).loss, rel=1e-5)


def test_running_does_not_reload_and_is_undone(full, data):
    model = load(full["transformer"], data["transformer"])
    batches = model.batches("valid")
    before = total(model, batches)
    weights = [p.data_ptr() for p in model.model.parameters()]

    def fail():
        with model.running({"decoder": (0,), "encoder": (1,)}):
            assert total(model, batches) != before
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert total(model, batches) == before
    assert [p.data_ptr() for p in model.model.parameters()] == weights
    assert not model.model.training
    assert not model.criterion.training


def test_a_checkpoint_that_was_pruned_before_says_so(full, data, tmp_path):
    small = tmp_path / "small.pt"
    prune_checkpoint(str(full["transformer_lm"]), str(small), {"decoder": "0,2"})
    said = "The checkpoint was pruned before and holds decoder layers [0,2] of 4."
    assert load(small, data["transformer_lm"]).pruned_before == said
    assert load(full["transformer_lm"], data["transformer_lm"]).pruned_before == ""
    overrides = overrides_for({"decoder": (0, 2)})
    assert load(full["transformer_lm"], data["transformer_lm"], overrides=overrides).pruned_before == ""
