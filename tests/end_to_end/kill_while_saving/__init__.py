"""A user's own --user-dir: imports the plugin, and kills the process when half of the checkpoint $KILL is written."""

from __future__ import annotations

import os
import shutil
import signal

import torch

import layerdrop_plugin  # noqa: F401  registers
from layerdrop_plugin.fairseq_adapter.hooks import wrap


def kill_within(file):
    if os.path.basename(file.name).replace(".tmp", "") == os.environ.get("KILL"):
        file.write(b"half")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def save(original, obj, file, *args, **kwargs):
    kill_within(file)
    return original(obj, file, *args, **kwargs)


def copy(original, source, target, *args, **kwargs):
    with open(target, "wb") as file:
        kill_within(file)
    return original(source, target, *args, **kwargs)


wrap(torch, "save", save)
wrap(shutil, "copyfile", copy)
