"""scripts/benchmarks/structured_dropout.py: names become options, numbers become tables."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "benchmarks"))
import structured_dropout
import structured_dropout_tables as tables

AT = {"none": {12: 20.04, 6: 1234.5}, "heads": {12: 19.0, 6: None}, "layers-0.5": {12: 25.0, 6: 30.0}}
WORDS = {"none": [100.0, 50.0], "heads": [90.0, 45.0], "layers": [125.0, 62.5], "no layers": [500.0, 250.0]}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none", ""),
        ("heads", "--decoder-headdrop 0.2"),
        ("ffn", "--decoder-ffndrop 0.2"),
        ("heads+sublayers", "--decoder-headdrop 0.2 --decoder-sublayerdrop 0.2"),
        ("heads-0.1+layers", "--decoder-headdrop 0.1 --decoder-layerdrop 0.2"),
        ("learned", "--decoder-layerdrop 0.2 --decoder-layerdrop-learned"),
        ("depths", "--layerdrop-depths 9,6"),
        ("depths-0.6", "--layerdrop-depths 12=0.6,9,6"),
        ("own-6", ""),
    ],
)
def test_options_follow_from_the_name(name, words):
    assert " ".join(structured_dropout.options(structured_dropout.model(name), 0.2, "9,6", 12)) == words


@pytest.mark.parametrize(
    "name",
    [
        *("", "head", "none+layers", "layers-", "layers-1", "layers+learned"),
        *("depths-9", "depths-", "depths+heads", "own", "own-", "own-0", "own-0.5", "own-6+heads"),
    ],
)
def test_other_names_are_refused(name):
    with pytest.raises(argparse.ArgumentTypeError, match="must be"):
        structured_dropout.model(name)


def test_a_wrong_share_is_not_called_a_drop_rate():
    with pytest.raises(argparse.ArgumentTypeError) as error:
        structured_dropout.model("depths-1")
    assert str(error.value) == "must be depths-S with a share of full depth, 0 <= S < 1, but is depths-1 instead."


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("none", 12),
        ("stock", 12),
        ("sublayers", 12),
        ("no ffn", 12),
        ("layers", 9),
        ("heads+layers", 9),
        ("no layers", 0),
        ("depths", 7.2),  # 12 layers in 0.4 of the passes, 6 in 0.3, 2 in 0.3
    ],
)
def test_layers_that_run(name, layers):
    args = argparse.Namespace(layers=12, rate=0.25, depths="6,2")
    assert structured_dropout.layers_run(args, name) == pytest.approx(layers)


@pytest.mark.parametrize(
    ("models", "sweeps"),
    [
        ("none layers-0.5 depths", {"depths": ["none", "layers-0.5", "depths"]}),
        ("none own-6 depths own-3", {"depths": ["none", "depths"], "own-6": ["own-6"], "own-3": ["own-3"]}),
        ("own-3", {"own-3": ["own-3"]}),
    ],
)
def test_models_of_one_depth_are_not_pruned_with_the_others(models, sweeps):
    assert structured_dropout.swept(models.split()) == sweeps


def test_rates_are_of_models_that_drop_layers_only():
    models = ["layers-0.5", "heads+layers", "heads-0.5", "layers", "none", "layers-0.1", "learned", "depths", "own-6"]
    assert tables.rates(models, 0.2) == {0.0: "none", 0.1: "layers-0.1", 0.2: "layers", 0.5: "layers-0.5"}
    assert list(tables.rates(models, 0.2)) == [0.0, 0.1, 0.2, 0.5]
    assert tables.kinds(models) == ["heads+layers", "layers", "none", "depths"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", 1.0),
        ("heads", 1.0),
        ("layers", 1 / 0.84),
        ("heads+layers", 1 / 0.84),
        ("ffn+layers", None),
        ("depths", 1 / 0.84),
    ],
)
def test_ideal_saves_what_is_skipped_and_no_heads(name, expected):
    # Without its layers an update takes 1 / 5 of the time: they are 0.8 of it, and 0.2 of them go.
    assert tables.ideal_speed_up(name, WORDS, 0.2) == (expected and pytest.approx(expected))


def test_the_table_of_kinds():
    at = {**AT, "depths": {12: 21.0, 6: 22.0}}
    words = {**WORDS, "depths": [140.0, 70.0]}
    dropped = {"none": 0.2, "heads": 0.2, "depths": 0.5}
    assert tables.kinds_table(at, words, dropped, 6).splitlines() == [
        "| dropped | perplexity at depth 12 | at depth 6 | speed / none (middle half of the rounds) | ideal |",
        "| --- | --- | --- | --- | --- |",
        "| none | 20.0 | 1,234 | 1.000 (1.000 to 1.000) | 1.000 |",
        "| heads | 19.0 | - | 0.900 (0.900 to 0.900) | 1.000 |",
        "| depths | 21.0 | 22.0 | 1.400 (1.400 to 1.400) | 1.667 |",  # half of the layers, 0.8 of the time
    ]
    assert tables.kinds_table(AT, {}, {}, 6).splitlines()[3] == "| heads | 19.0 | - |  |  |"


def test_the_table_of_rates_leaves_empty_what_is_missing():
    at = {
        **AT,
        "own-6": {6: 27.0},
        "own-3": {3: None},
        "depths-0.6": {12: 20.5},
        "depths": {12: 21.0, 6: 22.0, 3: 23.0},
    }
    assert tables.rates_table(at, 0.2, "6,3", 12).splitlines() == [
        "| training | at depth 12 | at depth 6 | at depth 3 |",
        "| --- | --- | --- | --- |",
        "| p = 0 | 20.0 | 1,234 |  |",
        "| p = 0.5 | 25.0 | 30.0 |  |",
        "| at each depth (6,3) | 21.0 | 22.0 | 23.0 |",
        "| at each depth (12=0.6,6,3) | 20.5 |  |  |",
        "| a model for each depth |  | 27.0 | - |",
    ]


def test_the_table_of_selections_has_the_search_last():
    ranking = [("1", "0,3", 5.0), ("2", "0,2", 6.0), ("every_other:2", "0,2", 6.0), ("learned:2", "1,3", 7.0)]
    search = {
        "ranking": [dict(zip(("rank", "decoder", "perplexity"), row)) for row in ranking],
        "report": {"rows": [{"perplexity": 5.5}, {"perplexity": 6.5}]},
    }
    swept = [("full", "0-3", 4.5), ("every_other", "0,2", 6.5), ("learned", "1,3", 7.5)]
    test = [dict(zip(("strategy", "decoder", "perplexity"), row)) for row in swept]
    assert tables.selection_table(search, test).splitlines()[2:] == [
        "| full | 0-3 | - | 4.5 |",
        "| every_other | 0,2 | 6.0 | 6.5 |",
        "| learned | 1,3 | 7.0 | 7.5 |",
        "| search | 0,3 | 5.0 | 5.5 |",
    ]


def test_options_that_are_off_are_told_beside_stock():
    said = structured_dropout.turns({"rounds": 2, "steps": 4, "words": {"none": [99.0, 49.5], "stock": [100.0, 50.0]}})
    assert said.startswith(" Speed: 2 rounds of 4 updates of each, turn and turn about; ")
    assert said.endswith("Options off: 0.990 (0.990 to 0.990) times stock fairseq's speed.")


def test_a_plot_without_matplotlib_says_how_to_get_it(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(structured_dropout.importlib.util, "find_spec", lambda name: None)
    structured_dropout.plot(AT, argparse.Namespace(out=tmp_path))
    assert capsys.readouterr().err == "benchmark: structured_dropout.png needs matplotlib: pip install matplotlib\n"


def test_the_commands_results_are_made_once(tmp_path, capsys):
    calls = []
    command = argparse.Namespace(__name__="layerdrop_plugin.cli.sweep", main=calls.append)
    args = argparse.Namespace(out=tmp_path)
    structured_dropout.made(args, "depths", command, "data", "--repeats", 1)
    (tmp_path / "depths.json").write_text("{}")
    structured_dropout.made(args, "depths", command, "data")
    assert calls == [["data", "--repeats", "1", "--json", str(tmp_path / "depths.json")]]
    assert capsys.readouterr().err == "benchmark: depths.json: layerdrop-sweep data --repeats 1\n"
