"""Dataclass instances as defaults: allowed to fairseq and hydra, refused to everybody else as Python has it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from layerdrop_plugin.fairseq_adapter.compat import mutable_defaults

REFUSES = sys.version_info >= (3, 11)


@dataclasses.dataclass
class Inner:
    size: int = 4


def outer(module, default):
    """A dataclass of that module with a field of that default."""
    body = {"__module__": module, "__annotations__": {"inner": Inner}, "inner": default}
    return dataclasses.dataclass(type("Outer", (), body))


@pytest.fixture(autouse=True)
def patched(monkeypatch):
    monkeypatch.setattr(dataclasses, "_get_field", dataclasses._get_field)
    mutable_defaults.apply()


@pytest.mark.parametrize("module", ["fairseq", "fairseq.models.lstm", "hydra.conf"])
@pytest.mark.parametrize("wrap", [lambda default: default, lambda default: dataclasses.field(default=default)])
def test_fairseq_and_hydra_keep_their_defaults_readable_from_the_fields(module, wrap):
    default = Inner(7)
    kind = outer(module, wrap(default))
    assert kind.__dataclass_fields__["inner"].default is default
    assert kind().inner is default


def test_no_hash_stays_behind():
    outer("fairseq", Inner())
    with pytest.raises(TypeError, match="unhashable type: 'Inner'"):
        hash(Inner())


@pytest.mark.skipif(not REFUSES, reason="this Python allows them to everybody")
@pytest.mark.parametrize("module", ["somebody", "fairseq_like", "hydra_like.fairseq"])
def test_other_packages_are_refused_as_before(module):
    with pytest.raises(ValueError, match="mutable default"):
        outer(module, Inner())


def test_lists_are_refused_to_fairseq_too():
    with pytest.raises(ValueError, match="mutable default"):
        outer("fairseq", [])


def test_applying_twice_wraps_once():
    once = dataclasses._get_field
    mutable_defaults.apply()
    assert dataclasses._get_field is once


def test_the_fault_is_looked_for_in_python_and_in_fairseq(monkeypatch):
    monkeypatch.setattr(mutable_defaults, "_python_refuses", lambda: True)
    monkeypatch.setattr(mutable_defaults, "_fairseq_has_them", lambda: True)
    assert mutable_defaults.needed() == "Python refuses dataclass instances as defaults of fields, and fairseq has them"
    monkeypatch.setattr(mutable_defaults, "_fairseq_has_them", lambda: False)
    assert mutable_defaults.needed() is None


def test_python_is_asked_even_after_the_patch():
    assert mutable_defaults._python_refuses() is REFUSES


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("    common: CommonConfig = CommonConfig()\n", True),
        ("    common: CommonConfig = field(default=CommonConfig)\n", False),  # a fork
        ("    common: CommonConfig = field(default_factory=CommonConfig)\n", False),
    ],
)
def test_fairseq_is_asked_by_its_source(tmp_path, monkeypatch, source, expected):
    package = tmp_path / "fairseq"
    (package / "dataclass").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "dataclass" / "configs.py").write_text(source)
    code = (
        "import sys; sys.meta_path = [f for f in sys.meta_path if 'layerdrop' not in repr(f)]\n"
        f"sys.path[:0] = [{str(tmp_path)!r}]; import layerdrop_plugin_startup as hook; hook._apply(())\n"
        "from layerdrop_plugin_startup.compat.mutable_defaults import _fairseq_has_them; print(_fairseq_has_them())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(expected)
