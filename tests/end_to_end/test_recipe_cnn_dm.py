"""scripts/cnn_dm.sh: all its stages in miniature; the paper's settings in what it prints."""

from __future__ import annotations

import pytest
from shared.recipe_contract import *  # noqa: F403  fixtures and tests
from shared.recipe_contract import Promise

pytestmark = [pytest.mark.recipe, pytest.mark.slow]

pytest.importorskip("rouge_score", reason="needs the extra recipes")

PROMISED = Promise(
    recipe="cnn_dm",
    settings={"BEAM": "2"},
    stages=("prepare", "preprocess", "train", "average", "evaluate", "score"),
    header="| layers | parameters | ROUGE-1 | ROUGE-2 | ROUGE-L | sentences/s |",
    depths=("full", "every_other:6+every_other:3", "every_other:3+every_other:3"),
    parameters=(3 * 12_832, 3 * 8_544),  # decoder layers, then encoder layers, of width 32, FFN 64
    dry_run={"GPUS": "8", "DECODER_LAYERS": "8"},
    train=(
        "--arch layerdrop_transformer --encoder-layers 6 --decoder-layers 8 --share-all-embeddings",
        "--encoder-layerdrop 0.2 --decoder-layerdrop 0.2",
        "--optimizer adam",
        "--lr-scheduler cosine --lr 0.001 --min-lr 1e-07 --warmup-updates 10000",
        "--max-tokens 3584 --update-freq 16",
    ),
    options=(
        "https://huggingface.co/datasets/abisee/cnn_dailymail/",
        "--tokens 400",
        "--size 32000",
        "'every_other:3','decoder_layers_to_keep': 'every_other:4'",
        "--min-len 40 --max-len-b 60 --no-repeat-ngram-size 3",
    ),
)


def test_stories_become_lines(first, out):
    source, target = ((out / "text" / f"train.{side}").read_text().splitlines() for side in ("source", "target"))
    assert (len(source), len(target)) == (400, 400)
    one, other = target[0].split(" ¶ ")
    assert source[0].startswith(one)
    assert f" {other} " in source[0]


def test_summaries_have_the_length_asked_for_and_no_trigram_of_pieces_twice(first, out):
    output = (out / "evaluate" / "full" / "generate-test.txt").read_text().splitlines()
    lengths = [len(line.split("\t")[1].split()) for line in output if line.startswith("P-")]
    assert len(lengths) == 40
    assert 4 < min(lengths) <= max(lengths) <= 13  # with the end of the sentence
    for summary in (line.split("\t")[2].split() for line in output if line.startswith("H-")):
        trigrams = list(zip(summary, summary[1:], summary[2:]))
        assert len(set(trigrams)) == len(trigrams)


def test_one_file_in_place_of_the_folder_is_refused(recipe, tmp_path):
    file = tmp_path / "cnn_stories.tgz"
    file.touch()
    refused = recipe("cnn_dm", tmp_path / "new", status=2, TINY="", RAW=str(file))
    assert refused.stderr == f"cnn_dm: RAW must be a folder with the five files, but is '{file}'.\n"
