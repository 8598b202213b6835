"""A worker that has done its work closes its process group before gloo's threads could abort it."""

from __future__ import annotations

import pytest
from shared.versions import FAIRSEQ_FIXED

from layerdrop_plugin.fairseq_adapter.compat import process_group_end

WORKER = """
import atexit, sys, torch
import layerdrop_plugin
from fairseq.dataclass.configs import FairseqConfig
from fairseq.distributed import utils
from omegaconf import OmegaConf

def is_open():
    print("open" if torch.distributed.is_initialized() else "closed", flush=True)

def main(cfg):
    torch.distributed.all_reduce(torch.ones(1))
    if sys.argv[1] == "fails":
        raise ValueError("as asked")

atexit.register(is_open)  # before the other: runs after it
cfg = OmegaConf.structured(FairseqConfig)
cfg.model = {"base_layers": 0}
cfg.distributed_training.distributed_backend = "gloo"
utils.call_main(cfg, main)
is_open()
"""
FROM_TORCHRUN = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}


def test_it_is_needed_here():
    assert process_group_end.needed() == "fairseq leaves its process group open when a worker ends"


@pytest.mark.skipif(FAIRSEQ_FIXED, reason="fairseq-fixed makes no group for one worker")
@pytest.mark.parametrize(
    ("how", "status", "printed"),
    [
        ("works", 0, ["open", "closed"]),  # fairseq may be called again in this process: not before its end
        ("fails", 1, ["open"]),  # closing might wait for the others, which wait for this one
    ],
)
def test_the_group_is_closed_at_the_end_of_a_worker_that_does_not_fail(how, status, printed, command):
    process = command("python", "-W", "ignore", "-c", WORKER, how, env=FROM_TORCHRUN, status=status)
    lines = process.stdout.splitlines()
    assert [line for line in lines if not line.startswith("[Gloo]")] == printed  # torch 2.8 says who is connected
    assert ("ValueError: as asked" in process.stderr) == (how == "fails")
