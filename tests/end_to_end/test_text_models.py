"""BART and a transformer that aligns, by fairseq's and our commands: trained, generated with, searched, exported."""

from __future__ import annotations

import re

import pytest
import torch
from shared.text_models import RATES, aligned, argv_of  # noqa: F401  a fixture

from layerdrop_plugin.dropping import dropped_groups

pytestmark = pytest.mark.slow

USER = ["--user-dir", "layerdrop_plugin"]
ALIGN = ["--no-full-context-alignment"]
PRUNED = "{'encoder_layers_to_keep': '0,3', 'decoder_layers_to_keep': '2'}"
FAMILIES = ["bart", "transformer_align"]


@pytest.fixture(scope="module")
def trained(tiny, aligned, command, made_once):
    """A function from a family to a checkpoint of `fairseq-train`, and to what the command said."""

    def make(family):
        argv = [aligned, *USER, *argv_of(tiny, family), *RATES, "--max-update", 40, "--layerdrop-depths", "4+3,2+3"]

        def save(folder):
            done = command("fairseq-train", *argv, "--save-dir", folder)
            (folder / "log").write_text(done.stdout)

        return made_once(f"real_{family}", save) / "checkpoint_best.pt"

    return make
