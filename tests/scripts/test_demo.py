"""The demonstration's helpers: sentence pairs, progress, table, plot."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "demo"))
cldr_pairs = pytest.importorskip("cldr_pairs", reason="needs babel")
make_data = pytest.importorskip("make_data", reason="needs sentencepiece")
scores = pytest.importorskip("scores", reason="needs sacrebleu")
perplexities = pytest.importorskip("perplexities", reason="needs sacrebleu")
import watch  # noqa: E402

FULL = scores.Score("with LayerDrop", 6, 2_000_000, 90.0, 100.0)
HALF = scores.Score("with LayerDrop", 3, 1_100_000, 81.0, 180.0)

OUTPUT = """\
S-1\tzwei
D-1\t-0.5\tzweite Zeile
H-0\t-0.1\tno detokenized line
D-0\t-0.25\terste Zeile
D-10\t-0.1\t
2026-11-20 12:00:09 | INFO | generate | Translated 3 sentences (9 tokens) in 0.1s (30.50 sentences/s, 91.5 tokens/s)
"""


def test_the_same_seed_gives_the_same_pairs():
    assert list(cldr_pairs.pairs(300, seed=1)) == list(cldr_pairs.pairs(300, seed=1))
    assert list(cldr_pairs.pairs(300, seed=1)) != list(cldr_pairs.pairs(300, seed=2))


@pytest.mark.parametrize(("train", "valid", "test"), [(1000, 100, 100), (10000, 500, 1000)])
def test_no_held_out_source_is_in_training(train, valid, test):
    splits = make_data.split_pairs(train, seed=1)
    sources = [english for rows in splits.values() for english, _ in rows]
    assert {split: len(rows) for split, rows in splits.items()} == {"valid": valid, "test": test, "train": train}
    assert len(set(sources)) == len(sources)


@pytest.mark.parametrize("kind", cldr_pairs.KINDS)
def test_every_kind_says_something_in_both_languages(kind):
    for seed in range(20):
        phrase = kind(random.Random(seed))
        assert phrase("en")
        assert phrase("de")


def test_fewer_pairs_than_a_vocabulary_needs_are_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["make_data.py", "--out", "nowhere", "--pairs", "10"])
    with pytest.raises(SystemExit, match="2"):
        make_data.parse_args()
    assert capsys.readouterr().err.endswith("error: --pairs must be at least 1000, but is 10.\n")


def test_progress_takes_training_lines_only():
    log = [
        "2026-11-20 12:00:00 | INFO | fairseq.trainer | begin training epoch 1\n",
        '2026-11-20 12:00:01 | INFO | train_inner | {"epoch": 1, "loss": "4.5", "num_updates": "10"}\n',
        '2026-11-20 12:00:02 | INFO | train | {"epoch": 1, "train_loss": "4.0", "train_num_updates": "12"}\n',
    ]
    assert list(watch.progress(log)) == [(10, 4.5)]


def test_beside_others_a_training_writes_a_line_with_its_name_for_every_tenth(monkeypatch, capsys):
    stats = ((5, "4.5"), (10, "4.0"), (11, "3.9"), (30, "3.5"))
    log = [f'| train_inner | {{"loss": "{loss}", "num_updates": "{done}"}}\n' for done, loss in stats]
    monkeypatch.setattr(sys, "stdin", iter(log))
    monkeypatch.setattr(sys, "argv", ["watch.py", "100", "--name", "depths"])
    watch.main()
    lines = ["demo:   depths: 10 of 100 updates, loss 4.00", "demo:   depths: 30 of 100 updates, loss 3.50"]
    assert capsys.readouterr().err.splitlines() == lines


def test_output_of_generate_is_read_in_the_order_of_the_test_set():
    assert scores.hypotheses(OUTPUT) == ["erste Zeile", "zweite Zeile", ""]
    assert scores.speed(OUTPUT) == 30.5


def test_the_last_logged_count_of_parameters_counts():
    log = "INFO | checkpoints | num. model params: 2,000,000\nINFO | checkpoints | num. model params: 1,100,000\n"
    assert scores.parameters(log) == 1_100_000


def test_table_sets_each_depth_against_the_full_one():
    assert scores.table([FULL, HALF]).splitlines() == [
        "model              layers  parameters   BLEU  of full  sentences/s",
        "with LayerDrop        6+6   2,000,000   90.0   100.0%          100",
        "with LayerDrop        3+3   1,100,000   81.0    90.0%          180",
    ]


def test_perplexities_stand_deepest_first():
    log = (
        "INFO | checkpoints | num. model params: {}\n"
        "INFO | eval_lm | Evaluated 9,000 tokens in 2.0s (4500.00 tokens/s)\n"
        "INFO | eval_lm | Loss (base 2): 2.0000, Perplexity: {}\n"
    )
    assert perplexities.table({3: log.format("500,000", "5.25"), 6: log.format("900,000", "4.00")}).splitlines() == [
        "",
        "language model     layers  parameters  perplexity  tokens/s",
        "with LayerDrop          6     900,000        4.00      4500",
        "with LayerDrop          3     500,000        5.25      4500",
    ]


def test_scores_are_read_back_as_written():
    assert scores.from_tsv(scores.to_tsv([FULL, HALF])) == [FULL, HALF]


@pytest.fixture
def plot():
    return pytest.importorskip("plot", reason="needs matplotlib")  # late: it takes a second


def test_the_plot_is_a_png(plot, tmp_path):
    plot.draw([FULL, HALF], tmp_path / "scores.png")
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")


def test_the_plot_says_what_it_shows(plot, monkeypatch):
    figures = []
    monkeypatch.setattr(plot.plot_style, "image", lambda figure, path: figures.append(figure) or b"")
    plot.draw([FULL, HALF], Path("/dev/null"))
    quality, speed = figures[0].axes
    plot.plot_style.pyplot().close(figures[0])
    assert (quality.get_ylabel(), speed.get_ylabel()) == ("BLEU (higher is better)", "sentences/s")
    assert [text.get_text() for text in quality.texts] == [f"{100 * HALF.bleu / FULL.bleu:.0f}%"]
    assert quality.get_xlim()[0] > quality.get_xlim()[1]  # full depth first
    (line,) = quality.lines
    assert (FULL.model, line.get_color(), line.get_marker()) == ("with LayerDrop", "#D55E00", "s")  # as p = 0.2
