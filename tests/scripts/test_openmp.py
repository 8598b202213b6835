"""scripts/openmp.sh: threads sleep while they wait, in the demonstration, recipes on CPUs and the benchmarks."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def policy(code, **env):
    known = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    code += '\necho "${OMP_WAIT_POLICY-unset}"'
    done = subprocess.run(["bash", "-euc", code], env={**known, **env}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_threads_sleep_unless_the_user_says_otherwise():
    code = f"source '{SCRIPTS}/openmp.sh'"
    assert policy(code) == "passive"
    assert policy(code, OMP_WAIT_POLICY="active") == "active"


@pytest.mark.parametrize(("gpus", "expected"), [("0", "passive"), ("8", "unset")])
def test_a_recipe_asks_for_it_on_cpus_only(gpus, expected, tmp_path):
    assert policy(f"NAME=fake; source '{SCRIPTS}/recipes/stages.sh'", GPUS=gpus, OUT=str(tmp_path)) == expected


@pytest.mark.parametrize("script", ["demo.sh", "benchmarks/speed.sh", "benchmarks/export.sh"])
def test_what_computes_on_several_threads_asks_for_it(script):
    assert 'source "$root/scripts/openmp.sh"' in (SCRIPTS / script).read_text().splitlines()
