"""One pass over the commands as a user runs them: what every supported version must do.

Each command of ours runs in a process of its own, and in a fork of the server when it comes a second time;
test_console_scripts.py runs fairseq's in processes of their own. The sessions of noxfile.py run both files, beside the
quick tests, in each of their environments.
"""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.slow

USER_DIR = ["--user-dir", "layerdrop_plugin"]
KEPT = "{'encoder_layers_to_keep': 'every_other:2', 'decoder_layers_to_keep': '0,2'}"
PRUNED = "encoder keeps layers [0,2] of 4; decoder keeps layers [0,2] of 4"


@pytest.fixture(scope="module")
def run(command):
    """A function that runs one console script of this environment, and returns what it wrote."""
    names = set()

    def run(name, *argv):
        done = command(name, *argv, real=name.startswith("layerdrop") and name not in names)
        names.add(name)
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def folder(run, data, tiny, tmp_path_factory):
    """A folder with the checkpoint of a model of each of two families in a folder by its name."""
    folder = tmp_path_factory.mktemp("pass")
    for family in ("transformer", "transformer_lm"):
        options = [*USER_DIR, "--arch", f"layerdrop_{family}", *tiny[family], "--max-update", 8]
        run("fairseq-train", data[family], *options, "--save-dir", folder / family)
    return folder


def of(folder, family):
    return ["--path", folder / family / "checkpoint_last.pt", "--cpu"]


def test_generate_prunes_at_load_and_from_a_file_alike(run, folder, data):
    full, small = folder / "transformer" / "checkpoint_last.pt", folder / "small.pt"
    run("layerdrop-prune", full, "--output", small, "--encoder", "every_other:2", "--decoder", "0,2")
    options = [data["transformer"], "--cpu", "--beam", 1, *USER_DIR]
    at_load = run("fairseq-generate", *options, "--path", full, "--model-overrides", KEPT)
    of_file = run("fairseq-generate", *options, "--path", small)
    assert f"Pruning model to specified layer configuration: {PRUNED} (" in at_load
    assert "Generate test with beam=1: BLEU4 = " in at_load
    hypotheses = [re.findall(r"^H-.*", written, re.MULTILINE) for written in (at_load, of_file)]
    assert hypotheses[0] == hypotheses[1]
    assert len(hypotheses[0]) == 24


def test_eval_lm_prunes_at_load(run, folder, data):
    options = [*USER_DIR, "--tokens-per-sample", 32, "--model-overrides", "{'decoder_layers_to_keep': 'last:3'}"]
    written = run("fairseq-eval-lm", data["transformer_lm"], *of(folder, "transformer_lm"), *options)
    assert "Pruning model to specified layer configuration: decoder keeps layers [1,2,3] of 4 (" in written
    assert re.search(r"Loss \(base 2\): \d+\.\d+, Perplexity: \d+\.\d+\n", written)


def test_a_pruned_model_is_trained_on(run, folder, data, tiny, tmp_path):
    options = [*USER_DIR, "--arch", "layerdrop_transformer", *tiny["transformer"], "--max-update", 10]
    options += ["--encoder-layers-to-keep", "every_other:2", "--decoder-layers-to-keep", "0,2"]
    options += ["--restore-file", folder / "transformer" / "checkpoint_last.pt", "--save-dir", tmp_path]
    written = run("fairseq-train", data["transformer"], *options)
    assert f"Pruning model to specified layer configuration: {PRUNED}\n" in written
    described = run("layerdrop-describe", tmp_path / "checkpoint_last.pt")
    assert re.search(r"encoder +2 layers, pruned to \[0,2\] of 4, ", described)


def test_search(run, folder, data):
    options = ["--keep", 2, "--stack", "decoder", "--report-subset", "test", "--state", folder / "search.json"]
    written = run("layerdrop-search", data["transformer"], *of(folder, "transformer"), *options)
    assert "--model-overrides \"{'decoder_layers_to_keep': '" in written


def test_sweep(run, folder, data):
    options = ["--depths", "4,2", "--repeats", 1]
    written = run("layerdrop-sweep", data["transformer"], *of(folder, "transformer"), *options)
    assert re.findall(r"^(\w+) +(\d\+\d) ", written, re.MULTILINE) == [("full", "4+4"), ("every_other", "2+2")]
