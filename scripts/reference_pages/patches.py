"""The page of what is patched in fairseq, from the docstrings of the patches."""

from __future__ import annotations

import inspect

from layerdrop_plugin.fairseq_adapter import compat

TEXT = """\
# Patches of fairseq

The plugin patches {count} faults of fairseq and of the packages that it needs, each only where the fault exists.
`python -m layerdrop_plugin` lists the patches in place on your machine, with the reason for each. The titles here are
file names in `layerdrop_plugin/fairseq_adapter/compat/`. "main" is fairseq's main branch. Python runs
`layerdrop_plugin_startup` at each start.

"""


def page() -> str:
    return TEXT.format(count=len(compat.PATCHES)) + "\n".join(map(_patch, sorted(compat.PATCHES, key=_name)))


def _name(patch: object) -> str:
    return patch.__name__.rpartition(".")[2]  # type: ignore[attr-defined]


def _patch(patch: object) -> str:
    symptom, _, rest = (inspect.getdoc(patch) or "").partition("\n")
    return f"## {_name(patch)}\n\n**{symptom.strip()}**\n\n{rest.strip()}\n"
