"""scripts/benchmarks/structured_dropout.sh in its tiny form."""

from __future__ import annotations

import shutil

import pytest

pytestmark = [pytest.mark.recipe, pytest.mark.slow]

NAME = "benchmarks/structured_dropout"
MODELS = "none depths own-1 learned"


def rows(text):
    """The cells of each table, by its title."""
    tables = [part.splitlines() for part in text.split("### ")[1:]]
    return {t[0]: [line.strip("| ").split(" | ") for line in t if line.startswith("|")] for t in tables}


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory):
    """All stages done: their folder, and what they printed."""
    out = tmp_path_factory.mktemp("benchmark")
    return out, recipe("benchmarks/structured_dropout", out, MODELS=MODELS)


def test_it_ends_with_tables_and_a_plot_and_repeats_nothing(recipe, finished):
    out, done = finished
    kinds, rates, ways = rows(done.stdout).values()
    assert kinds[0][:3] == ["dropped", "perplexity at depth 2", "at depth 1"]
    assert [row[0] for row in kinds[2:]] == ["none", "depths"]
    assert rates[0] == ["training", "at depth 2", "at depth 1"]
    assert [row[0] for row in rates[2:]] == ["p = 0", "at each depth (1)", "a model for each depth"]
    assert [row[1:3] for row in kinds[2:]] == [row[1:] for row in rates[2:4]]  # the same models
    assert rates[4][1] == ""
    assert 30 < float(rates[4][2]) < 500
    assert [row[0] for row in ways[2:]] == ["full", "every_other", "first", "last", "learned", "search"]
    assert [row[1] for row in ways[2:6]] == ["0,1,2,3", "0,2", "0,1", "2,3"]
    perplexities = [
        float(cell) for table in (kinds, ways) for row in table[2:] for cell in row[2:4] if cell[-1].isdigit()
    ]
    assert len(perplexities) == 2 + 2 * 6
    assert all(30 < number < 500 for number in perplexities)
    assert float(ways[-1][2]) == min(float(row[2]) for row in ways[3:])  # the search saw all six pairs
    assert all(float(row[3].split()[0]) > 0 and float(row[4]) > 0 for row in kinds[2:])
    assert "Options off: " in done.stdout
    assert f"MODELS='{MODELS}' bash scripts/benchmarks/struct" in done.stdout
    assert "--layerdrop-depths 1 " in (out / "train/depths/train.log").read_text()
    assert (out / "structured_dropout.png").stat().st_size > 10_000

    (out / "train/depths/done").unlink()  # as if trained by hand
    again = recipe(NAME, out, MODELS=MODELS)
    assert again.stdout == done.stdout
    assert "structured_dropout: train none" not in again.stderr
    assert "structured_dropout: train depths" not in again.stderr
    fewer = recipe(NAME, out, status=1, MODELS="none", STAGES="report")
    assert fewer.stderr.endswith(
        "depths.json must be of MODELS, but is of none depths learned; remove it to make it anew.\n"
    )


def test_an_interrupted_training_goes_on_and_other_settings_are_noticed(recipe, finished, tmp_path):
    (tmp_path / "bin").symlink_to(finished[0] / "bin")
    folder = shutil.copytree(finished[0] / "train/own-1", tmp_path / "train/own-1")
    for name in ("done", "begun"):  # it was told to stop at 6 updates, which stands for an interruption
        (folder / name).unlink()
    settings = {"STAGES": "train", "MODELS": "own-1"}
    recipe(NAME, tmp_path, **settings, UPDATES="9")
    log = (folder / "train.log").read_text()
    assert "--decoder-layers 1 " in log
    assert " @ 6 updates" in log
    assert '"train_num_updates": "9"' in log
    other = recipe(NAME, tmp_path, status=2, **settings, UPDATES="12")
    assert "structured_dropout: own-1 was begun with other settings; choose another OUT, or remove " in other.stderr
    assert (folder / "train.log").read_text() == log


@pytest.mark.parametrize(
    ("settings", "status", "message"),
    [
        ({"TINY": ""}, 2, "structured_dropout: DATA must be a folder with train.txt, valid.txt and test.txt.\n"),
        (
            {"STAGES": "train test"},
            2,
            "structured_dropout: STAGES must be some of: prepare train evaluate speed report; but one is 'test'.\n",
        ),
        (
            {"MODELS": "none words"},
            2,
            "structured_dropout.py: error: argument --models: must be none, learned, depths, own-K, or of heads, "
            "ffn, sublayers, layers joined by +, but is 'words'.\n",
        ),
        (
            {"MODELS": "none own-0"},
            2,
            "structured_dropout.py: error: argument --models: must be a whole number of at least 1, but is '0' "
            "instead.\n",
        ),
        (
            {"MODELS": "none layers-2"},
            2,
            "structured_dropout.py: error: argument --models: must be a drop rate, 0 <= P < 1, but is '2' instead.\n",
        ),
        ({"STAGES": "evaluate"}, 2, "structured_dropout: 'none' must be trained before it is evaluated.\n"),
    ],
)
def test_bad_settings_are_one_line_before_anything_is_done(recipe, tmp_path, settings, status, message):
    done = recipe(NAME, tmp_path, status=status, **settings)
    assert done.stderr.removeprefix("structured_dropout: evaluate\n") == message
    assert not (tmp_path / "bin").exists()
