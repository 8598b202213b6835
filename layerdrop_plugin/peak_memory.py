"""Measure the peak of memory in use: by a GPU's tensors, or by this process."""

from __future__ import annotations

import contextlib
import ctypes
import re

import torch

CLEAR_REFS = "/proc/self/clear_refs"
STATUS = "/proc/self/status"
PEAK_TOO = "5"  # to CLEAR_REFS: "reset the peak resident set size to the current value" (Linux 4.0, proc(5))


def reset(device: torch.device) -> bool:
    """Start to measure; return whether this system can.

    On the CPU, freed memory that the C library still holds is given back to the system first.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    with contextlib.suppress(AttributeError, OSError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)
    try:
        with open(CLEAR_REFS, "w", encoding="ascii") as file:
            file.write(PEAK_TOO)
    except OSError:  # not Linux, or a sandbox
        return False
    return read(device) is not None


def read(device: torch.device) -> int | None:
    """Return the peak of bytes in use since `reset`: by a GPU's tensors, or all that is resident.

    The result is None if the system does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        with open(STATUS, encoding="ascii") as file:
            peak = re.search(r"^VmHWM:\s*(\d+) kB$", file.read(), re.MULTILINE)
    except OSError:
        return None
    return 1024 * int(peak[1]) if peak else None
