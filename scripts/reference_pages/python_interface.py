"""The page of the Python interface, from signatures and docstrings."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

import layerdrop_plugin
from layerdrop_plugin import depths, dropping, layer_spec, layer_stack, masks, rates, selection

from .markdown import docstring

TEXT = """\
# Python interface

All names here are in the package `layerdrop_plugin`: import them as `from layerdrop_plugin.dropping import Dropping`.
Those of the modules need only torch, as in [this example](../how-to/plain-pytorch.md). The modules `dropping`, `rates`,
`layer_spec` and `selection` keep their paths from version to version.

## from_pretrained

`from_pretrained` of fairseq's models takes the layers to keep as keywords, beside `user_dir="layerdrop_plugin"`:
`encoder_layers_to_keep` and `decoder_layers_to_keep`. Each is a [specification](specifications.md#layers), as text or
as a list. This works for `TransformerModel`, `TransformerLanguageModel`, `RobertaModel` and the others of [the table of
families](../families.md). See [an example](../how-to/prune-at-load.md#from-python).

"""
SHOWN: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (layerdrop_plugin.running, ()),
    (dropping.LayerDropStack, ("set_num_updates", "one_pass", "take_share", "rates", "learned_rates", "rates_now")),
    (layer_stack.LayerStack, ("running", "instead", "running_layers")),
    (dropping.Dropping, ()),
    (dropping.Groups, ()),
    (rates.Schedule, ("factor",)),
    (masks.dropped_groups, ()),
    (layer_spec.parse, ()),
    (rates.parse, ()),
    (rates.rate_for_depth, ()),
    (rates.expected_depth, ()),
    (depths.parse, ()),
    (selection.every_other, ()),
    (selection.first, ()),
    (selection.last, ()),
    (selection.drop, ()),
    (selection.learned, ()),
)
"""What is shown, each with the methods that are."""


def page() -> str:
    return TEXT + "\n".join(_shown(found, members) for found, members in SHOWN)


def _shown(found: Any, members: tuple[str, ...]) -> str:
    """Return a class or a function as a section, with methods under it."""
    module = found.__module__.rpartition(".")[2]
    parts = [f"## {module}.{found.__name__}\n", _described(found)]
    for name in members:
        member = inspect.getattr_static(found, name)
        parts.extend([f"### {found.__name__}.{name}\n", _described(getattr(member, "fget", None) or member)])
    return "\n".join(parts)


def _described(found: Any) -> str:
    return f"```text\n{_head(found)}\n```\n\n{docstring(inspect.getdoc(found) or '')}"


def _head(found: Any) -> str:
    """Return the lines of source that begin a function, or a class with its fields or its constructor."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(found)))
    node = ast.parse(source).body[0]
    assert isinstance(node, (ast.ClassDef, ast.FunctionDef))
    lines = source.splitlines()
    head = "\n".join(lines[node.lineno - 1 : node.body[0].lineno - 1])
    if isinstance(node, ast.FunctionDef):
        return head
    inits = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    own = [n for n in node.body if isinstance(n, ast.AnnAssign)]
    if inits:
        return "\n".join([head, *lines[inits[0].lineno - 1 : inits[0].body[0].lineno - 1]])
    return "\n".join([head, *(lines[n.lineno - 1] for n in own)])
