"""layerdrop-search with a budget in place of the number of layers."""

from __future__ import annotations

import csv
import os
import re

import pytest
from shared.searching import folder, inside, read  # noqa: F401  fixture
from shared.web_pages import Reader

from layerdrop_plugin.cost_model import CostModel
from layerdrop_plugin.fairseq_adapter.checkpoints.describe import describe
from layerdrop_plugin.fairseq_adapter.evaluation import part_costs
from layerdrop_plugin.fairseq_adapter.evaluation import search as layer_search
from layerdrop_plugin.fingerprint import fingerprint


@pytest.fixture
def argv(full, data, monkeypatch):
    """A function from a family to the arguments of a search that is quick, with rough times."""
    monkeypatch.setattr(part_costs, "REPEATS", (1, 1))
    monkeypatch.setattr(part_costs, "TIMED", 1)
    return lambda family: [data[family], "--path", full[family], "--cpu", "--num-batches", 2, "--max-len-b", 5]


def parameters_without(full, layers):
    """Of a tiny translation model, whose decoder layers are the larger ones."""
    of = describe(str(full))
    return of.parameters - sum(layers[name] * of.stacks[name].layer_parameters[0] for name in ("encoder", "decoder"))


def test_parameters_of_a_translation_model(argv, full, capsys, folder):
    most = parameters_without(full["transformer"], {"encoder": 2, "decoder": 2})
    options = ["--params", most, "--json", "a.json", "--csv", "a.csv", "--report-subset", "test", "--state", "scores"]
    options += ["--report", "a.html", "--plot", "a.svg"]
    said = inside(capsys, *argv("transformer"), *options, "--wide")
    found = read("a.json")
    rows = found["ranking"]
    assert [(row["split"], row["choice"]) for row in rows] == [
        ("4+4", "full"),
        ("3+1", "best"),
        ("2+2", "best"),
        ("2+2", "every_other"),
    ]
    assert [row["parameters"] for row in rows] == [
        parameters_without(full["transformer"], {"encoder": encoder, "decoder": decoder})
        for encoder, decoder in ((0, 0), (1, 3), (2, 2), (2, 2))
    ]
    best = min(rows[1:3], key=lambda row: row["loss"])
    assert found["best"] == {"encoder": best["encoder"], "decoder": best["decoder"]}
    assert found["budget"] == {"kind": "params", "value": str(most)}
    assert [len(best[stack].split(",")) for stack in ("encoder", "decoder")] == list(map(int, best["split"].split("+")))
    assert (rows[0]["speedup"], rows[0]["promised_speedup"]) == (1.0, 1.0)
    measured = found["measured_speedup_same_length"]
    assert found["measured_above_promised"] == measured / best["promised_speedup"] - 1
    assert [row["choice"] for row in found["report"]["rows"]] == ["best", "every_other", "full"]
    described = {name: found[name] for name in ("checkpoint", "fingerprint", "split")}
    assert described == {
        "checkpoint": str(full["transformer"]),
        "fingerprint": fingerprint(full["transformer"]),
        "split": "valid",
    }
    sizes = [(of["batches"] > 0, of["predictions"] > 0) for of in (found, found["report"])]
    assert sizes == [(True, True), (True, True)]
    second = found["report"]
    assert f"\ntest, not searched on: {second['batches']} batches, {second['predictions']} predictions\n" in said.out
    lines = said.out.splitlines()
    assert lines[0].startswith(f"--params {most}: 2 splits searched, 2 batches, 1 of them timed, on cpu, ")
    assert re.match(r"a sentence takes [0-9.e-]+ ms beside the layers, [0-9.e-]+ ms in each encoder layer, ", lines[1])
    headers = {"promised_speedup": "promised", "sentences_per_second": "sentences/s"}
    assert lines[2].split() == [headers.get(name, name) for name in rows[0]]
    assert found["kept"] == found["best"]
    assert [line.split()[:2] for line in lines[3:7]] == [[row["split"], row["choice"]] for row in rows]
    assert lines[-2] == (
        f"recommended: {best['split']} layers, {best['speedup']:.2f} times as fast ({measured:.2f} for translations as "
        f"long as the full model's), promised {best['promised_speedup']:.2f} "
        f"({100 * found['measured_above_promised']:+.1f}%)"
    )
    assert lines[-1] == f'--model-overrides "{found["model_overrides"]}"'
    with open("a.csv", newline="") as file:
        assert [row["split"] for row in csv.DictReader(file)] == [row["split"] for row in rows]
    assert sorted(os.listdir()) == ["a.csv", "a.html", "a.json", "a.svg", "scores"]
    page = Reader((folder / "a.html").read_text(encoding="utf-8"))
    assert page.data == found
    assert page.of("h2")[1:] == ["Recommended", "On valid", "Quality over speed", "On test, not searched on", "Go on"]
    assert [row[:4] for row in page.tables[0][1:]] == [list(row.values())[:4] for row in rows]
    assert page.of("pre")[1] == lines[-1]


def test_scores_are_used_again(argv, capsys, folder, monkeypatch):
    """By the same budget, by another one whose sets are among them, and by a number of layers."""
    scored = []
    score = layer_search.Scoring.__call__

    def count(self, batch, candidates):
        scored.extend(candidates)
        return score(self, batch, candidates)

    monkeypatch.setattr(layer_search.Scoring, "__call__", count)
    model = CostModel(0.001, (0.001,))  # so short a timing may find that layers cost nothing
    monkeypatch.setattr(part_costs, "measure", lambda *args: part_costs.PartCosts(model, model))
    same = [*argv("transformer_lm"), "--state", "scores", "--strategy", "exhaustive", "--json", "a.json", "--force"]
    inside(capsys, *same, "--max-loss-increase", "1000%")
    found = read("a.json")
    assert [row["split"] for row in found["ranking"]] == ["4", "3", "2", "1", "1"]
    assert len(set(scored)) == 1 + 4 + 6 + 4
    scored.clear()
    inside(capsys, *same, "--max-loss-increase", "1000%")
    assert [row["loss"] for row in read("a.json")["ranking"]] == [row["loss"] for row in found["ranking"]]
    assert scored == []
    inside(capsys, *same, "--keep", 2, "--resume")
    assert read("a.json")["ranking"][0]["loss"] == found["ranking"][2]["loss"]
    assert set(scored) == {((0, 1, 2, 3),)}  # beside the search
    said = inside(capsys, *argv("roberta"), "--keep", 2, "--state", "scores", status=2).err
    assert said == (
        "layerdrop-search: error: `--state` must have scores of the same model, but scores is of a search with another "
        "checkpoint: name another file; --force starts anew.\n"
    )


def test_size_of_the_file(argv, full, capsys, folder, command, tmp_path):
    described = describe(str(full["roberta"]))
    most = described.bytes.weights + 100_000  # the optimizer's state does not count
    said = inside(capsys, *argv("roberta"), "--size", f"{most / 1000:.3f}kB", "--json", "a.json")
    assert read("a.json") == {"budget": {"kind": "size", "value": f"{most / 1000:.3f}kB"}, "met_in_full": True}
    assert re.fullmatch(
        rf"--size {most / 1000:.3f}kB is met with all layers, 4: the file has [0-9,]+ bytes\n", said.out
    )
    (whole,) = re.findall("file has ([0-9,]+) bytes", said.out)
    less = int(whole.replace(",", "")) - 1
    inside(capsys, *argv("roberta"), "--size", f"{less / 1000:.3f}kB", "--json", "b.json")
    best = read("b.json")["ranking"][1]
    assert best["split"] == "3"
    command("layerdrop-prune", full["roberta"], "--output", "small.pt", "--encoder", best["encoder"], cwd=tmp_path)
    assert os.path.getsize("small.pt") == best["bytes"] <= less


def test_dry_run(argv, full, capsys, folder):
    most = describe(str(full["transformer_lm"])).parameters - 1
    output = inside(capsys, *argv("transformer_lm"), "--params", most, "--dry-run").out
    lines = output.splitlines()
    assert re.fullmatch(r"a sentence takes \S+ ms beside the layers, \S+ ms in each decoder layer", lines[0])
    assert lines[1] == f"--params {most}: 1 split"
    assert re.fullmatch(r"  3: \d+\.\d\d times as fast, [0-9,]+ parameters; exhaustive search, 4 sets", lines[2])
    assert re.fullmatch(r"about [0-9,]+ layer evaluations, about \d\.\d s of scoring", lines[3])
    output = inside(capsys, *argv("transformer_lm"), "--max-loss-increase", "2%", "--dry-run").out
    lines = output.splitlines()
    assert lines[1] == "--max-loss-increase 2%: 1 to about 3 splits, by the scores"
    assert lines[2].startswith("at most about ")
    assert os.listdir() == []


def test_plot_and_bleu(argv, capsys, folder):
    pytest.importorskip("matplotlib")
    pytest.importorskip("sacrebleu")
    options = ["--latency", "100s", "--plot", "a.png", "--bleu", "--beam", 2]
    said = inside(capsys, *argv("transformer"), *options)
    assert "is met with all layers, 4+4: a sentence takes " in said.out
    assert said.err == "layerdrop-search: warning: --plot: a.png is not written, as nothing was searched\n"
    assert os.listdir() == []
    options = ["--max-loss-increase", "1000%", "--stack", "decoder", *options[2:]]
    lines = inside(capsys, *argv("transformer"), *options).out.splitlines()
    assert "BLEU" in lines[2]
    assert all(len(line) <= 80 for line in lines[2:-3])
    with open("a.png", "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--speedup", "2", "--keep", "2"],
            "one of --keep, --speedup, --latency, --params, --size, --max-loss-increase must be given, "
            "but --keep and --speedup are.",
        ),
        (
            ["--speedup", "2", "--size", "3MB", "--params", "2M"],
            "one of --keep, --speedup, --latency, --params, --size, --max-loss-increase must be given, "
            "but --speedup and --params and --size are.",
        ),
        (["--speedup", "1"], "`--speedup` must be a number above 1 such as 2 or 1.5, but is '1' instead."),
        (["--latency", "10"], "`--latency` must be a time above 0 such as 10ms or 0.5s, but is '10' instead."),
        (
            ["--params", "2M", "--dry-run", "--report", "a.html"],
            "`--report` must be left out with --dry-run, but is 'a.html'.",
        ),
        (
            ["--keep", "2", "--dry-run"],
            "`--dry-run` must go with a budget (--speedup, --latency, --params, --size, --max-loss-increase), "
            "but has --keep.",
        ),
        (
            ["--speedup", "2", "--plot", "a.gif"],
            "`--plot` must be a file that ends in .png, .svg or .pdf, but is 'a.gif' instead.",
        ),
        (
            ["--speedup", "2", "--plot", "a.png", "--json", "./a.png"],
            "`--plot` must be another file than ./a.png, but is a.png.",
        ),
        (
            ["--params", "1"],
            "`--params` must be met by some depth, but 1 is not: with the fewest layers, 1, there are N parameters.",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_line_for_what_is_wrong(argv, capsys, folder, options, said):
    found = inside(capsys, *argv("transformer_lm"), *options, status=2)
    assert found.out == ""
    assert re.sub(r"[0-9,]+(?= parameters)", "N", found.err) == f"layerdrop-search: error: {said}\n"
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("family", "options", "said"),
    [
        (
            "transformer",
            ["--params", "1K"],
            "error: `--params` must be met by some depth, but 1K is not: with the fewest layers, 1+1, there are N "
            "parameters.",
        ),
        (
            "transformer_lm",
            ["--size", "1kB", "--dry-run"],
            "error: `--size` must be met by some depth, but 1kB is not: with the fewest layers, 1, the file has N "
            "bytes.",
        ),
        ("roberta", ["--params", "1B"], "--params 1B is met with all layers, 4: there are N parameters"),
        ("roberta", ["--size", "1GB"], "--size 1GB is met with all layers, 4: the file has N bytes"),
    ],
)
def test_what_counting_tells_is_said_before_anything_is_timed(argv, capsys, folder, monkeypatch, family, options, said):
    def measure(*args):
        raise AssertionError("timed")

    monkeypatch.setattr(part_costs, "measure", measure)
    refused = said.startswith("error: ")
    found = inside(capsys, *argv(family), *options, status=2 if refused else None)
    text = found.err.replace("layerdrop-search: ", "") if refused else found.out
    assert re.sub(r"[0-9,]+(?= (parameters|bytes))", "N", text) == f"{said}\n"


@pytest.mark.workers
@pytest.mark.slow
def test_two_workers_search_the_same_splits(argv, full, torchrun, capsys, folder):
    """By the costs that the first of them has measured."""
    options = [*argv("transformer"), "--params", parameters_without(full["transformer"], {"encoder": 2, "decoder": 2})]
    torchrun("layerdrop-search", *options, "--state", "scores", "--json", "two.json", cwd=folder)
    inside(capsys, *options, "--json", "one.json")
    one, two = ([(row["split"], row["loss"]) for row in read(name)["ranking"]] for name in ("one.json", "two.json"))
    assert one == two
    assert sorted(os.listdir()) == ["one.json", "scores", "two.json"]
