"""scripts/wmt16_en_de.sh: all its stages in miniature; the paper's settings in what it prints."""

from __future__ import annotations

import pytest
from shared.recipe_contract import *  # noqa: F403  fixtures and tests
from shared.recipe_contract import Promise

pytestmark = [pytest.mark.recipe, pytest.mark.slow]

pytest.importorskip("sacremoses", reason="needs the extra recipes")

PROMISED = Promise(
    recipe="wmt16_en_de",
    stages=("prepare", "preprocess", "train", "average", "evaluate", "score"),
    header="| layers | parameters | BLEU | sacreBLEU | sentences/s |",
    depths=("full", "every_other:6+every_other:3", "every_other:3+every_other:3"),
    parameters=(3 * 12_832, 3 * 8_544),  # decoder layers, then encoder layers, of width 32, FFN 64
    train=(
        "--arch layerdrop_transformer_vaswani_wmt_en_de_big --encoder-layers 6 --decoder-layers 6",
        "--share-all-embeddings",
        "--encoder-layerdrop 0.2 --decoder-layerdrop 0.2",
        "--dropout 0.2 --criterion label_smoothed_cross_entropy --label-smoothing 0.1",
        "--lr-scheduler cosine --lr 0.001 --min-lr 1e-07 --warmup-updates 10000 --warmup-init-lr 1e-07 --t-mult 1",
        "--lr-period-updates 20000 --max-update 30000 --max-tokens 3584 --update-freq 16",
        "--keep-last-epochs 10",
    ),
    options=(
        "--num-epoch-checkpoints 10",
        "--beam 8 --lenpen 0.6 --remove-bpe",
        "--test-set wmt14/full",
    ),
)


@pytest.fixture(scope="module")
def printed(recipe, out):
    """A function from settings to the commands, for 8 GPUs if they say no other number."""

    def dry_run(**settings):
        return recipe("wmt16_en_de", out / "dry", DRY_RUN="1", TINY="", **{"GPUS": "8", **settings}).stdout

    return dry_run


def test_the_scores_say_how_they_were_made(first):
    end = first.stdout.splitlines()[-1]
    assert "sacreBLEU: nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:" in end


def test_the_last_epochs_are_averaged_and_kept(first, out):
    names = [f"checkpoint{epoch}.pt" for epoch in (1, 2, 3)]
    assert sorted(path.name for path in (out / "train").glob("checkpoint[0-9]*")) == names
    log = (out / "log" / "average.txt").read_text()
    assert all(str(out / "train" / name) in log for name in names)


def test_compounds_and_pieces_come_back_as_words(first, out):
    output = (out / "evaluate" / "full" / "generate-test.txt").read_text().splitlines()
    references = [line.split("\t")[1] for line in output if line.startswith("T-")]
    assert len(references) == 40
    assert not any("@@" in line for line in references)
    assert any("-v" in line for line in references)


def test_an_archive_with_other_numbers_of_lines_is_refused(first, recipe, out, tmp_path):
    settings = {"TINY": "", "RAW": str(out / "raw" / "made"), "REFERENCE": __file__, "STAGE": "prepare"}
    failed = recipe("wmt16_en_de", tmp_path, status=1, **settings)
    assert (
        "wmt16_en_de: train.tok.clean.bpe.32000.en must have 4500966 lines, but has 400." in failed.stderr.splitlines()
    )


def test_the_models_and_schedules_of_others_are_an_option(printed):
    deeper = printed(ENCODER_LAYERS="12", LENPEN="0.4")
    assert "--encoder-layers 12 --decoder-layers 6" in deeper
    assert "'every_other:6','decoder_layers_to_keep': 'every_other:3'" in deeper
    assert "--beam 8 --lenpen 0.4" in deeper
    scaling = printed(SCHEDULE="inverse_sqrt", GPUS="1")
    assert "--lr-scheduler inverse_sqrt --lr 0.001 --stop-min-lr 1e-09 --warmup-updates 4000" in scaling
    assert "--update-freq 128" in scaling


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("SCHEDULE", "linear", "SCHEDULE must be cosine or inverse_sqrt, but is 'linear'."),
        ("GPUS", "3", "GPUS must divide 128, the paper's batches per update, but is 3."),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(recipe, tmp_path, setting, value, message):
    refused = recipe("wmt16_en_de", tmp_path / "new", status=2, **{"TINY": "", setting: value})
    assert refused.stderr == f"wmt16_en_de: {message}\n"
    assert not (tmp_path / "new").exists()
