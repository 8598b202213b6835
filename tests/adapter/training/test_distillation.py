"""The criterion with a teacher, in one process: its loss, what is logged, saved and started again."""

from __future__ import annotations

import pytest
import torch
from shared.distilling import ADAPTIVE, PLAIN, adaptive, distilling, kl  # noqa: F401  fixtures
from shared.trainings import (  # noqa: F401  fixtures
    arguments,
    assert_same_training,
    losses,
    run,
    same,
    state_of,
)

NO_RATES = ["--encoder-layerdrop", "0", "--decoder-layerdrop", "0"]
QUIET = ["--disable-validation", "--no-save"]
CASES = {
    "cross_entropy": ("transformer_lm", []),
    "label_smoothed_cross_entropy": ("transformer", ["--label-smoothing", "0.1", "--ignore-prefix-size", "1"]),
    "masked_lm": ("roberta", []),
    "adaptive_loss": ("transformer_lm", ADAPTIVE),
}


@pytest.fixture
def teachers(full, request):
    """A function from a criterion to a teacher for it."""
    return lambda name: request.getfixturevalue("adaptive") if name == "adaptive_loss" else full[CASES[name][0]]


def rates_of(family):
    return {"transformer": NO_RATES, "transformer_lm": NO_RATES[2:], "roberta": NO_RATES[:2]}[family]


def first_batch(trainer):
    """The first batch of the training data; RoBERTa's masks leave other batches without any."""
    batches = trainer.get_train_iterator(epoch=1).next_epoch_itr(shuffle=False)
    trainer.task.begin_epoch(1, trainer.model)
    return next(iter(batches))


def logits_of(model, sample, name):
    """What a model predicts where there is something to predict, a list of logits for each."""
    target = sample["target"]
    counted = target.ne(1)
    if name == "label_smoothed_cross_entropy":
        counted[:, 0] = False
    with torch.no_grad():
        if name == "masked_lm":
            return model(**sample["net_input"], masked_tokens=counted)[0].tolist()
        output = model(**sample["net_input"])
        if name == "adaptive_loss":
            return model.get_normalized_probs(output, log_probs=True)[counted].tolist()
    return output[0][counted].tolist()


@pytest.mark.parametrize("name", CASES)
def test_the_loss_is_that_of_the_definition(name, teachers, make_trainer, arguments, load_model):
    family, options = CASES[name]
    base = arguments(family, *PLAIN, *rates_of(family), *options, *QUIET)
    weight = ["--layerdrop-distill-weight", "0.25", "--layerdrop-distill-temperature", "2"]
    trainer = make_trainer(*base, *distilling(name, teachers(name)), *weight)
    sample = first_batch(trainer)
    own = make_trainer(*base, "--criterion", name).criterion
    model, criterion = trainer.model.train(), trainer.criterion.train()
    expected, size, log = own(model, sample)
    teacher, _ = load_model(teachers(name))
    pairs = list(zip(logits_of(teacher, sample, name), logits_of(model, sample, name)))
    assert len(pairs) > 2
    distilled = sum(kl(*pair, 2.0) for pair in pairs)
    loss, our_size, our_log = criterion(model, sample)
    assert our_log.pop("distill_loss").item() == pytest.approx(distilled, rel=1e-4)
    assert loss.item() == pytest.approx(0.75 * expected.item() + 0.25 * distilled, rel=1e-4)
    assert (our_size, our_log) == (size, log)
    in_validation = criterion.eval()(model, sample)
    assert (in_validation[0], in_validation[2]) == (expected, log)


@pytest.mark.slow
def test_classes_of_sentences(classifier, tiny, make_trainer, load_model):
    data, teacher = classifier
    model = tiny["roberta"][tiny["roberta"].index("--encoder-layers") :]
    base = [data, "--arch", "layerdrop_roberta", *model, "--task", "sentence_prediction", *PLAIN]
    base += ["--num-classes", 2, "--init-token", 0, "--max-positions", 32, *NO_RATES[:2], *QUIET]
    trainer = make_trainer(*base, *distilling("sentence_prediction", teacher))
    sample = first_batch(trainer)
    own = make_trainer(*base, "--criterion", "sentence_prediction").criterion
    model = trainer.model.train()
    expected, size, log = own(model, sample)
    how = {"features_only": True, "classification_head_name": "sentence_classification_head"}
    with torch.no_grad():
        predicted = [m(**sample["net_input"], **how)[0].tolist() for m in (load_model(teacher)[0], model)]
    distilled = sum(kl(*pair, 1.0) for pair in zip(*predicted))
    loss, our_size, our_log = trainer.criterion.train()(model, sample)
    assert our_log.pop("distill_loss").item() == pytest.approx(distilled, rel=1e-4)
    assert loss.item() == pytest.approx((expected.item() + distilled) / 2, rel=1e-4)
    assert (our_size, our_log) == (size, log)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_weight_0_is_training_without_a_teacher_bit_for_bit(name, teachers, run, tmp_path):
    """With all that draws random numbers; the checkpoints differ in nothing."""
    family, options = CASES[name]
    dropout = ["--adaptive-softmax-dropout", "0.2"] if name == "adaptive_loss" else []
    more = [*options, *dropout, "--update-freq", 2, "--max-update", 4]
    folders = [tmp_path / "without", tmp_path / "with"]
    own, ours = ["--criterion", name], distilling(name, teachers(name), "--layerdrop-distill-weight", 0)
    logs = [run(family, *more, *given, "--save-dir", at) for given, at in zip((own, ours), folders)]
    assert losses(logs[0]) == losses(logs[1])
    assert_same_training(*folders)
    states = [state_of(folder) for folder in folders]
    assert states[0]["cfg"]["criterion"] == states[1]["cfg"]["criterion"]
    assert states[0]["cfg"]["criterion"]["_name"] == name
    assert states[1]["criterion"] is None
    names = [state["optimizer_history"][-1]["criterion_name"] for state in states]
    assert names[0] == names[1]
    keys = [set(log.updates[4]) for log in logs]
    assert keys[1] - keys[0] == {"distill_loss"}


@pytest.mark.slow
def test_a_stock_teacher_with_layerdrop_draws_nothing_of_the_students_numbers(run, train, arguments, data, tmp_path):
    stock = [word.replace("layerdrop_transformer", "transformer") for word in arguments("transformer")]
    train(data["transformer"], *stock[1:], "--max-update", 1, "--disable-validation", "--save-dir", tmp_path / "stock")
    teacher = tmp_path / "stock" / "checkpoint_last.pt"
    more = ["--update-freq", 2, "--max-update", 2, "--disable-validation", "--save-dir"]
    ours = distilling("label_smoothed_cross_entropy", teacher, "--layerdrop-distill-weight", 0)
    logs = [run("transformer", *given, *more, tmp_path / name) for name, given in (("a", []), ("b", ours))]
    assert losses(logs[0]) == losses(logs[1])
    assert_same_training(tmp_path / "a", tmp_path / "b")


@pytest.mark.slow
def test_a_student_that_is_its_teacher_has_nothing_to_learn(run, full, tmp_path):
    """The weight of the task's own loss is 0, so nothing moves but by rounding."""
    ours = distilling("label_smoothed_cross_entropy", full["transformer"], "--layerdrop-distill-weight", 1)
    begin = ["--finetune-from-model", full["transformer"], *PLAIN, *NO_RATES, "--optimizer", "sgd"]
    log = run("transformer", *begin, *ours, "--max-update", 2, "--disable-validation", "--save-dir", tmp_path)
    assert [log.updates[i]["distill_loss"] for i in (1, 2)] == ["0", "0"]
    trained, teacher = state_of(tmp_path)["model"], torch.load(full["transformer"])["model"]
    for name, value in trained.items():
        if not name.endswith("_float_tensor"):  # fairseq never sets it
            torch.testing.assert_close(value, teacher[name], rtol=0, atol=1e-6)


DISTILLED = ["--layerdrop-distill-weight", "0.7", "--layerdrop-distill-temperature", "2", "--disable-validation"]


@pytest.mark.slow
def test_a_pruned_student_goes_on_from_the_teacher_with_its_optimizer(run, full, tmp_path):
    """For that, fairseq wants the criterion of the checkpoint. Started again, it ends as if it never was stopped."""
    prune = ["--encoder-layers-to-keep", "0,2", "--decoder-layers-to-keep", "0,2"]
    prune += ["--restore-file", full["transformer"]]
    argv = [*prune, *distilling("label_smoothed_cross_entropy", full["transformer"], *DISTILLED), "--save-dir"]
    once = run("transformer", "--max-update", 18, *argv, tmp_path / "once")
    run("transformer", "--max-update", 15, *argv, tmp_path / "twice")
    again = run("transformer", "--max-update", 18, *argv, tmp_path / "twice")
    assert losses(again) == {update: losses(once)[update] for update in (16, 17, 18)}
    assert_same_training(tmp_path / "once", tmp_path / "twice")
    assert "the optimizer starts fresh" not in once.messages
    assert f"the teacher is {full['transformer']}: 4+4 layers" in once.messages


@pytest.mark.slow
def test_it_goes_with_depths_and_with_groups_that_are_dropped(run, full, tmp_path):
    ours = distilling("label_smoothed_cross_entropy", full["transformer"], *DISTILLED)
    more = ["--layerdrop-depths", "3+1,2", "--encoder-headdrop", "0.2", "--decoder-sublayerdrop", "0.2"]
    log = run("transformer", *ours, *more, "--update-freq", 2, "--max-update", 3, "--save-dir", tmp_path)
    assert {"distill_loss", "layerdrop_depth_enc"} <= set(log.updates[3])


@pytest.mark.slow
def test_overrides_prune_the_teacher(run, full, cut, tmp_path):
    small = cut(full["transformer"], tmp_path / "small.pt", {"decoder": [0, 3]})
    changes = ["--layerdrop-teacher-overrides", "{'decoder_layers_to_keep': '0,3'}"]
    more = [*DISTILLED, "--max-update", 2, "--save-dir"]
    name = "label_smoothed_cross_entropy"
    pruned = run("transformer", *distilling(name, full["transformer"], *changes, *more), tmp_path / "a")
    removed = run("transformer", *distilling(name, small, *more), tmp_path / "b")
    assert losses(pruned) == losses(removed)
    assert_same_training(tmp_path / "a", tmp_path / "b")
    assert f"the teacher is {full['transformer']}: 4+2 layers" in pruned.messages


def test_the_teacher_is_in_the_students_type(make_trainer, arguments, full):
    trainer = make_trainer(*arguments("transformer", *distilling("cross_entropy", full["transformer"]), *QUIET))
    sample = first_batch(trainer)
    model, criterion = trainer.model.bfloat16(), trainer.criterion.train()
    loss, _, log = criterion(model, sample)
    assert (loss.dtype, log["distill_loss"].dtype) == (torch.float32, torch.float32)
    loss.backward()
    teacher = criterion.lesson.teacher.model
    assert {p.dtype for p in teacher.parameters()} == {torch.bfloat16}
    assert not any(p.requires_grad or p.grad is not None for p in teacher.parameters())
    assert not teacher.training
    assert list(criterion.parameters()) == []


@pytest.mark.slow
def test_bleu_in_validation_is_the_students(make_trainer, arguments, full):
    """The task keeps a generator for the model that it built last."""
    bleu = ["--eval-bleu", "--eval-bleu-args", '{"beam": 1}', "--eval-bleu-detok", "space", *QUIET]
    trainer = make_trainer(*arguments("transformer", *distilling("cross_entropy", full["transformer"]), *bleu))
    assert list(trainer.task.sequence_generator.model.models) == [trainer.model]
