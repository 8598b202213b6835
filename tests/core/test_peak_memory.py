"""The most memory in use, by what this process takes and gives back."""

from __future__ import annotations

import sys

import pytest
import torch

from layerdrop_plugin import peak_memory

CPU = torch.device("cpu")
MIB = 2**20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")
def test_what_was_taken_for_a_moment_counts_until_the_next_reset():
    if not peak_memory.reset(CPU):
        pytest.skip("this system does not let a process reset it")
    before = peak_memory.read(CPU)
    torch.ones(64 * MIB, dtype=torch.uint8)
    assert 60 * MIB < peak_memory.read(CPU) - before < 80 * MIB
    assert peak_memory.reset(CPU)
    assert peak_memory.read(CPU) - before < 20 * MIB


def test_a_system_that_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(peak_memory, "CLEAR_REFS", str(tmp_path / "none" / "clear_refs"))
    assert peak_memory.reset(CPU) is False
    monkeypatch.setattr(peak_memory, "STATUS", str(tmp_path / "status"))
    assert peak_memory.read(CPU) is None
    (tmp_path / "status").write_text("Name:\tpython\nVmRSS:\t  100 kB\n")
    assert peak_memory.read(CPU) is None
    (tmp_path / "status").write_text("VmPeak:\t  900 kB\nVmHWM:\t  200 kB\nVmRSS:\t  100 kB\n")
    assert peak_memory.read(CPU) == 204800
    monkeypatch.setattr(peak_memory, "CLEAR_REFS", str(tmp_path / "clear_refs"))
    assert peak_memory.reset(CPU) is True
    assert (tmp_path / "clear_refs").read_text() == "5"
