"""pip install, editable install and uninstall, in an environment that sees the packages of this one."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "-q")
OFFLINE = ("--no-deps", "--no-build-isolation", "--no-index")
IMPORT_BY_FAIRSEQ = """
import argparse, os, sys
import fairseq.utils
fairseq.utils.import_user_module(argparse.Namespace(user_dir="layerdrop_plugin"))
print(os.path.realpath(os.path.dirname(sys.modules["layerdrop_plugin"].__file__)))
"""


class Environment:
    """A virtual environment, and what is in its site-packages."""

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.python = folder / "bin" / "python"
        self.site = Path(self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))"))
        # Paths only: the .pth files of this environment, its own start-up hook among them, are not read there.
        (self.site / "a_packages_of_the_running_environment.pth").write_text(sysconfig.get_path("purelib") + "\n")
        self.before = self.files()

    def run(self, *arguments: object) -> str:
        # From the root folder: no checkout in the working directory. PYTHONPATH would hide what is tested.
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run([self.python, *map(str, arguments)], cwd="/", env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def files(self) -> set:
        return {str(path.relative_to(self.site)) for path in self.site.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what git would hand to a user, so that building leaves nothing here; with a space in its path."""
    folder = tmp_path_factory.mktemp("a checkout")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if name.startswith(("layerdrop_plugin", "setup.py", "pyproject.toml", "LICENSE", "README.md")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


@pytest.fixture(params=["normal", "editable"])
def installed(request, checkout, tmp_path):
    """The environment with the package installed, and the folder that --user-dir should lead to."""
    environment = Environment(tmp_path / "environment")
    editable = ["--editable"] if request.param == "editable" else []
    environment.run(*PIP, "install", *OFFLINE, *editable, checkout)
    return environment, (checkout if editable else environment.site) / "layerdrop_plugin"


def test_install_use_uninstall(installed):
    environment, package = installed
    assert "layerdrop_plugin_startup.pth" in environment.files()
    assert environment.run("-c", IMPORT_BY_FAIRSEQ).splitlines()[-1] == os.path.realpath(package)
    assert f"--user-dir {package}" in environment.run("-m", "layerdrop_plugin")
    command = environment.python.with_name("layerdrop-average")
    assert environment.run(command, "--help").startswith("usage: layerdrop-average ")
    environment.run(*PIP, "uninstall", "--yes", "layerdrop_plugin")
    assert environment.files() == environment.before
    assert not command.exists()
    assert environment.run("-c", "import sys; print(any('layerdrop' in name for name in sys.modules))") == "False"


def test_the_wheel_holds_the_package_the_commands_the_hook_and_nothing_else(checkout, tmp_path):
    subprocess.run(
        [sys.executable, *PIP, "wheel", *OFFLINE, "--wheel-dir", tmp_path, checkout],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = subprocess.run([sys.executable, "-m", "zipfile", "-l", wheel], capture_output=True, text=True).stdout
    tops = {line.split("/")[0].split()[0] for line in names.splitlines()[1:]}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "layerdrop_plugin",
        "layerdrop_plugin_commands.py",
        "layerdrop_plugin_startup.py",
        "layerdrop_plugin_startup.pth",
    }
