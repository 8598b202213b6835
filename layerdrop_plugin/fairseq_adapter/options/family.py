"""The row of the table of families for a model, by its configuration, and the options that hold its depths."""

from __future__ import annotations

import sys
from typing import Any

from ... import families
from ...families import Family, Stack
from .config import ModelConfig, get, has


def architecture(cfg: ModelConfig) -> str | None:
    """Return the name of a model's architecture; None where its configuration has none."""
    return get(cfg, "_name") or get(cfg, "arch")


def known(arch: str | None) -> Family | None:
    """Return the family of an architecture, None of one that nobody knows.

    A user's own model is of the family of the nearest class that it inherits from. As long as fairseq is not imported,
    only names of models are known.
    """
    name = _model(arch)
    if name is not None:
        return families.of(name)
    if getattr(_class(arch), "__module__", "").partition(".")[0] == "fairseq":  # the table has none of it
        return Family((), {})
    return None


def is_known(arch: str | None) -> bool:
    """Return whether an architecture is in the table, or registered; a user's own is so only with --user-dir."""
    return arch is None or families.of(arch) is not None or _class(arch) is not None


def is_ours(arch: str | None) -> bool:
    """Return whether an architecture is of a model of this package, or of a user's that inherits from one."""
    return (_model(arch) or "").startswith("layerdrop_")


def _model(arch: str | None) -> str | None:
    """Return the model whose family the table has: an architecture's own, or the nearest that it inherits from."""
    if arch and families.of(arch) is not None:
        return arch
    models = getattr(sys.modules.get("fairseq.models"), "MODEL_REGISTRY", {})
    names = {of: name for name, of in models.items()}
    bases = (names.get(base, "") for base in getattr(_class(arch), "__mro__", ()))
    return next((name for name in bases if families.of(name) is not None), None)


def _class(arch: str | None) -> Any:
    """Return the class of an architecture's model; None where none is registered."""
    registries = sys.modules.get("fairseq.models")
    if registries is None:
        return None
    return registries.ARCH_MODEL_REGISTRY.get(arch) or registries.MODEL_REGISTRY.get(arch)


def family_of(cfg: ModelConfig) -> Family:
    """Return the family of a model; of one that nobody knows, the places where the others have their layers."""
    return known(architecture(cfg)) or families.PLAIN


def row_of(cfg: ModelConfig, stack: str) -> Stack:
    """Return where a model has a stack; of one that has none, where the others have theirs."""
    return family_of(cfg).stacks.get(stack, families.PLAIN.stacks[stack])


def why_not(stack: str, arch: str | None) -> str | None:
    """Say why a stack of models of an architecture can't be pruned; None where it can, if it has layers."""
    found = known(arch)
    return refusal(arch) if found is None or stack in found.stacks or not found.stacks else f"the model has no {stack}"


def refusal(arch: str | None) -> str | None:
    """Say why no layers of an architecture can be pruned; None where some can."""
    found = known(arch)
    if found is None or found.stacks:
        return None
    return f"the layers of a {arch} can't be pruned" + (f", as {found.why_not}" if found.why_not else "")


def depth_option(row: Stack, cfg: ModelConfig) -> str:
    """Return the option that holds the depth of a stack."""
    return next((name for name in row.depth if has(cfg, name)), row.depth[0])


def name_in(cfg: ModelConfig, name: str) -> str:
    """Return the name of an option in this configuration: ours that fine-tune have `layerdrop`, as fairseq's do."""
    fine_tunes = name == "encoder_layerdrop" and has(cfg, "layerdrop")
    return "layerdrop" if fine_tunes and is_ours(architecture(cfg)) else name


def beside_depth(row: Stack, cfg: ModelConfig, name: str) -> str:
    """Return the full name of an option that stands where a stack's depth does."""
    return "".join(depth_option(row, cfg).rpartition(".")[:2]) + name


def depths_of(cfg: ModelConfig) -> dict[str, int]:
    """Return how many layers each stack has by its configuration, without those of which it says no whole number."""
    rows = family_of(cfg).stacks
    layers: dict[str, Any] = {stack: get(cfg, depth_option(row, cfg)) for stack, row in rows.items()}
    return {stack: int(n) for stack, n in layers.items() if str(n).isascii() and str(n).isdecimal()}
