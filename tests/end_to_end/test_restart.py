"""A worker is killed in the middle: the training ends with an error, and started again it goes on as if it had not."""

from __future__ import annotations

import functools
import json
import os
import re
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytestmark = [pytest.mark.workers, pytest.mark.slow]

WORKERS = Path(__file__).with_name("note_workers")
TRAIN = Path(sys.executable).with_name("fairseq-train")
TORCHRUN = ["-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2]


@pytest.fixture(scope="module")
def arguments(tiny, data):
    """Arguments of fairseq-train without the folder for checkpoints: 4 updates an epoch, a checkpoint after each 5."""
    begin = [data["transformer"], "--user-dir", WORKERS, "--arch", "layerdrop_transformer", *tiny["transformer"]]
    begin += ["--encoder-layerdrop", "0.5", "--decoder-layerdrop", "0.5", "--update-freq", "2", "--batch-size", "16"]
    begin += ["--distributed-backend", "gloo", "--log-format", "json", "--max-update", "12"]
    return [*begin, "--save-interval-updates", "5", "--save-interval", "99", "--save-dir"]


def losses(process):
    """Loss and gradient norm as logged, by the number of updates; workers that fairseq starts log to standard error."""
    found = [json.loads(line) for line in re.findall(r"\| train_inner \| (.*)", process.stdout + process.stderr)]
    return {int(entry["num_updates"]): (entry["loss"], entry["gnorm"]) for entry in found}


def masks(folder, rank):
    return set((folder / f"masks.{rank}").read_text().splitlines())


@pytest.fixture(scope="module")
def whole(arguments, torchrun, tmp_path_factory):
    """The folder and the losses of a training that nobody interrupts: two nodes with a worker each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("whole")
    nodes = ["--nnodes", 2, "--nproc_per_node", 1, "--master_addr", "127.0.0.1", "--master_port", port]
    with ThreadPoolExecutor(2) as pool:
        started = [
            pool.submit(torchrun, "fairseq-train", *arguments, folder, options=[*nodes, "--node_rank", rank])
            for rank in (0, 1)
        ]
    first, second = [future.result() for future in started]
    assert sorted(losses(first)) == list(range(1, 13))
    assert losses(second) == {}  # the first worker speaks for all
    return folder, losses(first)


def test_two_nodes_agree(whole):
    folder, _ = whole
    assert masks(folder, 0) == masks(folder, 1)
    assert len(masks(folder, 0)) == 48  # 12 updates of 2 passes through 2 stacks
    assert (folder / "weights.0").read_text() == (folder / "weights.1").read_text()
    assert (folder / "weights.0").read_text().startswith("12 ")


@pytest.fixture(params=["torchrun", "fairseq"])
def launch(request, torchrun, command):
    """Two functions that train with two workers: what they show for a launcher does not depend on how these start.

    Where torchrun launches, they are forks of the server, then processes of their own; where fairseq does, they are
    processes of their own, then forks of the one that launches them.
    """
    if request.param == "torchrun":
        again = functools.partial(command, "python", *TORCHRUN, TRAIN, real=True)
        return functools.partial(torchrun, "fairseq-train"), again
    started = functools.partial(command, "python", WORKERS / "started_by_fairseq.py")
    return started, functools.partial(started, env={"START_METHOD": "fork"})


def test_after_a_worker_is_killed_all_goes_on_as_if_it_were_not(launch, whole, arguments, tmp_path):
    train, train_again = launch
    kill = {"KILL": "worker 1, update 7"}
    killed = train(*arguments, tmp_path, status=1, env=kill)  # it waits for 10 minutes; workers would for 30
    for rank in (0, 1):
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / f"pid.{rank}").read_text()), 0)
    assert "SIGKILL" in killed.stderr
    again = train_again(*arguments, tmp_path)
    folder, uninterrupted = whole
    assert sorted(losses(killed)) == list(range(1, 8))
    assert sorted(losses(again)) == list(range(6, 13))
    assert {**losses(killed), **losses(again)} == uninterrupted
    for rank in (0, 1):
        assert masks(tmp_path, rank) == masks(folder, rank)
        assert (tmp_path / f"weights.{rank}").read_text() == (folder / f"weights.{rank}").read_text()
