"""`python -m layerdrop_plugin`: versions, the patches in place and why, and the path for --user-dir."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from layerdrop_plugin import __version__, message

PACKAGES = ("torch", "fairseq", "numpy", "hydra-core", "omegaconf")
"""The names under which packages are installed; a fork of fairseq has another one, so its module tells the version."""


HELP = """\
usage: python -m layerdrop_plugin [--help] [--version]

Tell the versions of what is installed, which patches of fairseq are in place and why, and the path for --user-dir.
The commands of this package: layerdrop --help"""


def main() -> None:
    """Print the report; without fairseq the versions only, and end with status 1."""
    asked = sys.argv[1:]
    if asked in (["-h"], ["--help"]):
        print(HELP)
        return
    if asked == ["--version"]:
        print(f"layerdrop_plugin {__version__}")
        return
    if asked:
        sys.exit(_refuse(asked))
    _print_table("layerdrop_plugin " + __version__, versions())
    if find_spec("fairseq") is None:
        sys.exit(f"python -m layerdrop_plugin: error: {message.no_fairseq()}")
    _print_table("Patches in place", _patches() or {"none": "nothing is at fault here"})
    print(f"For fairseq's commands\n  --user-dir {Path(__file__).parent}")


def _refuse(asked: list[str]) -> int:
    options = "must be left out, or --help or --version"
    line = f"python -m layerdrop_plugin: error: arguments {options}, but are {' '.join(asked)!r}."
    print(message.one_line(line), file=sys.stderr)
    return 2


def versions() -> dict[str, str]:
    """Return the versions that decide which patches are needed, by package."""
    return {"Python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        pass
    if package in sys.modules:  # the adapter has imported it
        return f"{sys.modules[package].__version__} (as the module says)"
    return "not installed"


def _patches() -> dict[str, str]:
    from layerdrop_plugin.fairseq_adapter import compat, registration  # noqa: F401  imports fairseq, and patches it

    return compat.ACTIVE


def _print_table(title: str, rows: dict[str, str]) -> None:
    width = max(map(len, rows))
    print(title, *(f"  {name:{width}}  {value}" for name, value in rows.items()), sep="\n")


if __name__ == "__main__":
    main()
