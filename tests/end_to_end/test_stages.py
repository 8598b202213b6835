"""scripts/recipes/stages.sh, with a recipe of three stages that takes no time."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

import pytest

STAGES = Path(__file__).parents[2] / "scripts" / "recipes" / "stages.sh"
RECIPE = """
set -euo pipefail
NAME=fake STACKS="encoder decoder"
source "$STAGES"
: "${WORD:=one}"
update_freq 12
prepare() { run mkdir -p "$OUT/raw"; fetch "$URL" "$SUM" "$OUT/raw/data.txt"; }
train() {
  run mkdir -p "$OUT/train"
  run cp "$OUT/raw/data.txt" "$OUT/model"
  run_to "$OUT/words" echo "$WORD" "two words" "it's" $UPDATE_FREQ
}
score() { run_to "$OUT/scores.txt" cat "$OUT/words"; }
stages prepare train score
"""


@pytest.fixture
def source(tmp_path):
    """A file that can be fetched, and its checksum."""
    (tmp_path / "data.txt").write_bytes(b"0123456789" * 100)
    return {"URL": (tmp_path / "data.txt").as_uri(), "SUM": hashlib.sha256(b"0123456789" * 100).hexdigest()}


@pytest.fixture
def fake(tmp_path, source):
    (tmp_path / "fake.sh").write_text(RECIPE)

    def run(**settings):
        fixed = {"STAGES": str(STAGES), "SETUP": "0", "OUT": str(tmp_path / "out"), "GPUS": "0"}
        env = {**os.environ, **fixed, **source, **settings}
        return subprocess.run(["bash", str(tmp_path / "fake.sh")], env=env, capture_output=True, text=True)

    return run


def said(done):
    return [line for line in done.stderr.splitlines() if line.startswith("fake: ")]


def test_each_stage_runs_once_and_the_scores_come_last(fake, tmp_path):
    first = fake()
    assert first.returncode == 0, first.stderr
    assert said(first) == [f"fake: {stage} (log/{stage}.txt)" for stage in ("prepare", "train", "score")]
    assert first.stdout == "one two words it's 12\n"
    again = fake()
    assert said(again) == [f"fake: {stage}: there already" for stage in ("prepare", "train", "score")]
    assert again.stdout == first.stdout


def test_one_stage(fake, tmp_path):
    assert said(fake(STAGE="prepare")) == ["fake: prepare (log/prepare.txt)"]
    assert not (tmp_path / "out/model").exists()
    other = fake(STAGE="trian")
    assert other.returncode == 2
    assert other.stderr == "fake: STAGE must be one of: prepare train score; but is 'trian'.\n"


def test_a_dry_run_prints_what_can_be_pasted(fake, tmp_path):
    done = fake(DRY_RUN="1", STAGE="train", OUT="/o", WORD="a 'b' $c")
    assert done.stdout == (
        f"""cd {STAGES.parents[2]} && export PATH="$PWD/.venv/bin:$PATH"\n"""
        "# train\nmkdir -p /o/train \ncp /o/raw/data.txt /o/model \n"
        "mkdir -p /o \n"
        """echo 'a '\\''b'\\'' $c' 'two words' "it's" 12 >/o/words 2>&1\n"""
    )
    assert not (tmp_path / "out").exists()


def test_a_failed_stage_is_named_and_the_others_stay(fake, tmp_path):
    assert fake(STAGE="prepare").returncode == 0
    (tmp_path / "out/raw/data.txt").unlink()
    done = fake()
    assert done.returncode == 1
    assert said(done)[-1] == (
        f"fake: stage 'train' failed; its log is {tmp_path}/out/log/train.txt; what the others made stays"
    )
    assert sorted(path.name for path in (tmp_path / "out/done").iterdir()) == ["prepare"]


def test_a_training_with_other_settings_is_not_mixed_with_the_one_before(fake, tmp_path):
    assert fake().returncode == 0
    refusal = f"fake: 'train' was begun with other settings or data; choose another OUT, or remove {tmp_path}/out/train"
    done = fake(WORD="three")
    assert (done.returncode, said(done)[-1]) == (2, refusal + " to train anew.")
    (tmp_path / "out/done/train").unlink()  # as when it was interrupted
    assert said(fake(WORD="three"))[-1] == refusal + " to train anew."
    (tmp_path / "out/train").rmdir()
    assert fake(WORD="three").stdout == "three two words it's 12\n"  # the score is made anew


def test_training_stays_when_its_data_is_made_anew_and_is_the_same(fake, tmp_path):
    (tmp_path / "out/bin").mkdir(parents=True)
    (tmp_path / "out/bin/dict.txt").write_text("a 1\n")
    assert fake().returncode == 0
    (tmp_path / "out/done/prepare").unlink()
    assert said(fake())[:2] == ["fake: prepare (log/prepare.txt)", "fake: train: there already"]
    (tmp_path / "out/bin/dict.txt").write_text("b 1\n")
    assert "other settings or data" in said(fake())[-1]


def test_two_runs_at_a_time_are_refused(fake, tmp_path):
    (tmp_path / "out").mkdir()
    with open(tmp_path / "out/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = fake()
    assert (done.returncode, done.stderr) == (2, f"fake: another run is using {tmp_path}/out.\n")
    assert fake().returncode == 0


def test_a_broken_download_is_resumed(fake, tmp_path):
    (tmp_path / "out/raw").mkdir(parents=True)
    (tmp_path / "out/raw/data.txt.part").write_bytes(b"0123456789" * 60)
    done = fake(STAGE="prepare")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/raw/data.txt").read_bytes() == b"0123456789" * 100


def test_a_wrong_checksum_leaves_nothing(fake, tmp_path):
    done = fake(STAGE="prepare", SUM="0" * 64)
    assert done.returncode == 1
    assert f"data.txt.part must have the SHA-256 sum {'0' * 64}, but has" in done.stderr
    assert list((tmp_path / "out/raw").iterdir()) == []


def test_a_local_copy_is_taken(fake, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/data.txt").write_text("mine")
    assert fake(STAGE="prepare", RAW=str(tmp_path / "mine"), URL="file:///nowhere").returncode == 0
    assert (tmp_path / "out/raw/data.txt").read_text() == "mine"
    missing = fake(STAGE="prepare", RAW=str(tmp_path / "none.txt"), OUT=str(tmp_path / "other"))
    assert missing.returncode == 1
    assert f"RAW must hold data.txt, but {tmp_path}/none.txt/data.txt does not exist." in missing.stderr


def test_what_was_printed_can_be_pasted(fake, tmp_path):
    printed = fake(DRY_RUN="1").stdout
    done = subprocess.run(["bash", "-e", "-c", printed], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/scores.txt").read_text() == "one two words it's 12\n"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, " 6 >"),
        ({"CUDA_VISIBLE_DEVICES": "3"}, " 12 >"),
        ({"CUDA_VISIBLE_DEVICES": ""}, " 12 >"),
        ({"GPUS": "5", "UPDATE_FREQ": "3"}, " 3 >"),
        ({"GPUS": "2", "TINY": "1"}, " 1 >"),
    ],
)
def test_gpus_are_those_that_are_visible(fake, settings, expected):
    assert expected in fake(**{"GPUS": "", "DRY_RUN": "1", "STAGE": "train", **settings}).stdout


def test_gpus_must_be_a_number(fake):
    assert fake(GPUS="all").stderr == "fake: GPUS must be a whole number, but is 'all'.\n"


def test_the_effective_batch_stays(fake):
    assert "12 >" not in fake(GPUS="4", DRY_RUN="1", STAGE="train").stdout
    assert " 3 >" in fake(GPUS="4", DRY_RUN="1", STAGE="train").stdout
    refused = fake(GPUS="5")
    assert (refused.returncode, refused.stderr) == (
        2,
        "fake: GPUS must divide 12, the paper's batches per update, but is 5.\n",
    )
