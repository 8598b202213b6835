"""scripts/benchmarks/full_size.py: the table of real models, here with the tiny ones."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "benchmarks"))
import full_size


def test_it_shows_a_row_for_each_model_with_counts_at_both_depths(programs_folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "executable", str(programs_folder / "python"))  # a process for each model, here forks
    monkeypatch.setattr(sys, "argv", ["full_size.py", "--tiny"])
    monkeypatch.setattr(full_size.logging, "disable", lambda level: None)  # of the whole process
    full_size.main()
    rows = capsys.readouterr().out.splitlines()[2:]
    # A layer of width 32 and FFN width 64: attention 4 * (32 * 32 + 32), FFN 2 * 32 * 64 + 64 + 32, norms 2 * 64.
    layer = 4224 + 4192 + 128
    # The tiny architecture has width 64 and FFN width 64; its decoder layer attends twice.
    encoder_layer, decoder_layer = 16640 + 8320 + 256, 2 * 16640 + 8320 + 384
    translation = 100 * 64 + 4 * (encoder_layer + decoder_layer)
    language_model = 2 * 100 * 32 + 4 * layer + 2 * 32  # the output has an embedding of its own
    assert rows[0].startswith(
        f"| `translation` | 100 | 4+4 | {translation:,} | 2+2: {translation - 2 * (encoder_layer + decoder_layer):,} |"
    )
    assert rows[1].startswith(
        f"| `language_model` | 100 | 4 | {language_model:,} | 2: {language_model - 2 * layer:,} |"
    )
    assert rows[2].startswith("| `roberta` | 100 | 4 | ")
    assert len(rows) == 3
    for row in rows:
        ran, loss, seconds, peak = [cell.strip() for cell in row.split("|")][6:10]
        assert re.fullmatch(r"[0-4](\+[0-4])?", ran)
        assert 6 < float(loss) < 9, "an untrained model of 100 types: about log2(100) = 6.6"
        assert float(seconds) < 60
        assert re.fullmatch(r"0\.[0-9] GB", peak)
