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
    "4+2,2+2": "4 encoder and 2 decoder layers; 2 of each",
    "first:2,last:2+3": "`first:2` in each stack; `last:2` of the encoder with `every_other:3` of the decoder",
    "4=0.2,2=0.1": "shares of the forward passes; full depth has the rest",
    "6+6=0.5,2": "full depth with a share of its own",
}
TEXT = """\
# Specifications and rates

## Layers

A specification names the layers to keep: in `--*-layers-to-keep`, `--model-overrides` and keywords of
`from_pretrained`, and in `--encoder` and `--decoder` of the commands. Layers count from 0. N is the number of layers.

{layers}
A single number is an index: `3` keeps layer 3 alone, with a warning. For three layers, write `every_other:3`. In Python
and YAML, you can also give a list of numbers.

## Rates

`--*-layerdrop`, `--*-headdrop`, `--*-ffndrop` and `--*-sublayerdrop` take a rate; `*` is `encoder` or `decoder`.

{rates}
`target:K` is the paper's rate 1 - K/N. N is the number of layers, or for heads the number of heads of an attention.

## Depths

`--layerdrop-depths` takes a list of depths. Each may have its share of the forward passes.

{depths}
If full depth is not named, it has {full} of the passes, or the rest if every other depth has a share. Depths without a
share have equal parts of the rest. `last:` on the left of a `+` does not apply to the right. `learned:K`, `drop:P` and
indices are refused here.
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
    rows = [_of_6("0,2,4", "these layers"), _of_6("0-2,5", "ranges, too"), _of_6("[0, 2, 4]", "these, as a list")]
    for name in layer_spec.STRATEGIES:
        if name == "learned":
            rows.append((f"`{name}:K`", STRATEGIES[name], "depends on the rates"))
        else:
            rows.append((f"`{name}:K`", STRATEGIES[name], f"`{name}:3` keeps {_kept(f'{name}:3')}"))
    drop = f"`drop:0.5` keeps {_kept('drop:0.5')}; `drop:0.2` keeps {_kept('drop:0.2')}"
    return [*rows, ("`drop:P`", "the layers that the paper's Every Other leaves at rate P, 0 < P <= 0.5", drop)]


def _of_6(spec: str, text: str) -> tuple[str, str, str]:
    return f"`{spec}`", text, f"keeps {_kept(spec)}"


def _kept(spec: str) -> str:
    return layer_spec.describe(layer_spec.parse(spec, depth=6))


def _rates() -> list[tuple[str, str, str]]:
    forms = {
        "0.2": "every layer (or head, FFN, sub-layer) with this probability, 0 <= P < 1",
        "0,0.1,0.1,0.2,0.2,0.3": "each layer, or what is in it, with its own probability: one number for each layer",
        "linear:A:B": "with A at the first layer, B at the last, evenly in between",
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
