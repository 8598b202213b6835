"""scripts/eli5.sh: all its stages in miniature; the paper's settings in what it prints; data that must be given."""

import pytest

pytestmark = [pytest.mark.recipe, pytest.mark.slow]

pytest.importorskip("rouge_score", reason="needs what setup.py's extra recipes lists")

STAGES = ["prepare", "preprocess", "train", "average", "evaluate", "score"]
HALF, HALF_DECODER = "every_other:3+every_other:3", "every_other:6+every_other:3"


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("eli5")


@pytest.fixture(scope="module")
def first(recipe, out):
    return recipe("eli5", out)


def test_it_ends_with_the_scores_at_each_depth(first, out):
    lines = first.stdout.splitlines()
    assert lines[0] == "| layers | parameters | ROUGE-1 | ROUGE-2 | ROUGE-L | sentences/s |"
    rows = [line.strip("| ").split(" | ") for line in lines[2:5]]
    assert [row[0] for row in rows] == ["full", HALF_DECODER, HALF]
    full, half_decoder, half = (int(row[1].replace(",", "")) for row in rows)
    assert full - half_decoder == 3 * 12_832  # decoder layers of width 32, FFN 64
    assert half_decoder - half == 3 * 8_544  # encoder layers


def test_answers_have_the_length_asked_for(first, out):
    output = (out / "evaluate" / "full" / "generate-test.txt").read_text().splitlines()
    lengths = [len(line.split("\t")[1].split()) for line in output if line.startswith("P-")]
    assert len(lengths) == 40
    assert 8 < min(lengths) <= max(lengths) <= 21  # with the end of the sentence


def test_a_second_run_finds_everything_there(first, recipe, out):
    again = recipe("eli5", out)
    assert again.stderr.splitlines() == [f"eli5: {stage}: there already" for stage in STAGES]


def test_it_prints_the_papers_settings(recipe, tmp_path):
    commands = recipe("eli5", tmp_path / "dry", DRY_RUN="1", TINY="", GPUS="8", RAW=str(tmp_path)).stdout
    for options in (
        "--arch layerdrop_transformer_wmt_en_de_big_t2t --encoder-layers 6 --decoder-layers 6",
        "--encoder-layerdrop 0.2 --decoder-layerdrop 0.2",
        "--beam 5 --min-len 150 --max-len-b 200 --no-repeat-ngram-size 3",
        "--update-freq 4",
    ):
        assert options in commands


def test_data_that_no_one_can_fetch_must_be_given(recipe, tmp_path):
    refused = recipe("eli5", tmp_path / "new", status=2, TINY="", RAW="")
    assert len(refused.stderr.splitlines()) == 1
    assert "eli5: RAW must be a folder with {train,valid,test}.{source,target}" in refused.stderr
