"""Checks the settings of a recipe that the package's options take, before anything runs.

Example: python scripts/recipes/settings.py --stack=decoder --layers=16 --keep="every_other:8 0-11" --rate=0.2
Prints one line and ends with status 2 where a setting is wrong. It needs Python alone, neither torch nor fairseq.
"""

from __future__ import annotations

import argparse
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "layerdrop_plugin"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", action="append", required=True, help="once for each stack, the encoder first")
    parser.add_argument("--layers", action="append", required=True, help="how many it has, empty if that is not known")
    parser.add_argument("--keep", default="", help="KEEP, specifications with blanks in between")
    parser.add_argument("--learned", action="store_true", help="the model comes with rates that it may have learned")
    parser.add_argument("--rate", default="", help="RATE")
    parser.add_argument("--train-depths", default="", help="TRAIN_DEPTHS")
    args = parser.parse_args()
    core = types.ModuleType("layerdrop_plugin")  # the package itself would ask for torch and fairseq
    core.__path__ = [str(PACKAGE)]
    sys.modules["layerdrop_plugin"] = core
    try:
        check(dict(zip(args.stack, args.layers)), args.keep, args.rate, args.train_depths, args.learned)
    except ValueError as error:
        print(str(error).replace("`", ""))
        sys.exit(2)


def check(layers: Mapping[str, str], keep: str, rate: str, train_depths: str, learned: bool = False) -> None:
    """Raise a ValueError of one line where a setting does not fit a model of these layers; what is empty is not set."""
    from layerdrop_plugin import depths, layer_spec, rates

    known = {stack: number(text, stack, layers) for stack, text in layers.items() if text}
    for kept in keep.split():
        for stack, spec in specifications(kept, list(layers)):
            layer_spec.check(spec, "KEEP", known.get(stack))
            if layer_spec.is_learned(spec) and not learned:
                raise ValueError(f"KEEP must not be {kept!r}: this recipe's training learns no rates.")
    if rate:
        rates.check(rate, "RATE")
        for depth in known.values():
            rates.parse(rate, depth, "RATE")
    if train_depths and len(known) == len(layers):
        depths.parse(train_depths, known, "TRAIN_DEPTHS")


def number(text: str, stack: str, layers: Mapping[str, str]) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10**4):
        name = f"{stack.upper()}_LAYERS" if len(layers) > 1 else "LAYERS"
        raise ValueError(f"{name} must be a whole number of at least 1, but is {text!r}.")
    return int(text)


def specifications(kept: str, stacks: Sequence[str]) -> list[tuple[str, str]]:
    """Return what one item of KEEP keeps of each stack.

    >>> specifications("every_other:3+0-2", ["encoder", "decoder"])
    [('encoder', 'every_other:3'), ('decoder', '0-2')]
    >>> specifications("first:3", ["encoder", "decoder"])
    [('encoder', 'first:3'), ('decoder', 'first:3')]
    """
    if kept == "full":
        return []
    specs = kept.split("+")
    if len(specs) not in (1, len(stacks)):
        wanted = "of " + " + ".join(stacks) + ", or once for both" if len(stacks) > 1 else f"of the {stacks[0]} alone"
        raise ValueError(f"KEEP must name layers {wanted}, but has {kept!r}.")
    return list(zip(stacks, specs if len(specs) > 1 else specs * len(stacks)))


if __name__ == "__main__":
    main()
