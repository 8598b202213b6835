"""BART and a transformer that aligns, by fairseq's and our commands: trained, generated with, searched, swept."""

from __future__ import annotations

import csv
import json
import re

import pytest
from shared.text_models import RATES, aligned, argv_of  # noqa: F401  a fixture

pytestmark = pytest.mark.slow

USER = ["--user-dir", "layerdrop_plugin"]
KEPT = {"whole": "{}", "pruned": "{'encoder_layers_to_keep': '0,3', 'decoder_layers_to_keep': '1,2'}"}
FAMILIES = ["bart", "transformer_align"]


@pytest.fixture(scope="module")
def trained(tiny, aligned, command, tmp_path_factory):
    """For each family, a checkpoint of `fairseq-train`, and what the command said."""

    def make(family):
        folder = tmp_path_factory.mktemp(family)
        argv = [aligned, *USER, *argv_of(tiny, family), *RATES, "--layerdrop-depths", "4+3,2+3"]
        argv += ["--layerdrop-validate-depths", "--max-update", 24, "--save-dir", folder]
        return folder / "checkpoint_last.pt", command("fairseq-train", *argv).stdout

    return {family: make(family) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_it_trains_at_its_depths_and_validates_each(family, trained):
    _, log = trained[family]
    assert "depth 2+3 is trained in 0.3 of the forward passes: encoder layers [0,2]; decoder layers [0,1,2]" in log
    losses = {name: float(loss) for name, loss in re.findall(r"valid on '(\S+)' subset \| loss ([0-9.]+)", log)}
    assert sorted(losses) == ["valid", "valid@2+3", "valid@4+3"]
    assert losses["valid"] != losses["valid@2+3"]


@pytest.mark.parametrize("family", FAMILIES)
def test_it_generates_whole_and_pruned(family, trained, aligned, command):
    lines = {}
    for depth, overrides in KEPT.items():
        argv = [aligned, *USER, "--path", trained[family][0], "--model-overrides", overrides, "--cpu", "--beam", 2]
        argv += ["--max-len-b", 9, "--max-tokens", 400]
        done = command("fairseq-generate", *argv, *(["--print-alignment"] if family == "transformer_align" else []))
        lines[depth] = sorted(re.findall(r"^H-.*", done.stdout, re.MULTILINE))
        assert len(lines[depth]) == 24
        alignments = re.findall(r"^A-\d+\t(.*)", done.stdout, re.MULTILINE)
        assert len(alignments) == (24 if family == "transformer_align" else 0)
        assert all(re.fullmatch(r"(\d+-\d+ ?)+", line) for line in alignments)
        line = "encoder keeps layers [0,3] of 4; decoder keeps layers [1,2] of 4"
        assert (line in done.stderr) == (depth == "pruned")
    assert lines["whole"] != lines["pruned"]


@pytest.mark.parametrize("family", FAMILIES)
def test_its_layers_are_searched_and_its_depths_swept(family, trained, aligned, command, tmp_path):
    argv = [aligned, "--path", trained[family][0], "--cpu", "--max-tokens", 400]
    command("layerdrop-search", *argv, "--keep", 2, "--json", tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["cost"]["candidates"] == {"bart": 36, "transformer_align": 18}[family]  # with layer 2 always there
    overrides = ["--model-overrides", found["model_overrides"]]
    valid = command("fairseq-validate", *argv, *USER, *overrides, "--task", "translation").stdout
    (loss,) = re.findall(r"valid on 'valid' subset .* nll_loss ([0-9.]+) ", valid)
    assert float(loss) == pytest.approx(found["ranking"][0]["loss"], abs=0.001)
    command("layerdrop-sweep", *argv, "--csv", tmp_path / "swept.csv", "--bleu", "--beam", 2, "--max-len-b", 9)
    with (tmp_path / "swept.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["depth"] for row in rows] == ["4+4", "4+3", "2+3"]
    assert len({row["loss"] for row in rows}) == 3
