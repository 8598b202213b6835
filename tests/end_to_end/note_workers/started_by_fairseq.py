"""fairseq-train that starts a worker for each of two GPUs; with --cpu, all it asks of them is how many there are."""

from __future__ import annotations

import functools
import os

import torch
from fairseq_cli.train import cli_main

if __name__ == "__main__":
    torch.cuda.device_count = lambda: 2
    if "START_METHOD" in os.environ:
        start = functools.partial(torch.multiprocessing.start_processes, start_method=os.environ["START_METHOD"])
        torch.multiprocessing.spawn = start
    cli_main()
