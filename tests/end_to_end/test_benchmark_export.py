"""scripts/benchmarks/export.sh in its tiny form."""

from __future__ import annotations

import re

import pytest

pytestmark = [pytest.mark.recipe, pytest.mark.slow]

pytest.importorskip("ctranslate2")


def test_one_table_for_both_programs(recipe, tmp_path):
    done = recipe("benchmarks/export", tmp_path)
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows[2:]] == [
        "fairseq, all layers",
        "fairseq",
        "CTranslate2, float32",
        "CTranslate2, int8",
    ]
    assert all(float(row[1].replace(",", "")) > 0 for row in rows[2:])
    assert rows[3][3] == rows[4][3]  # BLEU of the same layers as float32
    assert re.search(r"Greedily, 40 of 40 sentences \(100.0%\) are translated the same", done.stdout)
    assert "`TINY='1' bash scripts/benchmarks/export.sh`" in done.stdout


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"REPEATS": "0"}, "argument --repeats: must be a whole number of at least 1, but is '0' instead."),
        ({}, "CKPT must be a file, but is '{tmp_path}/no.pt'."),
        ({"CKPT": __file__}, "REFERENCE must be a file, but is '.'."),
        (
            {"CKPT": __file__, "REFERENCE": __file__, "DATA": "/no"},
            "DATA must be a folder of fairseq-preprocess, but is '/no'.",
        ),
    ],
)
def test_bad_settings_are_one_line(recipe, tmp_path, settings, message):
    done = recipe("benchmarks/export", tmp_path, status=2, **{"TINY": "", "CKPT": f"{tmp_path}/no.pt", **settings})
    assert done.stderr == f"export.py: error: {message.format(tmp_path=tmp_path)}\n"
