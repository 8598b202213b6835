"""scripts/wikitext103.sh in its tiny form, and what it would run in full."""

from __future__ import annotations

import re

import pytest
from shared.recipe_contract import *  # noqa: F403  fixtures and tests
from shared.recipe_contract import Promise

pytestmark = [pytest.mark.recipe, pytest.mark.slow]

PROMISED = Promise(
    recipe="wikitext103",
    stages=("prepare", "preprocess", "train", "average", "evaluate", "score"),
    header="| layers | parameters | valid | test | tokens/s |",
    depths=("full", "drop:0.25", "every_other:2"),
    parameters=(8_544, 8_544),  # layers of width 32, FFN 64
    train=(
        "--arch layerdrop_transformer_lm_wiki103 --decoder-layers 16 --decoder-ffn-embed-dim 4096",
        "--decoder-layerdrop 0.2",
        "--optimizer nag --lr 1.0 --clip-norm 0.1 --lr-scheduler cosine --t-mult 2 --lr-period-updates 270000",
        "--lr-shrink 0.75 --warmup-updates 16000 --warmup-init-lr 1e-07 --min-lr 0.0001 --stop-min-lr 1e-09",
        "--max-update 286000 --max-tokens 3072 --update-freq 3 --tokens-per-sample 3072 --sample-break-mode none",
        "--distributed-world-size 8",
    ),
)


def test_the_perplexities_are_per_word(first):
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in first.stdout.splitlines() if "|" in line]
    assert all(10 < float(value) < 2000 for row in rows[2:] for value in row[2:4])
    assert first.stdout.splitlines()[-1] == "Perplexity per word; each has 32 tokens of context or all that there are."


def test_what_is_evaluated_holds_no_optimizer(first, out):
    assert (out / "average.pt").stat().st_size < 0.7 * (out / "train/checkpoint_best.pt").stat().st_size


def test_each_depth_is_evaluated_with_the_papers_context(recipe, tmp_path):
    printed = recipe("wikitext103", tmp_path / "no", TINY="", DRY_RUN="1", GPUS="8").stdout
    evaluations = [line for line in printed.splitlines() if line.startswith("fairseq-eval-lm")]
    words = "--max-tokens 3072 --tokens-per-sample 3072 --context-window 2560 --softmax-batch 1024"
    assert all(words in line for line in evaluations)
    kept = [re.search(r"--model-overrides (\S+( 'drop:0.2'}\"| 'every_other:8'}\")?)", line)[1] for line in evaluations]
    assert kept == [
        *["'{}'"] * 2,
        *["\"{'decoder_layers_to_keep': 'drop:0.2'}\""] * 2,
        *["\"{'decoder_layers_to_keep': 'every_other:8'}\""] * 2,
    ]


def test_forty_layers(recipe, tmp_path):
    printed = recipe("wikitext103", tmp_path, TINY="", DRY_RUN="1", LAYERS="40", STAGE="train", GPUS="4").stdout
    assert "--decoder-layers 40" in printed
    assert "--update-freq 6" in printed
