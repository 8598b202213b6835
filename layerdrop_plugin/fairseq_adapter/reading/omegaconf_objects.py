"""Read omegaconf's containers from a checkpoint as plain data, without running omegaconf's code on it.

fairseq's reader makes such containers of a configuration; a checkpoint that a script writes again has them. They hold
their values in nodes, which also refer to types, flags and parents, in the same form in omegaconf 2.0 and 2.3.
"""

from __future__ import annotations

import math
import re
from argparse import Namespace
from typing import Any

from omegaconf import OmegaConf
from omegaconf import __version__ as version
from omegaconf.errors import OmegaConfBaseException

from ..errors.one_line import Malformed

LOOKUP = re.compile(r"\$\{([\w.\[\]-]*)\}")
"""What omegaconf replaces by the value of another option; other uses of ${ run what may read the environment."""

COST, LARGEST = 1000, 2_000_000
"""One reference takes omegaconf a millisecond, as 1,000 characters may; 2,000 of them are more than any fairseq has."""


class Node:
    """One of omegaconf's objects: what the file says of its attributes."""

    attributes: Any = None

    def __setstate__(self, attributes: Any) -> None:
        self.attributes = attributes

    @property
    def content(self) -> Any:
        """The dict or list of nodes in a container; the value in any other node."""
        attributes = self.attributes if isinstance(self.attributes, dict) else {}
        return attributes.get("_content", attributes.get("_val"))


class Kind:
    """A stand-in for a type to which nodes refer; no object is made of it."""


NODES: dict[str, Any] = {
    "omegaconf.dictconfig.DictConfig": Node,
    "omegaconf.listconfig.ListConfig": Node,
    **{f"omegaconf.nodes.{kind}Node": Node for kind in ("Any", "String", "Integer", "Float", "Boolean", "Bytes")},
    "omegaconf.base.Metadata": Node,
    "omegaconf.base.ContainerMetadata": Node,
}
KINDS: dict[str, Any] = {"typing.Any": Kind, "builtins.dict": dict, "builtins.list": list, "builtins.int": int}
"""What stands for the objects that a file names, omegaconf's own and those to which they refer."""


def plain(value: Any) -> Any:
    """Return what was read, without nodes: their values take their places, dicts, lists and Namespaces change in place.

    In a Namespace, a container becomes one of omegaconf's again: fairseq's models expect it there.

    Raises:
        Malformed: omegaconf can't hold its values.
    """
    return _Plain().of(value, in_namespace=False)


def looked_up(options: Any) -> Any:
    """Return a configuration, in which options may refer to others as ${task.data}, with their values.

    Raises:
        Malformed: one refers to no other, or in the end to itself; or they multiply in this way.
    """
    try:
        if _Expansion(options).of(options, ()) > LARGEST:
            raise Malformed("has an option in `cfg` that refers to no other, or too often")
        return OmegaConf.to_container(container(options), resolve=True)
    except (OmegaConfBaseException, RecursionError):
        raise Malformed("has an option in `cfg` that refers to no other") from None


class _Expansion:
    """Measures, in characters, omegaconf's work to replace references by their values."""

    def __init__(self, options: Any) -> None:
        self.options = options
        self.measured: dict[tuple[str, ...], float] = {}

    def of(self, value: Any, place: tuple[str, ...]) -> float:
        if isinstance(value, dict):
            return 1 + sum(self.of(part, (*place, str(name))) for name, part in value.items())
        if isinstance(value, (list, tuple)):
            return 1 + sum(self.of(part, (*place, str(number))) for number, part in enumerate(value))
        if not isinstance(value, str):
            return 1
        return len(value) + sum(COST + self._at(_absolute(key, place)) for key in LOOKUP.findall(value))

    def _at(self, place: tuple[str, ...]) -> float:
        if place not in self.measured:
            self.measured[place] = math.inf  # for one that leads to itself
            self.measured[place] = self.of(self._value(place), place)
        return self.measured[place]

    def _value(self, place: tuple[str, ...]) -> Any:
        value = self.options
        for name in place:
            if isinstance(value, (list, tuple)) and name.isdecimal() and int(name) < len(value):
                value = value[int(name)]
            else:
                value = value.get(name) if isinstance(value, dict) else None
        return value


def _absolute(key: str, place: tuple[str, ...]) -> tuple[str, ...]:
    """Return where a reference leads; each dot before it means one level above its own place.

    >>> _absolute("task.x[0]", ("model", "y")), _absolute("..x", ("model", "y", "z"))
    (('task', 'x', '0'), ('model', 'x'))
    """
    names = key.lstrip(".")
    above = len(key) - len(names)
    base = place[: max(len(place) - above, 0)] if above else ()
    return (*base, *filter(None, re.split(r"[.\[\]]", names)))


class _Plain:
    """Turns nodes into values, each once."""

    def __init__(self) -> None:
        self.made: dict[tuple[int, bool], tuple[Any, Any]] = {}  # with what it was made of, whose id no other may get

    def of(self, value: Any, in_namespace: bool) -> Any:
        if not isinstance(value, (Node, Namespace, dict, list, tuple)):
            return value
        key = id(value), in_namespace
        if key not in self.made:
            made = self._of_node(value, in_namespace) if isinstance(value, Node) else self._inside(value, in_namespace)
            self.made[key] = value, made
        return self.made[key][1]

    def _of_node(self, node: Node, in_namespace: bool) -> Any:
        content = node.content
        if isinstance(content, dict):
            values: Any = {name: self.of(part, False) for name, part in content.items()}
        elif isinstance(content, list):
            values = [self.of(part, False) for part in content]
        else:
            return self.of(content, in_namespace)
        return container(values) if in_namespace else values

    def _inside(self, value: Any, in_namespace: bool) -> Any:
        """Change a dict, list or Namespace in place."""
        if isinstance(value, Namespace):
            vars(value).update([(name, self.of(part, True)) for name, part in vars(value).items()])
        elif isinstance(value, dict):
            value.update([(name, self.of(part, in_namespace)) for name, part in value.items()])
        elif isinstance(value, list):
            value[:] = [self.of(part, in_namespace) for part in value]
        elif type(value) is tuple:
            return tuple(self.of(part, in_namespace) for part in value)
        return value


def container(values: Any) -> Any:
    """Return what fairseq's reader makes of these values."""
    flags: Any = {} if version < "2.2" else {"flags": {"allow_objects": True}}
    try:
        return OmegaConf.create(values, **flags)
    except OmegaConfBaseException as error:
        raise Malformed(f"has options that omegaconf can't take ({str(error).splitlines()[0]})") from None
