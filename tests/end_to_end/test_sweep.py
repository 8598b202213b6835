"""The command `layerdrop-sweep`: tables, files, figures, and one line for what a user gets wrong."""

from __future__ import annotations

import csv
import importlib.util
import json
import re

import pytest
from shared.web_pages import Reader

from layerdrop_plugin import peak_memory
from layerdrop_plugin.cli import sweep

PNG = b"\x89PNG\r\n"
LM = ["--cpu", "--tokens-per-sample", "32", "--gen-subset", "valid"]
GENERATION = ["--cpu", "--beam", "2", "--min-len", "4", "--max-len-b", "8", "--max-tokens", "300"]


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def inside(capsys, *argv, status=None):
    """Run the command in this process; return its output and errors."""
    ended = None
    try:
        sweep.main([str(word) for word in argv])
    except SystemExit as end:
        ended = end.code
    assert ended == status
    return capsys.readouterr()


def test_a_language_model(full, data, command, tmp_path):
    files = [f"--{name}={tmp_path / name}.{kind}" for name, kind in
             (("json", "json"), ("csv", "csv"), ("plot", "png"), ("importance", "png"),
              ("report", "html"))]  # fmt: skip
    argv = [data["transformer_lm"], "--path", full["transformer_lm"], *LM, "--depths", "2,1"]
    process = command("layerdrop-sweep", *argv, "--strategies", "every_other,last", "--repeats", 2, *files, *SAMPLES)
    lines = process.stdout.splitlines()
    assert lines[0].split()[:4] == ["strategy", "depth", "parameters", "loss"]
    assert max(map(len, lines[:6])) <= 80
    assert [line.split()[:2] for line in lines[1:6]] == [
        *(["full", "4"], ["every_other", "2"], ["last", "2"], ["every_other", "1"], ["last", "1"]),
    ]
    assert lines[6].startswith("not shown without --wide: decoder, x loss, ")
    assert re.fullmatch(
        r"valid: 1 batch, 160 tokens; tokens/s and MiB of evaluation on cpu, 1 thread, median of 2 timings; "
        r"x: relative to full depth",
        lines[7],
    )
    assert lines[9].split()[:3] == ["stack", "layer", "full"]
    assert [line.split()[:2] for line in lines[10:14]] == [["decoder", str(i)] for i in range(4)]
    rows = read_csv(tmp_path / "csv.csv")
    assert list(rows[0]) == [
        *("checkpoint", "strategy", "depth", "decoder", "parameters", "parameters_ratio", "loss", "loss_ratio"),
        *("perplexity", "perplexity_ratio", "tokens_per_second", "tokens_per_second_ratio"),
        *("peak_memory_mib", "peak_memory_mib_ratio"),
    ]
    assert [row["decoder"] for row in rows] == ["0,1,2,3", "0,2", "2,3", "0", "3"]
    found = json.loads((tmp_path / "json.json").read_text())
    assert found["checkpoints"] == {"checkpoint_last.pt": str(full["transformer_lm"])}
    assert [str(row["loss"]) for row in found["rows"]] == [row["loss"] for row in rows]
    assert [row["layer"] for row in found["importance"]] == [0, 1, 2, 3]
    assert found["importance"][0]["loss_full"] == pytest.approx(found["rows"][0]["loss"], rel=1e-9)
    assert len({row["loss"] for row in rows}) == 5
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Reader(text)
    assert len(text) < 1_000_000
    assert page.data == found
    assert page.of("h2")[1:] == [
        *("Depths, on valid", "Quality over depth and over speed", "Importance of layers", "Go on"),
    ]
    shown = page.tables[0]
    assert shown[0][:6] == ["strategy", "depth", "decoder", "parameters", "x parameters", "loss"]
    assert [row[5] for row in shown[1:]] == [f"{row['loss']:.4f}" for row in found["rows"]]
    assert [row[2] for row in page.tables[1][1:]] == [f"{row['loss_full']:.4f}" for row in found["importance"]]
    assert page.of("pre")[1].splitlines()[0] == (
        f"layerdrop-prune {full['transformer_lm']} --output small.pt --decoder 0,2 --card"
    )
    assert len([tag for tag, _ in page.attributes if tag == "img"]) == 2
    for name in ("plot", "importance"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(PNG)
    printed = command("fairseq-eval-lm", *argv[:-2], "--user-dir", "layerdrop_plugin", "--model-overrides", HALF)
    loss = float(re.search(r"Loss \(base 2\): ([\d.]+)", printed.stdout + printed.stderr)[1])
    assert float(rows[1]["loss"]) == pytest.approx(loss, abs=6e-5)


SAMPLES = ["--samples", "5"]
HALF = "{'decoder_layers_to_keep': 'every_other:2'}"


def test_translation_with_bleu_of_two_checkpoints(full, data, cut, command, capsys, monkeypatch, tmp_path):
    sacrebleu = pytest.importorskip("sacrebleu")
    from fairseq import checkpoint_utils

    (tmp_path / "small").mkdir()
    small = cut(full["transformer"], tmp_path / "small" / "checkpoint_last.pt", {"decoder": [0, 3]})
    reads, read = [], checkpoint_utils.load_checkpoint_to_cpu
    monkeypatch.setattr(
        checkpoint_utils, "load_checkpoint_to_cpu", lambda path, *a: reads.append(path) or read(path, *a)
    )
    argv = [data["transformer"], "--path", full["transformer"], *GENERATION]
    more = ["--compare", small, "--labels", "large", "small", "--depths", "2,4+1,3", "--bleu", "--repeats", 1]
    shown = inside(capsys, *argv, *more, "--csv", tmp_path / "rows.csv", "--plot", tmp_path / "plot.png")
    assert reads == [str(full["transformer"]), str(small)]
    warnings = [line for line in shown.err.splitlines() if "warning" in line]
    assert warnings == ["layerdrop-sweep: warning: small has no depth 3: its row is left out"]
    rows = read_csv(tmp_path / "rows.csv")
    assert [(row["checkpoint"], row["depth"], row["encoder"], row["decoder"]) for row in rows] == [
        ("large", "4+4", "0,1,2,3", "0,1,2,3"),
        ("large", "2+2", "0,2", "0,2"),
        ("large", "4+1", "0,1,2,3", "0"),
        ("large", "3+3", "0,1,2", "0,1,2"),
        ("small", "4+2", "0,1,2,3", "0,1"),
        ("small", "2+2", "0,2", "0,1"),
        ("small", "4+1", "0,1,2,3", "0"),
    ]
    assert float(rows[2]["bleu"]) == float(rows[6]["bleu"])
    assert rows[2]["parameters"] == rows[6]["parameters"]
    overrides = "{'encoder_layers_to_keep': '0,2', 'decoder_layers_to_keep': '0,2'}"
    user = ["--user-dir", "layerdrop_plugin", "--model-overrides", overrides]
    printed = command("fairseq-generate", *argv, *user).stdout
    hypotheses, references = (re.findall(rf"^{kind}-\d+\t(.*)$", printed, re.MULTILINE) for kind in "DT")
    score = sacrebleu.corpus_bleu([line.split("\t")[1] for line in hypotheses], [references]).score
    assert float(rows[1]["bleu"]) == score > 0
    assert "\nBLEU: sacrebleu nrefs:1|" in shown.out
    assert "MiB of generation on cpu" in shown.out
    assert (tmp_path / "plot.png").read_bytes().startswith(PNG)


def test_sets_by_name_and_found_by_a_search(full, data, capsys, tmp_path):
    (tmp_path / "found.json").write_text('{"best": {"decoder": "1,3"}, "fingerprint": "9:ab"}')
    argv = [data["transformer_lm"], "--path", full["transformer_lm"], *LM, "--repeats", 1, "--csv", tmp_path / "a.csv"]
    more = ["--strategies", "every_other,first", "--sets", "mine=0,1,2", "--search", tmp_path / "found.json"]
    shown = inside(capsys, *argv, *more, "--wide")
    rows = read_csv(tmp_path / "a.csv")
    assert [(row["strategy"], row["decoder"]) for row in rows] == [
        ("full", "0,1,2,3"),
        *(("every_other", "0,1,2"), ("first", "0,1,2"), ("mine", "0,1,2")),
        *(("every_other", "0,2"), ("first", "0,1"), ("search", "1,3")),
    ]
    lines = shown.out.splitlines()
    assert lines[8] == "every_other = first = mine at 3: the same layers, measured once"
    assert lines[0].split()[:3] == ["strategy", "depth", "decoder"]
    assert len({row["tokens_per_second"] for row in rows[1:4]}) == 1
    assert "found.json is of a search on another checkpoint than " in shown.err


def test_roberta_on_a_part_of_the_data(full, data, capsys, monkeypatch):
    argv = [data["roberta"], "--path", full["roberta"], "--cpu", "--max-tokens", 64, "--repeats", 1]
    shown = inside(capsys, *argv, "--num-batches", 1)
    assert [line.split()[:2] for line in shown.out.splitlines()[1:4]] == [
        *(["full", "4"], ["every_other", "3"], ["every_other", "2"]),
    ]
    assert "\ntest: 1 batch, " in shown.out
    assert "warning" not in shown.err
    monkeypatch.setattr(peak_memory, "CLEAR_REFS", "/none/clear_refs")
    shown = inside(capsys, *argv, "--num-batches", 999, "--depths", "4")
    assert "layerdrop-sweep: warning: this system does not tell peak memory (only Linux does)\n" in shown.err
    assert shown.out.splitlines()[1].split()[-1] == "-"
    assert re.search(r"^layerdrop-sweep: warning: test has only \d+ batch(es)?$", shown.err, re.MULTILINE)
    assert [line.split()[0] for line in shown.out.splitlines()[1:4:2]] == ["full", "test:"]


def test_a_classifier(classifier, capsys, tmp_path):
    folder, path = classifier
    argv = [folder, "--path", path, "--cpu", "--gen-subset", "valid", "--depths", "2", "--repeats", 1]
    argv += ["--importance", tmp_path / "layers.png", "--samples", 2, "--json", tmp_path / "found.json"]
    lines = inside(capsys, *argv).out.splitlines()
    assert "accuracy" in lines[0].split()
    assert "perplexity" not in lines[0].split()
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row["encoder"] for row in found["rows"]] == ["0,1,2,3", "0,2"]
    assert {round(row["accuracy"] * 24 / 100, 9) % 1 for row in found["rows"]} == {0.0}  # of 24 sentences
    assert [(row["stack"], row["layer"]) for row in found["importance"]] == [("encoder", i) for i in range(4)]
    assert (tmp_path / "layers.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--depths", "0"], "`--depths` must be numbers of layers from 1 as in 12,6,3, or of encoder and decoder as in "
         "12+6,6+3, but is '0' instead."),
        (["--depths", ""], "`--depths` must be numbers of layers from 1 as in 12,6,3, or of encoder and decoder as in "
         "12+6,6+3, but is '' instead."),
        (["--depths", "5"], "`--depths` must be at most the decoder's depth, 4, but has 5."),
        (["--depths", "2+1"],
         "`--depths` must be single numbers where only the decoder is swept, but has '2+1'."),
        (["--strategies", "best"],
         "`--strategies` must be some of every_other,first,last,learned, but has 'best' in 'best'."),
        (["--stack", "encoder"], "`--stack` must be one that can be pruned, decoder, but is 'encoder' instead."),
        (["--bleu"], "`--bleu` must be for a translation model, but this one has a stack of decoder layers only."),
        (["--repeats", "0"], "argument --repeats: must be a whole number of at least 1, but is '0' instead."),
        (["--num-batches", "x"], "argument --num-batches: must be a whole number of at least 1, but is 'x' instead."),
        (["--samples", "3"], "`--samples` must go with --importance, which is missing."),
        (["--labels", "a", "b"], "`--labels` must be a name of its own for each checkpoint, here 1, but is 'a' 'b'."),
        (["--compare", "CKPT"], "`--compare` must be other checkpoints, each once, but two of CKPT CKPT are the same."),
        (["--compare", "none.pt"], "`--compare` must be the file of a checkpoint, but none.pt does not exist."),
        (["--plot", "x.jpg"], "`--plot` must be a file that ends in .png, .svg or .pdf, but is 'x.jpg' instead."),
        (["--importance", "none/x.png"],
         "`--importance` must be in a folder that exists, but is 'none/x.png' instead."),
        (["--plot", "x.png", "--importance", "./x.png"],
         "`--importance` must be another file than x.png, but is ./x.png."),
        (["--json", "CKPT", "--force"], "`--json` must be another file than CKPT, but is CKPT."),
        (["--gen-subset", "dev"], "`--gen-subset` must be a split of the data, but DATA has no 'dev'."),
    ],
)  # fmt: skip
def test_what_a_user_gets_wrong(arguments, message, full, data, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, folder = str(full["transformer_lm"]), str(data["transformer_lm"])
    argv = [folder, "--path", path, "--cpu", *(path if word == "CKPT" else word for word in arguments)]
    shown = inside(capsys, *argv, status=2)
    message = message.replace("DATA", folder).replace("CKPT", path)
    assert shown.err.splitlines()[-1] == f"layerdrop-sweep: error: {message}"
    assert shown.out == "" or "INFO" in shown.out


def test_files_are_not_overwritten_and_matplotlib_is_asked_for_first(full, data, capsys, tmp_path, monkeypatch):
    (tmp_path / "old.png").write_text("kept")
    argv = [data["transformer_lm"], "--path", full["transformer_lm"], "--cpu", "--plot", tmp_path / "old.png"]
    shown = inside(capsys, *argv, status=2)
    assert shown.err == (
        f"layerdrop-sweep: error: `--plot` must be a new file, but {tmp_path}/old.png exists; --force replaces it.\n"
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    shown = inside(capsys, *argv, "--force", status=2)
    assert shown.err == "layerdrop-sweep: error: `--plot` needs matplotlib: pip install matplotlib.\n"
    assert (tmp_path / "old.png").read_text() == "kept"


def test_checkpoints_that_do_not_go_together(full, data, capsys):
    argv = [data["transformer"], "--path", full["transformer"], "--compare", full["transformer_lm"], "--cpu"]
    shown = inside(capsys, *argv, status=2)
    assert shown.err.splitlines()[-1].startswith("layerdrop-sweep: error: `")
