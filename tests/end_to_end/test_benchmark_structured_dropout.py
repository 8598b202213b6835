"""scripts/benchmarks/structured_dropout.sh in its tiny form."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.recipe, pytest.mark.slow]

NAME = "benchmarks/structured_dropout"
MODELS = "none layers learned"


def rows(text):
    """The cells of each table, by its title."""
    tables = [part.splitlines() for part in text.split("### ")[1:]]
    return {t[0]: [line.strip("| ").split(" | ") for line in t if line.startswith("|")] for t in tables}


def test_it_ends_with_tables_and_a_plot_and_repeats_nothing(recipe, tmp_path):
    done = recipe("benchmarks/structured_dropout", tmp_path, MODELS=MODELS)
    kinds, rates, ways = rows(done.stdout).values()
    assert kinds[0][:3] == ["dropped", "perplexity at depth 2", "at depth 1"]
    assert [row[0] for row in kinds[2:]] == ["none", "layers"]
    assert rates[0] == ["p in training", "at depth 2", "at depth 1"]
    assert [row[0] for row in rates[2:]] == ["0", "0.2"]
    assert [row[1:3] for row in kinds[2:]] == [row[1:] for row in rates[2:]]  # the same models
    assert [row[0] for row in ways[2:]] == ["full", "every_other", "first", "last", "learned", "search"]
    assert [row[1] for row in ways[2:6]] == ["0,1,2,3", "0,2", "0,1", "2,3"]
    perplexities = [
        float(cell) for table in (kinds, ways) for row in table[2:] for cell in row[2:4] if cell[-1].isdigit()
    ]
    assert len(perplexities) == 2 + 2 * 6 - 1
    assert all(30 < number < 500 for number in perplexities)
    assert float(ways[-1][2]) == min(float(row[2]) for row in ways[3:])  # the search saw all six pairs
    assert all(float(row[3].split()[0]) > 0 and float(row[4]) > 0 for row in kinds[2:])
    assert "Options off: " in done.stdout
    assert f"MODELS='{MODELS}' bash scripts/benchmarks/struct" in done.stdout
    assert (tmp_path / "structured_dropout.png").stat().st_size > 10_000

    (tmp_path / "train/layers/done").unlink()  # as if trained by hand
    again = recipe(NAME, tmp_path, MODELS=MODELS)
    assert again.stdout == done.stdout
    assert "structured_dropout: train none" not in again.stderr
    assert "structured_dropout: train layers" not in again.stderr
    fewer = recipe(NAME, tmp_path, status=1, MODELS="none", STAGES="report")
    assert fewer.stderr.endswith(
        "depths.json must be of MODELS, but is of none layers learned; remove it to make it anew.\n"
    )


def test_an_interrupted_training_goes_on_and_other_settings_are_noticed(recipe, tmp_path, data):
    (tmp_path / "bin").symlink_to(data["transformer_lm"])
    size = "--decoder-embed-dim 16 --decoder-ffn-embed-dim 16 --decoder-attention-heads 2"
    settings, folder = {"STAGES": "train", "MODELS": "heads", "UPDATES": "9"}, tmp_path / "train/heads"
    recipe(NAME, tmp_path, **settings, SIZE=f"{size} --max-update 4")
    for name in ("done", "begun"):  # it was told to stop early, which stands for an interruption
        (folder / name).unlink()
    recipe(NAME, tmp_path, **settings, SIZE=size)
    log = (folder / "train.log").read_text()
    assert "--decoder-headdrop 0.2" in log
    assert " @ 4 updates" in log
    assert '"train_num_updates": "9"' in log
    other = recipe(NAME, tmp_path, status=2, **{**settings, "UPDATES": "12"}, SIZE=size)
    assert "structured_dropout: heads was begun with other settings; choose another OUT, or remove " in other.stderr
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
            "structured_dropout.py: error: argument --models: must be none, learned, or of heads, ffn, sublayers, "
            "layers joined by +, but is 'words'.\n",
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
