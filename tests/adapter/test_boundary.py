"""The boundary: the core knows nothing of fairseq; each patch says what it patches."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import layerdrop_plugin
from layerdrop_plugin.fairseq_adapter import compat

PACKAGE = Path(layerdrop_plugin.__file__).parent
ADAPTER = PACKAGE / "fairseq_adapter"
FOR_FAIRSEQ = ("fairseq", "fairseq_cli", "hydra", "omegaconf")
CORE = [path for path in sorted(PACKAGE.glob("*.py")) if path.name not in ("__init__.py", "__main__.py")]
NAMES = ("average", "describe", "export", "prune", "search", "sweep")
COMMANDS = sorted((PACKAGE / "cli").glob("*.py"))
PATCHES = sorted(path for path in (ADAPTER / "compat").glob("*.py") if path.name != "__init__.py")


def imports(source):
    """The modules that Python source imports; relative ones with their dots."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield base
            yield from (f"{base}.{alias.name}" if node.module else base + alias.name for alias in node.names)


def of_fairseq(source):
    return [
        name for name in imports(source) if name.split(".")[0] in FOR_FAIRSEQ or "fairseq_adapter" in name.split(".")
    ]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import fairseq.models as m", ["fairseq.models"]),
        ("from fairseq import utils", ["fairseq", "fairseq.utils"]),
        ("def f():\n    import omegaconf", ["omegaconf"]),
        ("from . import fairseq_adapter", [".fairseq_adapter"]),
        ("from .fairseq_adapter.options import KEEP", [".fairseq_adapter.options", ".fairseq_adapter.options.KEEP"]),
        ("import torch, fairseq_like\nfrom . import rates", []),
    ],
)
def test_this_file_sees_an_import_of_fairseq(source, found):
    assert of_fairseq(source) == found


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_the_core_imports_no_fairseq(path):
    assert of_fairseq(path.read_text()) == []


def test_the_core_is_found():
    names = {path.name for path in CORE}
    assert {"dropping.py", "layer_spec.py", "rates.py", "selection.py", "state_dict.py"} <= names


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.name)
def test_a_command_imports_fairseq_only_through_the_adapter(path):
    assert [name for name in imports(path.read_text()) if name.split(".")[0] in FOR_FAIRSEQ] == []


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.name)
def test_no_command_imports_another(path):
    names = {name.rpartition(".")[2] for name in imports(path.read_text()) if name.startswith(".") and name[1:2] != "."}
    assert names & set(NAMES) == set()


def test_the_commands_are_found():
    assert {"__init__.py", "average.py"} <= {path.name for path in COMMANDS}


ORDER = (
    ("registration",),
    ("training", "evaluation", "export"),
    ("checkpoints",),
    ("modeling",),
    ("compat",),
    ("reading",),
    ("options",),
    ("errors",),
    ("hooks",),
)
"""The rooms of the adapter, and the files outside of them, from the top down."""


def rooms_that(path):
    """Of a file of the adapter, its room, and the other rooms from which it imports, anywhere in it."""
    place = path.relative_to(PACKAGE.parent).with_suffix("").parts
    for name in imports(path.read_text()):
        if not name.startswith("."):
            continue
        dots = len(name) - len(name.lstrip("."))
        parts = (*place[:-dots], *name[dots:].split("."))
        if parts[:2] == ("layerdrop_plugin", "fairseq_adapter") and len(parts) > 2 and parts[2] not in (place[2], ""):
            yield place[2], parts[2]


def test_a_room_imports_from_those_below_it_only():
    level = {room: i for i, rooms in enumerate(ORDER) for room in rooms}
    arrows = {arrow for path in ADAPTER.rglob("*.py") for arrow in rooms_that(path)}
    assert {room for arrow in arrows for room in arrow} == set(level)
    assert len(level) <= 12
    assert len(arrows) <= 40
    assert [(above, below) for above, below in sorted(arrows) if level[above] >= level[below]] == []


def test_no_other_import_hides_from_the_test_above():
    hidden = [
        path.relative_to(ADAPTER).as_posix()
        for path in ADAPTER.rglob("*.py")
        if re.search(
            r"""import_module\(f?["'](\.|layerdrop_plugin)|layerdrop_plugin\.fairseq_adapter import""", path.read_text()
        )
    ]
    assert hidden == ["reading/registered_fairseq.py"]


def test_no_folder_has_a_name_that_fairseq_imports_by_itself():
    names = {path.name for path in PACKAGE.rglob("*") if path.is_dir()}
    assert "fairseq_adapter" in names
    assert names & {"models", "tasks"} == set()


@pytest.mark.parametrize("path", PATCHES, ids=lambda path: path.name)
def test_a_patch_says_symptom_and_versions_and_can_be_asked_and_applied(path):
    patch = getattr(compat, path.stem)
    assert "fairseq" in patch.__doc__
    assert "0.12.2" in patch.__doc__ or "torch 2.6" in patch.__doc__
    assert inspect.isfunction(patch.needed)
    assert list(inspect.signature(patch.needed).parameters) == []
    assert inspect.isfunction(patch.apply)
    assert list(inspect.signature(patch.apply).parameters) == []


def test_every_patch_is_on_the_list():
    assert sorted(patch.__name__.rpartition(".")[2] for patch in compat.PATCHES) == [path.stem for path in PATCHES]
    assert len(PATCHES) >= 9
