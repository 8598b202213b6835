"""Two workers on the CPU under fairseq's default backend, plain DistributedDataParallel."""

import re
import sys
from pathlib import Path

import pytest

WORKERS = Path(__file__).with_name("workers")
FAIRSEQ_TRAIN = Path(sys.executable).with_name("fairseq-train")


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("transformer", ["--encoder-layerdrop", "0.5", "--decoder-layerdrop", "0.5", "--update-freq", "2"]),
        ("transformer", ["--encoder-layerdrop", "0.95", "--decoder-layerdrop", "0.95"]),  # 0.81: all four go
        ("transformer", ["--encoder-layerdrop", "0.5", "--decoder-layerdrop", "0.5", "--checkpoint-activations"]),
        ("transformer", ["--encoder-layerdrop", "0.5", "--decoder-layerdrop", "0.5", "--criterion", "twice"]),
        ("transformer_lm", ["--decoder-layerdrop", "0.95", "--update-freq", "2"]),
        ("roberta", ["--encoder-layerdrop", "0.5"]),
    ],
    ids=["update_freq", "all_dropped", "checkpoint_activations", "two_passes", "language_model", "roberta"],
)
def test_workers_agree(family, options, command, tiny, data, tmp_path):
    process = command(
        "python",
        *("-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2),
        *(FAIRSEQ_TRAIN, data[family], "--user-dir", WORKERS, "--arch", f"layerdrop_{family}", *tiny[family]),
        *("--distributed-backend", "gloo", "--max-tokens", "100", "--max-update", "8", *options),
        *("--save-dir", tmp_path / "save"),
        env={"WEIGHTS": tmp_path / "weights"},
    )
    log = process.stdout + process.stderr
    assert "training on 2 devices" in log
    assert re.search(r"'ddp_backend': 'pytorch_ddp'", log) and re.search(r"'find_unused_parameters': False", log)
    weights = [(tmp_path / f"weights.{rank}").read_text() for rank in (0, 1)]
    assert weights[0].startswith("8 ")
    assert weights[0] == weights[1]
