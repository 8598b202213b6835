"""What a training with a teacher refuses: one line, before any data is read."""

from __future__ import annotations

import shutil

import pytest
import torch
from shared.distilling import distilling
from shared.trainings import USER, arguments, listening, refused, run  # noqa: F401  fixtures

from layerdrop_plugin.fairseq_adapter.errors.one_line import UserError

CRITERIA = "cross_entropy, label_smoothed_cross_entropy, adaptive_loss, masked_lm, sentence_prediction"
WHICH = f"`--layerdrop-distill-criterion` must be one of {CRITERIA}, but"
FILE = "`--layerdrop-teacher` must be the file of a checkpoint, but"
CHANGES = "`--layerdrop-teacher-overrides` must"
OURS = ["--criterion", "layerdrop_distillation"]
PLAIN = [*OURS, "--layerdrop-distill-criterion", "cross_entropy"]
TAUGHT = [*PLAIN, "--layerdrop-teacher", "{full}"]
REFUSED = [
    ([*OURS, "--layerdrop-teacher", "{full}"], f"{WHICH} is missing."),
    ([*TAUGHT, "--layerdrop-distill-criterion", "ctc"], f"{WHICH} is 'ctc' instead."),
    (PLAIN, "`--layerdrop-teacher` must be the checkpoint of a model to learn from, but is missing."),
    ([*PLAIN, "--layerdrop-teacher", "nope.pt"], f"{FILE} nope.pt does not exist."),
    ([*PLAIN, "--layerdrop-teacher", "{words}"], f"{FILE} {{words}} is damaged or no checkpoint at all."),
    (
        [*TAUGHT, "--layerdrop-distill-weight", "1.5"],
        "`--layerdrop-distill-weight` must be from 0 to 1, but is 1.5 instead.",
    ),
    (
        [*TAUGHT, "--layerdrop-distill-temperature", "0"],
        "`--layerdrop-distill-temperature` must be a number above 0, but is 0 instead.",
    ),
    (
        [*TAUGHT, "--label-smoothing", "0.1"],
        "`--label-smoothing` must be left out with cross_entropy, which has no such option, but is 0.1.",
    ),
    (
        [*PLAIN, "--layerdrop-teacher", "{language_model}"],
        "`--layerdrop-teacher` must be an encoder with a decoder as layerdrop_transformer is, but {language_model} is "
        "a language model.",
    ),
    ([*TAUGHT, "--layerdrop-teacher-overrides", "5"], f"{CHANGES} be a Python dict, but is '5' instead."),
    (
        [*TAUGHT, "--layerdrop-teacher-overrides", "{{'encoder_layers': 'x'}}"],
        f"{CHANGES} fit {{full}}, but is \"{{{{'encoder_layers': 'x'}}}}\": `--encoder-layers` must be a whole number "
        "of at least 1, but is 'x' instead.",
    ),
    (
        [*TAUGHT, "--layerdrop-teacher-overrides", "{{'decoder_layers_to_keep': '0,9'}}"],
        f"{CHANGES} fit {{full}}, but is \"{{{{'decoder_layers_to_keep': '0,9'}}}}\": `decoder_layers_to_keep` must "
        "name layers from 0 to 3, but has 9 in '0,9'.",
    ),
    (
        [*TAUGHT, "--layerdrop-teacher-overrides", "{{'decoder_layer_to_keep': '0'}}"],
        f"{CHANGES} name options that there are, but has 'decoder_layer_to_keep'; did you mean "
        "'decoder_layers_to_keep'?",
    ),
    (
        [*TAUGHT, "--save-dir", "{folder}"],
        "`--layerdrop-teacher` must lie outside of `--save-dir`, where this training would write over it, "
        "but is {full}.",
    ),
    (
        [*TAUGHT, "--best-checkpoint-metric", "distill_loss"],
        "`--best-checkpoint-metric` must be one of validation, which has no distill_loss.",
    ),
    (
        [*OURS, "--layerdrop-distill-criterion", "sentence_prediction", "--layerdrop-teacher", "{full}"],
        "`--layerdrop-distill-criterion` must fit the task, but sentence_prediction needs classes, and TranslationTask "
        "has none.",
    ),
]
"""Options, and what is said of them."""


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=range(len(REFUSED)))
def test_wrong_options(options, message, arguments, full, data, tmp_path, monkeypatch, capfd):
    found = {"full": full["transformer"], "language_model": full["transformer_lm"]}
    found.update(words=data["transformer"] / "dict.en.txt", folder=found["full"].parent)
    argv = [word.format(**found) for word in ["--save-dir", str(tmp_path), *options]]
    assert refused([*arguments("transformer", *argv), *USER], monkeypatch, capfd) == message.format(**found)


def test_a_teacher_for_another_number_of_words(arguments, full, tmp_path, monkeypatch, capfd):
    state = torch.load(full["transformer_lm"])
    for name in ("decoder.embed_tokens.weight", "decoder.output_projection.weight"):
        state["model"][name] = state["model"][name][:-1]
    teacher = tmp_path / "fewer.pt"
    torch.save(state, teacher)
    argv = arguments("transformer_lm", *distilling("cross_entropy", teacher), "--save-dir", tmp_path)
    words = len(state["model"]["decoder.embed_tokens.weight"])
    assert refused([*argv, *USER], monkeypatch, capfd) == (
        f"`--layerdrop-teacher` must have the dictionary of DATA, of {words + 1} words, but {teacher} has {words}."
    )


@pytest.fixture
def reordered(data, tmp_path):
    """The language model's data with two words of the dictionary swapped."""
    folder = tmp_path / "reordered"
    shutil.copytree(data["transformer_lm"], folder)
    first, second, *more = (folder / "dict.txt").read_text().splitlines()
    (folder / "dict.txt").write_text("\n".join([second, first, *more, ""]))
    return folder, second.split()[0], first.split()[0]


def test_a_teacher_of_other_words(reordered, arguments, full, tmp_path, monkeypatch, capfd):
    folder, first_here, first_there = reordered
    teacher = full["transformer_lm"]
    argv = arguments("transformer_lm", *distilling("cross_entropy", teacher), "--save-dir", tmp_path)
    assert refused([str(folder), *argv[1:], *USER], monkeypatch, capfd) == (
        f"`--layerdrop-teacher` must have the dictionary of DATA, whose word 4 is {first_here!r}, but that of "
        f"{teacher} is {first_there!r}."
    )


def test_where_the_teachers_dictionary_is_gone_its_size_must_do(reordered, run, full, tmp_path):
    changes = ["--layerdrop-teacher-overrides", f"{{'data': '{tmp_path}'}}"]
    ours = distilling("cross_entropy", full["transformer_lm"], *changes)
    log = run("transformer_lm", *ours, "--max-update", 1, "--disable-validation", "--no-save")
    line = f"only the size of the decoder's dictionary was compared: that of {full['transformer_lm']} is gone"
    assert line in log.messages


@pytest.fixture
def classes(classifier, tiny, full, tmp_path):
    """A function from options to fairseq-train's arguments for the classifier's task."""
    model = tiny["roberta"][tiny["roberta"].index("--encoder-layers") :]
    task = ["--task", "sentence_prediction", "--init-token", 0, "--max-positions", 32, "--save-dir", tmp_path]
    argv = [classifier[0], "--arch", "layerdrop_roberta", *model, *task, *USER]
    return lambda *options: list(map(str, [*argv, *options]))


def test_a_teacher_without_a_head_for_these_classes(classes, classifier, full, monkeypatch, capfd):
    """The weights of one would be drawn."""
    rule = "`--layerdrop-teacher` must have a sentence_classification_head for"
    ours = distilling("sentence_prediction", full["roberta"], "--num-classes", 2)
    assert refused(classes(*ours), monkeypatch, capfd) == f"{rule} 2 classes, but {full['roberta']} has none."
    ours = distilling("sentence_prediction", classifier[1], "--num-classes", 3)
    assert refused(classes(*ours), monkeypatch, capfd) == f"{rule} 3 classes, but {classifier[1]} has one for 2."


def test_a_regression(classes, classifier, monkeypatch, capfd):
    ours = distilling("sentence_prediction", classifier[1], "--num-classes", 1, "--regression-target")
    assert refused(classes(*ours), monkeypatch, capfd) == (
        "`--regression-target` must be left out with layerdrop_distillation: a number is no distribution."
    )


def test_a_teacher_that_takes_shorter_samples_only(arguments, full, make_trainer):
    teacher = full["transformer"]
    changes = ["--layerdrop-teacher-overrides", "{'max_source_positions': 9, 'max_target_positions': 9}"]
    trainer = make_trainer(*arguments("transformer", *distilling("cross_entropy", teacher, *changes)))
    batches = trainer.get_train_iterator(epoch=1).next_epoch_itr(shuffle=False)
    with pytest.raises(UserError) as error:
        trainer.criterion.train()(trainer.model, next(iter(batches)))
    assert str(error.value) == (
        f"`--layerdrop-teacher` must take what the student takes, (1024, 1024) tokens, but {teacher} takes (9, 9)."
    )
