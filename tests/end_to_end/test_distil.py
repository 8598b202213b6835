"""scripts/distil.sh: all its stages in miniature, with a teacher that it trains itself."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import torch

from layerdrop_plugin.state_dict import depths

pytestmark = [pytest.mark.recipe, pytest.mark.slow]

STAGES = ("prepare", "translate", "preprocess", "train", "evaluate", "score")
MODEL = "--arch layerdrop_transformer --encoder-layers 6 --decoder-layers 6"


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("a distillation")  # a name with a space


@pytest.fixture(scope="module")
def first(recipe, out):
    return recipe("distil", out)


def test_it_ends_with_the_scores_of_teacher_and_student(first, out):
    header, _, *rows = first.stdout.splitlines()
    assert header == "| model | BLEU | sentences/s |"
    assert [row.split(" | ")[0] for row in rows] == ["| teacher", "| pruned", "| student"]
    assert first.stdout == (out / "scores.txt").read_text()
    student = torch.load(out / "train" / "checkpoint_best.pt")
    assert depths(student["model"]) == {"encoder": 2, "decoder": 2}
    assert student["layerdrop"]["decoder"]["kept"] == [0, 2]


def test_the_student_is_trained_on_what_the_teacher_translated(first, out):
    """All of it, in the order of the data, which the teacher's shards are not."""
    source, target = ((out / "text" / f"train.{language}").read_text().splitlines() for language in ("en", "de"))
    assert source == (out / "raw" / "train.en").read_text().splitlines()
    assert target != (out / "raw" / "train.de").read_text().splitlines()
    translated = [(out / "translate" / shard / "generate-train.txt").read_text().splitlines() for shard in "01"]
    hypotheses = {line.split("\t")[0]: line.split("\t")[2] for shard in translated for line in shard if line[:1] == "H"}
    assert target == [hypotheses[f"H-{number}"] for number in range(400)]
    for name in ("dict.en.txt", "dict.de.txt", "test.en-de.en.bin", "test.en-de.de.bin"):
        assert (out / "bin" / name).read_bytes() == (out / "raw" / "bin" / name).read_bytes()


def test_a_second_run_finds_everything_there(first, recipe, out):
    again = recipe("distil", out)
    assert again.stderr.splitlines() == [f"distil: {stage}: there already" for stage in STAGES]
    assert again.stdout == first.stdout


def test_a_shard_that_is_there_is_not_translated_again(first, recipe, out):
    (out / "done" / "translate").unlink()
    (out / "translate" / "1.txt").unlink()  # as where it was interrupted
    before = (out / "translate" / "0.txt").stat().st_mtime_ns
    again = recipe("distil", out, STAGE="translate")
    assert "distil: shard 0: there already" in again.stderr
    assert "shard 1: there already" not in again.stderr
    assert (out / "translate" / "1.txt").exists()
    assert (out / "translate" / "0.txt").stat().st_mtime_ns == before
    assert not (out / "done" / "preprocess").exists()


def test_a_dry_run_prints_every_command(recipe, tmp_path):
    settings = {"TINY": "", "DRY_RUN": "1", "TEACHER": "t.pt", "BIN": "/data", "MODEL": MODEL, "GPUS": "1"}
    printed = recipe("distil", tmp_path / "new", **settings, SHARDS="3", KEEP="0-2+last:1").stdout
    shards = re.findall(r"fairseq-generate /data .*--gen-subset train .*--num-shards 3 --shard-id (\d)", printed)
    assert shards == ["0", "1", "2"]
    (train,) = re.findall(r"fairseq-train .*", printed)
    assert f"{MODEL} --finetune-from-model" in train
    assert "--encoder-layers-to-keep 0-2 --decoder-layers-to-keep last:1 --criterion label_smoothed_" in train
    both = recipe("distil", tmp_path / "new", **settings, WEIGHT="0.5", TEMPERATURE="2").stdout
    (train,) = re.findall(r"fairseq-train .*", both)
    assert re.search(
        r"--criterion layerdrop_distillation --layerdrop-teacher /\S+/t\.pt --layerdrop-distill-criterion "
        r"label_smoothed_cross_entropy --layerdrop-distill-weight 0\.5 --layerdrop-distill-temperature 2 "
        r"--label-smoothing 0\.1 ",
        train,
    )
    assert not (tmp_path / "new").exists()


def test_another_teacher_in_the_same_place_translates_anew(recipe, tmp_path):
    """A stage is done again where its commands are others."""
    teacher = tmp_path / "t.pt"
    settings = {"TINY": "", "TEACHER": str(teacher), "BIN": "/data", "MODEL": MODEL, "GPUS": "1"}

    def commands():
        return recipe("distil", tmp_path / "new", DRY_RUN="1", STAGE="translate", **settings).stdout

    teacher.write_text("one")
    before = commands()
    assert commands() == before
    teacher.write_text("two")
    assert commands() != before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "TEACHER, BIN and MODEL must be set: see its head."),
        ({"TEACHER": "t", "BIN": "b", "MODEL": "x"}, "MODEL must have the teacher's --arch, but is 'x'."),
        (
            {"TEACHER": "t", "BIN": "b", "MODEL": MODEL, "SHARDS": "0"},
            "SHARDS must be a whole number of at least 1, but is '0'.",
        ),
        (
            {"TEACHER": "t", "BIN": "b", "MODEL": MODEL, "KEEP": "every_other:3"},
            "KEEP must be encoder+decoder layers, as in every_other:3+0-2, but is 'every_other:3'.",
        ),
    ],
)
def test_settings_that_do_not_fit_are_one_line(settings, message, recipe, tmp_path):
    failed = recipe("distil", tmp_path / "new", status=2, TINY="", **settings)
    assert failed.stderr.splitlines() == [f"distil: {message}"]


def test_an_unknown_option_is_refused_and_help_is_its_head():
    script = ["bash", str(Path(__file__).parents[2] / "scripts" / "distil.sh")]
    failed = subprocess.run([*script, "--nope"], capture_output=True, text=True)
    assert failed.returncode == 2
    assert failed.stderr == "distil.sh: the only option is --help, but one is '--nope'.\n"
    shown = subprocess.run([*script, "--help"], capture_output=True, text=True, check=True).stdout
    assert shown.startswith("Distils a translation model into a part of itself")


@pytest.mark.parametrize("name", ["TEACHER", "BIN"])
def test_in_miniature_nothing_of_the_users_is_taken_which_its_own_would_replace(name, recipe, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    failed = recipe("distil", tmp_path / "new", status=2, **{name: str(theirs)})
    assert failed.stderr.splitlines() == ["distil: TEACHER and BIN must be left out with TINY=1, which makes its own."]
    assert theirs.exists()
