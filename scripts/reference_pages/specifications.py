"""The page of what options take: layers, rates and depths; each example is worked out by the code."""

from __future__ import annotations

from layerdrop_plugin import depths, layer_spec, rates

from .markdown import table

STRATEGIES = {
    "every_other": "K, evenly spaced: layer floor(i * N / K) of N for each i",
    "first": "the K nearest to the input",
    "last": "the K nearest to the output",
    "learned": "the K of the lowest learned drop rates",
}
DEPTHS = {
    "4,2": "the layers of `every_other:4` and of `every_other:2`, in each stack",
    "4+2,2+2": "these of encoder + decoder",
    "first:2,last:2+3": "`first:2` in each stack; `last:2` of the encoder with `every_other:3` of the decoder",
    "4=0.2,2=0.1": "shares of the forward passes; full depth has the rest",
    "6+6=0.5,2": "full depth has its share named",
}
TEXT = """\
# Specifications and rates

## Layers

Everywhere where layers to keep are named: `--*-layers-to-keep`, `--model-overrides`, keywords of `from_pretrained`,
`--encoder` and `--decoder` of the commands. Layers count from 0.

{layers}
A single number is an index: `3` keeps layer 3 alone, with a warning. For three layers, write `every_other:3`. In Python
and YAML, a list of numbers is taken, too.

## Rates

What `--*-layerdrop`, `--*-headdrop`, `--*-ffndrop` and `--*-sublayerdrop` take.

{rates}
`target:K` is the paper's rate 1 - K/N. N is the depth; for heads, those of an attention.

## Depths

What `--layerdrop-depths` takes: a list of depths, each with its share of the forward passes, if you like.

{depths}
Full depth has {full} of the passes unless it is named. Depths without a share have an equal part of what is left. On
each side of a `+` stands a depth of its own: `last:` on the left does not act on the right. `learned:K`, `drop:P` and
indices are not taken here.
"""


def page() -> str:
    return TEXT.format(
        layers=table(("specification", "keeps", "of 6 layers"), _layers()),
        rates=table(("rate", "drops", "of 6 layers"), _rates()),
        depths=table(("depths", "runs", "shares with 6+6 layers"), _depths()),
        full=f"{depths.FULL_SHARE:g}",
    )


def _layers() -> list[tuple[str, str, str]]:
    assert set(STRATEGIES) == set(layer_spec.STRATEGIES), "the page has a row for each strategy"
    rows = [_of_6("0,2,4", "these"), _of_6("0-2,5", "ranges, too"), _of_6("[0, 2, 4]", "the same as a list")]
    for name in layer_spec.STRATEGIES:
        if name == "learned":
            rows.append((f"`{name}:K`", STRATEGIES[name], "as its rates are"))
        else:
            rows.append((f"`{name}:K`", STRATEGIES[name], f"`{name}:3` keeps {_kept(f'{name}:3')}"))
    drop = f"`drop:0.5` keeps {_kept('drop:0.5')}; `drop:0.2` keeps {_kept('drop:0.2')}"
    return [*rows, ("`drop:P`", "what the paper's Every Other leaves at rate P, 0 < P <= 0.5", drop)]


def _of_6(spec: str, text: str) -> tuple[str, str, str]:
    return f"`{spec}`", text, f"keeps {_kept(spec)}"


def _kept(spec: str) -> str:
    return layer_spec.describe(layer_spec.parse(spec, depth=6))


def _rates() -> list[tuple[str, str, str]]:
    forms = {
        "0.2": "each with this probability, 0 <= P < 1",
        "0,0.1,0.1,0.2,0.2,0.3": "each layer, or what is in it, with its own: one number for each layer",
        "linear:A:B": "A at the first layer, B at the last, evenly in between",
        "target:K": "so that K of N are left on average",
    }
    example = {"linear:A:B": "linear:0:0.5", "target:K": "target:3"}
    return [(f"`{form}`", text, _rate(example.get(form, form), form)) for form, text in forms.items()]


def _rate(spec: str, form: str) -> str:
    found = ", ".join(f"{rate:.4g}" for rate in rates.parse(spec, depth=6))
    return found if spec == form else f"`{spec}` is {found}"


def _depths() -> list[tuple[str, str, str]]:
    stacks = {"encoder": 6, "decoder": 6}
    return [(f"`{spec}`", text, depths.describe(depths.parse(spec, stacks))) for spec, text in DEPTHS.items()]
