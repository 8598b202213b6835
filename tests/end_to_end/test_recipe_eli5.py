"""scripts/eli5.sh: all its stages in miniature; the paper's settings in what it prints; data that must be given."""

from __future__ import annotations

import pytest
from shared.recipe_contract import *  # noqa: F403  fixtures and tests
from shared.recipe_contract import Promise

pytestmark = [pytest.mark.recipe, pytest.mark.slow]

pytest.importorskip("rouge_score", reason="needs the extra recipes")

PROMISED = Promise(
    recipe="eli5",
    settings={"UPDATES": "12", "BEAM": "2"},
    stages=("prepare", "preprocess", "train", "average", "evaluate", "score"),
    header="| layers | parameters | ROUGE-1 | ROUGE-2 | ROUGE-L | sentences/s |",
    depths=("full", "every_other:6+every_other:3", "every_other:3+every_other:3"),
    parameters=(3 * 12_832, 3 * 8_544),  # decoder layers, then encoder layers, of width 32, FFN 64
    dry_run={"GPUS": "8", "RAW": "/"},  # a folder
    train=(
        "--arch layerdrop_transformer_wmt_en_de_big_t2t --encoder-layers 6 --decoder-layers 6",
        "--encoder-layerdrop 0.2 --decoder-layerdrop 0.2",
        "--update-freq 4",
    ),
    options=("--beam 5 --min-len 150 --max-len-b 200 --no-repeat-ngram-size 3",),
)


def test_answers_have_the_length_asked_for(first, out):
    output = (out / "evaluate" / "full" / "generate-test.txt").read_text().splitlines()
    lengths = [len(line.split("\t")[1].split()) for line in output if line.startswith("P-")]
    assert len(lengths) == 40
    assert 8 < min(lengths) <= max(lengths) <= 21  # with the end of the sentence


def test_data_that_no_one_can_fetch_must_be_given(recipe, tmp_path):
    refused = recipe("eli5", tmp_path / "new", status=2, TINY="", RAW="")
    assert len(refused.stderr.splitlines()) == 1
    assert "eli5: RAW must be a folder with {train,valid,test}.{source,target}" in refused.stderr
