"""Two workers on the CPU under fairseq's default backend, plain DistributedDataParallel."""

import sys
from pathlib import Path

import pytest

WORKERS = Path(__file__).with_name("workers")
FAIRSEQ_TRAIN = Path(sys.executable).with_name("fairseq-train")


@pytest.fixture
def train_on_two(command, tiny, data, tmp_path):
    """A function that trains with two workers; returns the log, once both have the same weights."""

    def run(family, updates, *options):
        process = command(
            "python",
            *("-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2),
            *(FAIRSEQ_TRAIN, data[family], "--user-dir", WORKERS, "--arch", f"layerdrop_{family}", *tiny[family]),
            *("--distributed-backend", "gloo", "--max-tokens", "100", "--max-update", updates, *options),
            *("--save-dir", tmp_path / "save"),
            env={"WEIGHTS": tmp_path / "weights"},
        )
        log = process.stdout + process.stderr
        assert "training on 2 devices" in log
        assert "'ddp_backend': 'pytorch_ddp'" in log and "'find_unused_parameters': False" in log
        weights = [(tmp_path / f"weights.{rank}").read_text() for rank in (0, 1)]
        assert weights[0].startswith(f"{updates} ")
        assert weights[0] == weights[1]
        return log

    return run


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
def test_workers_agree(family, options, train_on_two):
    assert "done training" in train_on_two(family, 8, *options)  # which compares their weights


def test_workers_pick_up_from_a_checkpoint_that_is_pruned_and_once_more(train_on_two, full):
    options = ["--decoder-layers-to-keep", "0,2", "--save-interval-updates", 1]
    log = train_on_two("transformer", 14, "--restore-file", full["transformer"], *options)
    assert "decoder keeps layers 0,2 of 4" in log
    assert "Loaded checkpoint" in log and "@ 12 updates" in log
    assert "@ 14 updates" in train_on_two("transformer", 16, *options)
