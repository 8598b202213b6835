"""The command `layerdrop-search`: rankings, files, interruptions, workers, and one line for what a user gets wrong."""

from __future__ import annotations

import csv
import os
import re
import sys
from itertools import combinations, product

import pytest
from shared.searching import SLOW, arguments, folder, inside, read, table_of, translation, without_cost  # noqa: F401  fixtures
from shared.web_pages import BROWSER, Reader, seen_by_browser

from layerdrop_plugin.fairseq_adapter.evaluation import evaluation, generation
from layerdrop_plugin.fingerprint import fingerprint

USER = ["--user-dir", "layerdrop_plugin", "--cpu"]


def test_both_stacks_of_a_translation_model(translation):
    process, folder = translation
    assert sorted(os.listdir(folder)) == ["found.csv", "found.html", "found.json"]  # no state is left
    found = read(folder / "found.json")
    lines = process.stdout.splitlines()
    assert lines[0] == (
        "keep 2 of 4 encoder layers and 2 of 4 decoder layers: exhaustive search, 24 batches, 160 predictions"
    )
    header, *rows = table_of(process.stdout)
    columns = ["rank", "encoder", "decoder", "loss", "perplexity", "loss_1st_half", "loss_2nd_half"]
    assert columns == list(found["ranking"][0])
    assert header == columns[:5]
    assert [row[0] for row in rows] == [*map(str, range(1, 11)), "every_other:2+2", "first:2+2", "last:2+2", "full"]
    with open(folder / "found.csv", newline="") as file:
        written = list(csv.DictReader(file))
    for row, data, cells in zip(rows, found["ranking"], written):
        assert row[:3] == [data[name] for name in columns[:3]] == [cells[name] for name in columns[:3]]
        assert [float(cells[name]) for name in columns[3:]] == [data[name] for name in columns[3:]]
        assert row[3:] == [f"{data['loss']:.4f}", f"{data['perplexity']:.2f}"]
    assert len(rows) == len(found["ranking"]) == len(written) == 14
    assert found["ranking"][-1]["encoder"] == "0,1,2,3"
    assert lines[-1] == f'--model-overrides "{found["model_overrides"]}"'
    best = found["ranking"][0]
    assert found["best"] == {"encoder": best["encoder"], "decoder": best["decoder"]}
    assert found["model_overrides"] == str({f"{s}_layers_to_keep": best[s] for s in ("encoder", "decoder")})
    assert found["cost"] == {
        "layer_evaluations": 24 * 63,
        "seconds": found["cost"]["seconds"],
        "candidates": 36,
        "exhaustive_layer_evaluations_a_batch": 63,  # 9 in the encoder; 9 in the decoder for each of 6
        "one_by_one_layer_evaluations_a_batch": 144,
    }
    assert re.fullmatch(
        r"36 sets: 1,512 layer evaluations \(one layer, one batch\) in \d+\.\d s; "
        "3,456 if sets did not share what they begin with",
        lines[16],
    )
    second = f"test, not searched on: 24 batches, {found['report']['predictions']} predictions"
    assert second in lines[17:19]
    assert [row["rank"] for row in found["report"]["rows"]] == ["1", "every_other:2+2", "full"]
    assert [found["report"][name] for name in ("split", "batches")] == ["test", 24]
    path = found["checkpoint"]
    described = {name: found[name] for name in ("checkpoint", "fingerprint", "split")}
    assert described == {"checkpoint": path, "fingerprint": fingerprint(path), "split": "valid"}
    assert process.stderr.splitlines()[0] == (
        "layerdrop-search: exhaustive search on 24 batches: about 1,510 layer evaluations (one layer, one batch); "
        "greedy 2,140, racing 680"
    )
    warnings = [line.split("warning: ")[1] for line in process.stderr.splitlines() if "warning: " in line]
    assert warnings == found["warnings"]


def test_the_page_of_a_search(translation):
    process, folder = translation
    text, found = (folder / "found.html").read_text(encoding="utf-8"), read(folder / "found.json")
    page = Reader(text)
    assert len(text) < 1_000_000
    assert page.data == found
    assert page.of("h2") == ["What was asked", "Recommended", "On valid", "On test, not searched on", "Go on"]
    command, overrides, go_on = page.of("pre")
    assert command.startswith("layerdrop-search ")
    assert command.endswith(" --report found.html")
    assert f'--model-overrides "{found["model_overrides"]}"' == overrides == process.stdout.splitlines()[-1]
    assert (
        f"--encoder {found['best']['encoder']} --decoder {found['best']['decoder']} --card --scores found.json\n"
        in go_on
    )
    for (header, *rows), expected in zip(page.tables, (found["ranking"], found["report"]["rows"])):
        assert header[3:] == ["loss", "perplexity", "1st half", "2nd half"]
        assert [row[:3] for row in rows] == [list(row.values())[:3] for row in expected]
        assert [float(cell) for row in rows for cell in row[3:]] == [
            pytest.approx(value, abs=0.006) for row in expected for value in list(row.values())[3:]
        ]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_a_browser_shows_the_page(translation):
    path = translation[1] / "found.html"
    assert Reader(seen_by_browser(path)).tables == Reader(path.read_text(encoding="utf-8")).tables


def test_the_ranking_is_that_of_brute_force(translation, full, data, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pytest"])
    model = evaluation.load(str(full["transformer"]), "{}", [str(data["transformer"]), "--cpu"], pytest.fail)
    batches = model.batches("valid")
    losses = {}
    for encoder, decoder in product(combinations(range(4), 2), repeat=2):
        with model.running({"encoder": encoder, "decoder": decoder}):
            loss, count, _ = map(sum, zip(*map(model.tally, batches)))
        losses[",".join(map(str, encoder)), ",".join(map(str, decoder))] = loss / count
    found = {(row["encoder"], row["decoder"]): row["loss"] for row in read(translation[1] / "found.json")["ranking"]}
    assert found.pop(("0,1,2,3", "0,1,2,3")) > 0  # full depth
    assert list(found)[:10] == sorted(losses, key=losses.get)[:10]
    assert found == {kept: pytest.approx(losses[kept], rel=1e-5) for kept in found}


def test_fairseq_generate_takes_the_overrides(translation, full, data, command):
    best = read(translation[1] / "found.json")
    argv = [data["transformer"], *USER, "--path", full["transformer"], "--max-tokens", 300, "--max-len-b", 5]
    process = command("fairseq-generate", *argv, "--model-overrides", best["model_overrides"])
    assert process.stdout.count("\nH-") == 24
    kept = "; ".join(f"{stack} keeps layers [{layers}] of 4" for stack, layers in best["best"].items())
    assert f"Pruning model to specified layer configuration: {kept}" in process.stdout + process.stderr


def test_fairseq_eval_lm_takes_the_overrides_and_finds_the_loss(arguments, data, full, command, capsys, folder):
    output = inside(capsys, *arguments("transformer_lm"), "--json", "a.json", "--strategy", "exhaustive").out
    best = read("a.json")["ranking"][0]
    (overrides,) = re.findall(r'^--model-overrides "(.*)"$', output, flags=re.MULTILINE)
    argv = [data["transformer_lm"], *USER, "--path", full["transformer_lm"], "--tokens-per-sample", 32]
    process = command("fairseq-eval-lm", *argv, "--gen-subset", "valid", "--model-overrides", overrides)
    found = re.findall(r"Loss \(base 2\): ([0-9.]+), Perplexity: ([0-9.]+)", process.stdout + process.stderr)
    assert found == [(f"{best['loss']:.4f}", f"{best['perplexity']:.2f}")]


def test_of_a_model_that_is_pruned_already_the_checkpoints_layers_are_named(full, data, capsys, folder, monkeypatch):
    """What is printed goes in the place of the overrides that were given, so it keeps what else they say."""
    argv = [data["transformer"], "--path", full["transformer"], "--cpu"]
    given = ["--model-overrides", "{'encoder_layers_to_keep': '1,3', 'decoder_layers_to_keep': '1-3'}"]
    output = inside(capsys, *argv, *given, "--stack", "decoder", "--keep", 2, "--json", "a.json").out
    best = read("a.json")
    assert best["ranking"][0]["decoder"] in ("1,2", "1,3", "2,3")
    assert best["model_overrides"] == str(
        {"encoder_layers_to_keep": "1,3", "decoder_layers_to_keep": best["best"]["decoder"]}
    )
    assert output.startswith("keep 2 of 3 decoder layers: ")
    monkeypatch.setattr(sys, "argv", ["pytest"])
    model = evaluation.load(str(argv[2]), best["model_overrides"], [str(argv[0]), "--cpu"], pytest.fail)
    loss, count, _ = map(sum, zip(*map(model.tally, model.batches("valid"))))
    assert best["ranking"][0]["loss"] == pytest.approx(loss / count, rel=1e-5)


@pytest.mark.parametrize("strategy", ["racing", "greedy"])
def test_other_strategies_on_a_language_model(arguments, capsys, folder, strategy):
    argv = [*arguments("transformer_lm"), "--max-tokens", 64]
    inside(capsys, *argv, "--strategy", "exhaustive", "--json", "all.json")
    output = inside(capsys, *argv, "--strategy", strategy, "--json", "some.json").out
    every, some = read("all.json"), read("some.json")
    assert output.startswith(f"keep 2 of 4 decoder layers: {strategy} search, 3 batches, 160 predictions\n")
    losses = {row["decoder"]: row["loss"] for row in every["ranking"]}
    assert list(losses)[-1] == "0,1,2,3"
    assert {row["decoder"]: row["loss"] for row in some["ranking"]}.items() <= losses.items()
    if strategy == "racing":  # of six all reach the end
        assert some["ranking"] == every["ranking"]
    assert some["cost"]["layer_evaluations"] == {"racing": 27, "greedy": 3 * (9 + 5)}[strategy]


def test_roberta(arguments, capsys, folder):
    output = inside(capsys, *arguments("roberta"), "--strategy", "exhaustive", "--num-batches", 4)
    assert output.out.startswith("keep 2 of 4 encoder layers: exhaustive search, 4 batches, ")
    assert re.search(r"""^--model-overrides "\{'encoder_layers_to_keep': '\d,\d'\}"$""", output.out, flags=re.MULTILINE)
    assert os.listdir() == []


def test_accuracy_of_a_classifier(classifier, capsys, folder):
    argv = [classifier[0], "--path", classifier[1], "--keep", 2, "--cpu", "--metric", "accuracy", "--batch-size", 8]
    output = inside(capsys, *argv, "--json", "a.json").out
    header, *rows = table_of(output)
    assert header == ["rank", "encoder", "loss", "perplexity", "accuracy"]
    found = [(row["accuracy"], row["loss"]) for row in read("a.json")["ranking"][:6]]
    assert found == sorted(found, key=lambda pair: (-pair[0], pair[1]))
    assert all((24 * accuracy / 100) == pytest.approx(round(24 * accuracy / 100)) for accuracy, _ in found)
    assert rows[0][4] == f"{found[0][0]:.2f}"
    assert found[0][0] > 40


def test_bleu(full, data, capsys, folder, monkeypatch):
    pytest.importorskip("sacrebleu")
    options = ["--cpu", "--beam", 2, "--min-len", 4, "--max-len-b", 9, "--max-tokens", 200]
    argv = [data["transformer"], "--path", full["transformer"], "--stack", "decoder", "--keep", 3, *options]
    output = inside(capsys, *argv, "--bleu", "--num-batches", 1, "--json", "a.json").out
    header, *rows = table_of(output)
    assert header[-1] == "BLEU"
    monkeypatch.setattr(sys, "argv", ["pytest"])
    model = evaluation.load(
        str(full["transformer"]), "{}", [str(w) for w in [data["transformer"], *options]], pytest.fail
    )
    from layerdrop_plugin.fairseq_adapter.evaluation.search import chosen_batches

    batches = chosen_batches(model, "valid", 1)
    for row, shown in zip(read("a.json")["ranking"], rows):
        with model.running({"decoder": tuple(map(int, row["decoder"].split(",")))}):
            assert row["bleu"] == generation.bleu(model, batches).score
        assert shown[-1] == f"{row['bleu']:.2f}"


@pytest.mark.parametrize("keep", [1, 4])
def test_one_layer_and_all_layers(arguments, capsys, folder, keep):
    for strategy in ("exhaustive", "greedy", "racing"):
        argv = [*arguments("transformer_lm"), "--keep", keep, "--strategy", strategy, "--json", "a.json", "--force"]
        inside(capsys, *argv)
        rows = read("a.json")["ranking"]
        assert rows.pop()["decoder"] == "0,1,2,3"
        assert all(len(row["decoder"].split(",")) == keep for row in rows)
        assert len(rows) == {1: {"greedy": 5}.get(strategy, 7), 4: 4}[keep] or strategy == "greedy"


def test_one_batch_and_more_than_there_are(arguments, capsys, folder):
    argv = [
        *arguments("transformer_lm"),
        "--max-tokens",
        4000,
        "--num-batches",
        9,
        "--json",
        "a.json",
        "--csv",
        "a.csv",
    ]
    said = inside(capsys, *argv).err.splitlines()
    assert said == [
        "layerdrop-search: warning: valid has only 1 batch",
        "layerdrop-search: exhaustive search on 1 batch: about 9 layer evaluations (one layer, one batch); "
        "greedy 14, racing 9",
        "layerdrop-search: warning: the data make one batch, so what is noise can't be told; "
        "make --max-tokens or --batch-size smaller.",
    ]
    rows = read("a.json")["ranking"]
    assert [row["loss_2nd_half"] for row in rows] == [None] * len(rows)
    assert all(line.endswith(",") for line in (folder / "a.csv").read_text().splitlines()[1:])


@pytest.mark.workers
@pytest.mark.slow
def test_two_workers_find_the_same(translation, full, data, torchrun, tmp_path):
    argv = [data["transformer"], "--path", full["transformer"], *SLOW, "--strategy", "exhaustive"]
    argv += ["--report-subset", "test", "--json", "found.json", "--csv", "found.csv"]
    process = torchrun("layerdrop-search", *argv, cwd=tmp_path)
    alone, folder = translation
    found, expected = read(tmp_path / "found.json"), read(folder / "found.json")
    assert without_cost(found) == without_cost(expected)
    assert found["cost"]["layer_evaluations"] == expected["cost"]["layer_evaluations"]  # of both workers
    assert (tmp_path / "found.csv").read_bytes() == (folder / "found.csv").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["found.csv", "found.json"]
    assert process.stdout.count("--model-overrides") == 1
    assert table_of(process.stdout) == table_of(alone.stdout)
