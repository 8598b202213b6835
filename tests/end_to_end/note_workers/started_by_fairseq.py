"""fairseq-train that starts a worker for each of two GPUs; with --cpu, all it asks of them is how many there are."""

from __future__ import annotations

import torch
from fairseq_cli.train import cli_main

if __name__ == "__main__":
    torch.cuda.device_count = lambda: 2
    cli_main()
