"""The page of what is patched in fairseq, from the docstrings of the patches."""

from __future__ import annotations

import inspect

from layerdrop_plugin.fairseq_adapter import compat

TEXT = """\
# Patches of fairseq

{count} faults of fairseq, and of what it needs, are patched while the plugin is there, each only where it exists.
`python -m layerdrop_plugin` lists those in place on your machine, with the reason for each. Each has a file in
`layerdrop_plugin/fairseq_adapter/compat/`; the titles here are the files' names.

"""


def page() -> str:
    return TEXT.format(count=len(compat.PATCHES)) + "\n".join(map(_patch, sorted(compat.PATCHES, key=_name)))


def _name(patch: object) -> str:
    return patch.__name__.rpartition(".")[2]  # type: ignore[attr-defined]


def _patch(patch: object) -> str:
    symptom, _, rest = (inspect.getdoc(patch) or "").partition("\n")
    return f"## {_name(patch)}\n\n**{symptom.strip()}**\n\n{rest.strip()}\n"
