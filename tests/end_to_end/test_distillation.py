"""A student from its teacher by the real commands; all that comes after does without the teacher."""

from __future__ import annotations

import shutil

import pytest
import torch
from shared.distilling import distilling
from shared.trainings import USER, arguments, log_of  # noqa: F401  fixtures

PRUNE = ["--encoder-layers-to-keep", "every_other:2", "--decoder-layers-to-keep", "0,3"]
OWN = {"_name": "label_smoothed_cross_entropy", "label_smoothing": 0.1, "report_accuracy": False}
OWN.update(ignore_prefix_size=0, sentence_avg=False)


@pytest.fixture(scope="module")
def student(arguments, full, command, tmp_path_factory):
    """The log of a training that was stopped and started again, its checkpoint, and the place of the teacher, gone."""
    folder = tmp_path_factory.mktemp("student")
    teacher = folder / "teacher.pt"
    shutil.copy(full["transformer"], teacher)
    ours = distilling("label_smoothed_cross_entropy", teacher, "--label-smoothing", 0.1)
    argv = arguments("transformer", *USER, *ours, *PRUNE, "--finetune-from-model", teacher, "--save-dir", folder)
    command("fairseq-train", *argv, "--max-update", 6)
    done = command("fairseq-train", *argv, "--max-update", 12)
    teacher.unlink()
    return log_of(done.stdout + done.stderr), folder / "checkpoint_last.pt", teacher


def test_the_log_shows_what_the_teacher_adds_to_the_loss(student):
    log, _, teacher = student
    assert list(log.updates) == list(range(7, 13))
    assert all(float(entry["distill_loss"]) > 0 for entry in log.updates.values())
    assert f"the teacher is {teacher}: 4+4 layers" in log.messages
    assert "the loss: 0.5 label_smoothed_cross_entropy, 0.5 distillation at temperature 1" in log.messages


def test_the_checkpoint_is_that_of_a_training_without_a_teacher(student):
    state = torch.load(student[1])
    assert state["cfg"]["criterion"] == OWN
    assert "teacher" not in str(state["cfg"]["criterion"])
    assert state["criterion"] is None
    assert {name.split(".")[2] for name in state["model"] if ".layers." in name} == {"0", "1"}


@pytest.mark.parametrize(
    ("name", "more", "result"),
    [
        ("fairseq-generate", [*USER, "--beam", 2], "Generate test with beam=2: BLEU4 = "),
        (
            "fairseq-validate",
            [*USER, "--task", "translation", "--max-tokens", 300],
            "| valid on 'valid' subset | loss ",
        ),
        ("layerdrop-search", ["--keep", 1, "--stack", "decoder"], "--model-overrides \"{'decoder_layers_to_keep': "),
        ("layerdrop-sweep", ["--gen-subset", "valid", "--repeats", 1, "--depths", "2,1"], "every_other  1+1 "),
    ],
)
def test_it_is_evaluated_without_the_teacher(name, more, result, student, data, command, tmp_path):
    done = command(name, data["transformer"], "--path", student[1], "--cpu", *more, cwd=tmp_path)
    assert result in done.stdout + done.stderr


YAML = """# @package _group_
common: {user_dir: layerdrop_plugin, cpu: true}
task: {_name: language_modeling, data: '%s', tokens_per_sample: 32}
model: {_name: layerdrop_transformer_lm, decoder_layers: 2, decoder_embed_dim: 16, decoder_ffn_embed_dim: 24,
        decoder_attention_heads: 2}
criterion: {_name: layerdrop_distillation, layerdrop_distill_criterion: cross_entropy, layerdrop_teacher: '%s'%s}
optimizer: {_name: adam}
lr_scheduler: {_name: fixed}
dataset: {max_tokens: 300}
optimization: {max_update: 2, lr: [0.01]}
"""


def test_yaml(data, full, command, tmp_path):
    def hydra(more="", status=0):
        (tmp_path / "small.yaml").write_text(YAML % (data["transformer_lm"], full["transformer_lm"], more))
        argv = ["--config-dir", tmp_path, "--config-name", "small", f"checkpoint.save_dir={tmp_path}/save"]
        return command("fairseq-hydra-train", *argv, "hydra.run.dir=hydra", cwd=tmp_path, status=status)

    done = hydra(", layerdrop_distill_temperature: 2")
    assert "0.5 distillation at temperature 2" in done.stdout + done.stderr
    saved = torch.load(tmp_path / "save" / "checkpoint_last.pt")["cfg"]["criterion"]
    assert saved == {"_name": "cross_entropy", "sentence_avg": False}
    refused = hydra(", layerdrop_distill_weight: 2", status=2)
    assert refused.stderr.splitlines()[-1] == (
        "fairseq-hydra-train: error: `--layerdrop-distill-weight` must be from 0 to 1, but is 2 instead."
    )
