"""`--card` of layerdrop-prune and layerdrop-export: the model card beside what they write."""

from __future__ import annotations

import datetime
import json

import pytest

import layerdrop_plugin
from layerdrop_plugin.fingerprint import fingerprint

RANKING = [
    {"rank": "1", "decoder": "0,2", "loss": 4.5, "perplexity": 22.63},
    {"rank": "full", "decoder": "0,1,2,3", "loss": 4.25, "perplexity": 19.03},
]
SEARCH = {"checkpoint": "a.pt", "split": "valid", "batches": 2, "stacks": {"decoder": 4}, "ranking": RANKING}


@pytest.fixture
def search(full, tmp_path):
    found = {**SEARCH, "fingerprint": fingerprint(full["transformer_lm"])}
    (tmp_path / "search.json").write_text(json.dumps(found), encoding="utf-8")
    return tmp_path / "search.json"


def test_of_a_pruned_checkpoint(full, command, search, tmp_path):
    argv = [full["transformer_lm"], "-o", tmp_path / "small.pt", "--decoder", "every_other:2", "--card"]
    done = command("layerdrop-prune", *argv, "--scores", search)
    rows = [line.split() for line in done.stdout.splitlines()]
    card = (tmp_path / "small.md").read_text(encoding="utf-8")
    assert card.startswith(f"# small.pt\n\nMade of `{full['transformer_lm']}` on {datetime.date.today()}:\n\n```sh\n")
    assert f"layerdrop-prune {' '.join(map(str, argv))} --scores {search}  # layerdrop_plugin" in card
    assert f"# layerdrop_plugin {layerdrop_plugin.__version__}\n```" in card
    assert "| decoder layers | 4 | 2 ([0,2] of 4) |\n" in card
    (parameters,) = [row for row in rows if row[0] == "parameters"]
    assert f"| parameters | {parameters[1]} | {parameters[2]} |\n" in card
    assert card.endswith(
        "| layers | data | batches | loss | perplexity |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| origin | valid (searched on) | 2 | 4.25 | 19.03 |\n"
        "| this | valid (searched on) | 2 | 4.5 | 22.63 |\n"
    )


def test_of_an_exported_model(full, command, tmp_path):
    pytest.importorskip("ctranslate2")
    argv = ["--to", "ctranslate2", tmp_path / "out", "--decoder", "first:1", "--quantization", "int8"]
    command("layerdrop-export", full["transformer_lm"], *argv, "--card")
    command("layerdrop-prune", full["transformer_lm"], "-o", tmp_path / "small.pt", "--decoder", "0", "--card")
    card, pruned = ((tmp_path / name).read_text(encoding="utf-8").splitlines() for name in ("out.md", "small.md"))
    assert card[0] == "# out"
    assert card[-3:-1] == [
        "| kind | layerdrop_transformer_lm | CTranslate2, int8 |",
        "| decoder layers | 4 | 1 ([0] of 4) |",
    ]
    (parameters,) = [line for line in pruned if line.startswith("| parameters |")]
    assert card[-1] == parameters.replace("parameters", "parameters, as a checkpoint")


def test_of_a_search_whose_overrides_prune(full, data, capsys, tmp_path):
    from layerdrop_plugin.cli import prune, search

    path, out, found = str(full["transformer_lm"]), str(tmp_path / "small.pt"), str(tmp_path / "search.json")
    overrides = "{'decoder_layers_to_keep': '0,2,3'}"
    argv = [str(data["transformer_lm"]), "--path", path, "--keep", "2", "--cpu", "--json", found]
    search.main([*argv, "--model-overrides", overrides])
    best = json.loads((tmp_path / "search.json").read_text(encoding="utf-8"))
    assert (best["held"], best["stacks"]) == ({"decoder": "0,2,3"}, {"decoder": 3})
    prune.main([path, "-o", out, "--decoder", best["best"]["decoder"], "--card", "--scores", found])
    card = (tmp_path / "small.md").read_text(encoding="utf-8").splitlines()
    assert card[-1].startswith("| this | valid (searched on) | ")
    assert f" | {best['ranking'][0]['loss']:.4g} | " in card[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scores", "search.json"], "`--scores` must go with `--card`, but is 'search.json' without it."),
        (
            ["--card", "--scores", "none.json"],
            "`--scores` must be what layerdrop-search wrote with --json for this checkpoint and these layers, "
            "but none.json can't be read: [Errno 2] No such file or directory: 'none.json'.",
        ),
        (
            ["--card", "--scores", "search.json"],
            "`--scores` must be what layerdrop-search wrote with --json for this checkpoint and these layers, "
            "but search.json has not scored decoder layers 1.",
        ),
        (
            ["--card", "--scores", "other.json"],
            "`--scores` must be what layerdrop-search wrote with --json for this checkpoint and these layers, "
            "but other.json is of another checkpoint, a.pt.",
        ),
    ],
)
def test_a_wrong_option_writes_nothing(options, message, full, command, search, tmp_path):
    (tmp_path / "other.json").write_text(json.dumps({**SEARCH, "fingerprint": "9:ab"}), encoding="utf-8")
    argv = [full["transformer_lm"], "-o", "small.pt", "--decoder", "1", *options]
    done = command("layerdrop-prune", *argv, cwd=tmp_path, status=2)
    assert done.stderr == f"layerdrop-prune: error: {message}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.json", "search.json"]


def test_a_card_that_is_there_is_kept(full, command, tmp_path):
    (tmp_path / "small.md").write_text("mine", encoding="utf-8")
    argv = [full["transformer_lm"], "-o", "small.pt", "--decoder", "1", "--card"]
    done = command("layerdrop-prune", *argv, cwd=tmp_path, status=2)
    assert (
        done.stderr
        == "layerdrop-prune: error: `--card` must be a new file, but small.md exists; --force replaces it.\n"
    )
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["mine"]
