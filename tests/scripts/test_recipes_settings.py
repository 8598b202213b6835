"""Recipes check KEEP, RATE and TRAIN_DEPTHS before anything runs, also in a dry run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "recipes"))
import settings

SCRIPTS = Path(__file__).parents[2] / "scripts"
ONE, BOTH, UNKNOWN = {"decoder": "16"}, {"encoder": "12", "decoder": "6"}, {"encoder": "", "decoder": "6"}
NUMBER = "must be a whole number of at least 1, but is"


@pytest.mark.parametrize(
    ("layers", "keep", "rate", "train_depths", "message"),
    [
        (ONE, "0-2 last:40", "", "", "`KEEP` must not keep more layers than there are, but 'last:40' keeps 40 of 16."),
        (ONE, "0,2+1", "", "", "KEEP must name layers of the decoder alone, but has '0,2+1'."),
        (BOTH, "last:7", "", "", "`KEEP` must not keep more layers than there are, but 'last:7' keeps 7 of 6."),
        (BOTH, "1+2+3", "", "", "KEEP must name layers of encoder + decoder, or once for both, but has '1+2+3'."),
        (UNKNOWN, "first:0+1", "", "", f"`KEEP`: the K of 'first:K' {NUMBER} '0' in 'first:0'."),
        (UNKNOWN, "9+9", "", "", "`KEEP` must name layers from 0 to 5, but has 9 in '9'."),
        (ONE, "full learned:3", "", "", "KEEP must not be 'learned:3': this recipe's training learns no rates."),
        (ONE, "", "2", "", "`RATE` must be at least 0 and below 1, but is 2 instead."),
        (BOTH, "", "0.1,0.2", "", "`RATE` must have a rate for each of 12 layers, but has 2 in '0.1,0.2'."),
        (ONE, "", "", "90,6", "`TRAIN_DEPTHS` must keep 1 to 16 decoder layers, but has '90' in '90,6'."),
        ({"encoder": "x"}, "", "", "", f"LAYERS {NUMBER} 'x'."),
        ({"encoder": "6", "decoder": "-1"}, "", "", "", f"DECODER_LAYERS {NUMBER} '-1'."),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_model_is_refused(layers, keep, rate, train_depths, message):
    with pytest.raises(ValueError) as refused:
        settings.check(layers, keep, rate, train_depths)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("layers", "keep", "rate", "train_depths"),
    [
        (ONE, "full every_other:8 drop:0.25 0-11", "0.5", "9,6"),
        (BOTH, "every_other:9+every_other:3 first:2", "linear:0:0.4", "9+4,6+3"),
        (UNKNOWN, "every_other:40+last:1", "target:3", "9"),
    ],
)
def test_what_fits_is_taken(layers, keep, rate, train_depths):
    settings.check(layers, keep, rate, train_depths)


def test_rates_that_another_training_learned_are_taken():
    settings.check(ONE, "learned:3", "0.2", "", learned=True)


DISTIL = {"TEACHER": "t", "BIN": "b", "MODEL": "--arch a --encoder-layers=12 --decoder-layers 6"}


@pytest.mark.parametrize(
    ("recipe", "set_to", "message"),
    [
        ("wikitext103", {"TRAIN_DEPTHS": "90"}, "TRAIN_DEPTHS must keep 1 to 16 decoder layers, but has '90' in '90'."),
        ("wmt16_en_de", {"KEEP": "-1,0"}, "KEEP must count layers from 0, but has -1 in '-1,0'."),
        ("roberta", {"RATE": "2"}, "RATE must be at least 0 and below 1, but is 2 instead."),
        ("eli5", {"RATE": "0.1, 0.2"}, "RATE must have no spaces, but is '0.1, 0.2'."),
        ("distil", {**DISTIL, "KEEP": "0+6"}, "KEEP must name layers from 0 to 5, but has 6 in '6'."),
    ],
)  # fmt: skip
def test_a_dry_run_says_it_in_one_line(recipe, set_to, message, tmp_path):
    fixed = {"TINY": "", "DRY_RUN": "1", "SETUP": "0", "GPUS": "8", "OUT": str(tmp_path / "o"), "RAW": "/data"}
    done = subprocess.run(
        ["bash", str(SCRIPTS / f"{recipe}.sh")], env={**os.environ, **fixed, **set_to}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{recipe}: {message}\n")
