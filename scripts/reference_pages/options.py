"""The page of the options of trainings and models, from where they are declared."""

from __future__ import annotations

from dataclasses import fields

from layerdrop_plugin.fairseq_adapter.options.declared import OPTIONS, Option, flag_of
from layerdrop_plugin.fairseq_adapter.training.distillation_options import DistillationConfig

from .markdown import table

TEXT = """\
# Options

`fairseq-train` has them with `--user-dir layerdrop_plugin` and an architecture of ours. With `--help` behind these two,
`fairseq-train` shows them, too. In YAML and in `--model-overrides` they have the same names with underscores:
`encoder_layerdrop`. Those of the criterion are not in `--model-overrides`. Commands that evaluate take
`encoder_layers_to_keep` and `decoder_layers_to_keep` for every model.

`P` is a [rate](specifications.md#rates), `LAYERS` names [layers](specifications.md#layers), `DEPTHS` names
[depths](specifications.md#depths). `learned:K`, `every_other:K` and the like are explained there.

## Of the {stack}

{of_stack}
## Of the decoder

The same with `--decoder-` in place of `--encoder-`. A decoder layer has one more sub-layer, cross-attention (not in
language models), which `--decoder-sublayerdrop` and `--decoder-headdrop` drop, too.

## Of all stacks

{of_all}
## With `--criterion layerdrop_distillation`

See [recover quality](../how-to/recover-quality.md).

{of_criterion}"""


def page() -> str:
    of_stack = [o for o in OPTIONS if o.stack == "encoder"]
    same = [o.name.replace("decoder", "encoder", 1) for o in OPTIONS if o.stack == "decoder"]
    assert same == [o.name for o in of_stack], "the page says that both stacks have the same options"
    return TEXT.format(
        stack="encoder",
        of_stack=table(("option", "what it does"), map(_row, of_stack)),
        of_all=table(("option", "what it does"), [_row(o) for o in OPTIONS if o.stack is None]),
        of_criterion=table(("option", "default", "what it does"), _of_criterion()),
    )


def _row(option: Option) -> tuple[str, str]:
    value = f" {option.kind.metavar}" if option.kind.metavar else ""
    return f"`{option.flag}{value}`", option.help


def _of_criterion() -> list[tuple[str, str, str]]:
    return [
        (f"`{flag_of(f.name)}`", "" if f.default is None else f"`{f.default}`", f.metadata["help"])
        for f in fields(DistillationConfig)
        if f.name.startswith("layerdrop_")
    ]
