"""The page of the options of trainings and models, from where they are declared."""

from __future__ import annotations

from dataclasses import fields

from layerdrop_plugin.fairseq_adapter.options.declared import OPTIONS, Option, flag_of
from layerdrop_plugin.fairseq_adapter.training.distillation_options import DistillationConfig

from .markdown import table

TEXT = """\
# Options

`fairseq-train` takes these options with `--user-dir layerdrop_plugin` and an architecture whose name begins with
`layerdrop_`. Add `--help` to both, and `fairseq-train` shows the options, too.

In YAML and in `--model-overrides` they have the same names with underscores: `encoder_layerdrop`. Commands that
evaluate take `encoder_layers_to_keep` and `decoder_layers_to_keep` for every model. `--model-overrides` does not take
the options of the criterion.

`P` is a [rate](specifications.md#rates), `LAYERS` names [layers](specifications.md#layers), `DEPTHS` names
[depths](specifications.md#depths). That page also explains `learned:K`, `every_other:K` and the like.

## Of the {stack}

{of_stack}
## Of the decoder

These are the same options with `--decoder-` in place of `--encoder-`. A decoder layer has one more sub-layer,
cross-attention, but not in language models. `--decoder-sublayerdrop` and `--decoder-headdrop` drop it, too.

## Of all stacks

{of_all}
## With `--criterion layerdrop_distillation`

[Recover quality](../how-to/recover-quality.md#with-a-teacher) shows how to use them.

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
