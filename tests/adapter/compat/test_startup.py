"""What the start-up hook does, in processes of their own: it acts at interpreter start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def run(code: str, folder: Path) -> str:
    """Runs the code with the hook loaded as its .pth file does, away from the checkout."""
    code = f"import sys; sys.path.append({str(ROOT)!r}); import layerdrop_plugin_startup\n{code}"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_start_without_fairseq_imports_one_small_module(tmp_path):
    code = "import json; print(*sorted(name for name in sys.modules if 'layerdrop' in name or 'fairseq' in name))"
    assert run(code, tmp_path) == "layerdrop_plugin_startup"


def test_the_hook_itself_imports_nothing():
    code = "import sys; before = set(sys.modules); import layerdrop_plugin_startup; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["layerdrop_plugin_startup"]


@pytest.mark.slow
def test_fairseq_is_patched_without_the_plugin_being_imported(tmp_path):
    code = (
        "import fairseq.utils as utils; print('layerdrop_plugin' in sys.modules, utils.import_user_module.__wrapped__)"
    )
    assert run(code, tmp_path).startswith("False <function import_user_module")


@pytest.mark.slow
def test_looking_for_fairseq_does_not_use_the_hook_up(tmp_path):
    code = """
from importlib.util import find_spec
find_spec("fairseq"), find_spec("fairseq")
import fairseq.utils
print(hasattr(fairseq.utils.import_user_module, "__wrapped__"))
"""
    assert run(code, tmp_path) == "True"


def test_a_module_of_another_name_is_left_to_the_other_finders(tmp_path):
    code = "print(layerdrop_plugin_startup.FairseqFinder.find_spec('fairseq_cli'))"
    assert run(code, tmp_path) == "None"


def test_a_hook_left_over_without_the_package_does_no_harm(tmp_path):
    (tmp_path / "fairseq.py").write_text("found = True")
    (tmp_path / "layerdrop_plugin_startup.py").write_text((ROOT / "layerdrop_plugin_startup.py").read_text())
    code = "import layerdrop_plugin_startup, fairseq; print(fairseq.found)"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("True", "")


def test_another_fairseq_is_left_as_it_is(tmp_path):
    """0.10 has no `fairseq.distributed`, and a part of fairseq that somebody ships may have nothing at all."""
    (tmp_path / "fairseq").mkdir()
    (tmp_path / "fairseq/__init__.py").write_text("")
    assert run("sys.path.insert(0, ''); import fairseq; print(fairseq.__file__)", tmp_path).startswith(str(tmp_path))
