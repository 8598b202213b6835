"""`layerdrop-export`: a model, pruned or whole, as CTranslate2 or Hugging Face's transformers load it."""

from __future__ import annotations

import importlib.util
import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import atomic_folder, message
from ..fairseq_adapter.export import MARKS
from . import card, export_usage
from .command import (
    Parser,
    add_checkpoint,
    add_stack_options,
    add_user_dir,
    load_fairseq,
    parse_with_checkpoint,
    stack_specs,
    with_user_dir,
)

if TYPE_CHECKING:
    from ..fairseq_adapter.checkpoints.description import Description
    from ..fairseq_adapter.checkpoints.provenance import Pruned

DESCRIPTION = """\
Write a model, with all its layers or some of them, as a folder for another library:
  ctranslate2  translation and language models; CTranslate2 is fast on CPUs, and takes weights of fewer bits
  huggingface  RoBERTa (with the head of its masked language model, or a classification head), BART, wav2vec 2.0 and
               HuBERT, to load by AutoModel....from_pretrained
What the library can't express, such as adaptive input, is refused."""

EXAMPLES = """\
  layerdrop-export checkpoint_best.pt --to ctranslate2 -o out --encoder every_other:3 --decoder 0,2,4
  layerdrop-export checkpoint_best.pt --to ctranslate2 -o out --quantization int8 --data data-bin/wmt16 --force
  layerdrop-export roberta/checkpoint_best.pt --to huggingface -o out --encoder every_other:6
  layerdrop-export roberta/checkpoint_best.pt --to huggingface -o out --head masked_lm
  layerdrop-export wav2vec2/checkpoint_best.pt --to huggingface -o out --encoder every_other:2
"""
PACKAGES = {"ctranslate2": ("ctranslate2",), "huggingface": ("transformers", "safetensors")}
OPTIONS = {"ctranslate2": ("source_lang", "target_lang", "quantization"), "huggingface": ("head",)}
"""For each target: the packages that must be installed, and the options that no other target has."""
QUANTIZATIONS = ("int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16", "float16", "bfloat16", "float32")
NO_TOKENIZER = (
    "it has no tokenizer: the indices of words are their lines in the checkpoint's dict.txt, "
    "after <s>, <pad>, </s> and <unk>."
)
NO_LABELS = "it gives hidden states, of sound as AutoFeatureExtractor.from_pretrained prepares it."


def main(argv: Sequence[str] | None = None) -> None:
    """Write the folder that the command line asks for, and print what is in it."""
    parser = _parser()
    args = parse_with_checkpoint(parser, argv)
    with parser.errors(), with_user_dir(parser, args):
        specs = stack_specs(args)
        search = _check(args)
        load_fairseq()
        from ..fairseq_adapter.checkpoints.describe import describe

        origin = describe(args.checkpoint) if args.card else None
        scores = [] if origin is None else card.scores(args, search, specs, origin.stacks)
        kept, kind = _export(args, specs)
        if origin is not None:
            properties = {"kind": (origin.architecture or "", kind), **_layers(origin, kept)}
            card.write(args, parser.prog, argv, args.output, properties, scores)


def _check(args: Namespace) -> Any:
    """Refuse what is wrong with any checkpoint; return the search of `--scores`."""
    for target, options in OPTIONS.items():
        for option in options:
            value, flag = getattr(args, option), "--" + option.replace("_", "-")
            if target != args.to and value is not None:
                raise ValueError(f"`{flag}` must be left out with `--to {args.to}`, but is {value!r}.")
    for option in ("data", *OPTIONS[args.to]):
        if getattr(args, option) == "":
            flag = "--" + option.replace("_", "-")
            raise ValueError(f"`{flag}` must name something or be left out, but is '' instead.")
    atomic_folder.check_folder(args.output, args.force, MARKS)
    for package in PACKAGES[args.to]:
        if importlib.util.find_spec(package) is None:
            raise ValueError(
                f'`--to {args.to}` needs {package}: pip install "layerdrop_plugin[{args.to}]", '
                "or in a checkout: bash scripts/setup.sh --all."
            )
    return card.check(args, args.output)


def _layers(origin: Description, kept: Mapping[str, Pruned]) -> dict[str, tuple[str, str]]:
    """Return the layers of each stack, and the parameters with all layers and with these."""
    rows, parameters = {}, origin.parameters
    for name, stack in origin.stacks.items():
        here = kept[name].kept if name in kept else tuple(range(stack.depth))
        rows[f"{name} layers"] = (str(stack.depth), f"{len(here)} ({kept[name]})" if name in kept else str(len(here)))
        parameters -= sum(count for number, count in enumerate(stack.layer_parameters) if number not in here)
    return {**rows, "parameters, as a checkpoint": (f"{origin.parameters:,}", f"{parameters:,}")}


def _export(args: Namespace, specs: dict[str, str]) -> tuple[dict[str, Pruned], str]:
    """Write the folder, say so, and return what was pruned, and what kind of a folder that is."""
    if args.to == "ctranslate2":
        from ..fairseq_adapter.export import to_ctranslate2

        languages = (args.source_lang, args.target_lang)
        kept = to_ctranslate2.export(
            args.checkpoint, args.output, specs, args.data, languages, args.quantization, args.force
        )
        kind = f"CTranslate2, {args.quantization or 'float32'}"
    else:
        from ..fairseq_adapter.export import to_huggingface

        kind, head, kept = to_huggingface.export(args.checkpoint, args.output, specs, args.head, args.force, args.data)
    layers = "; ".join(f"{stack} layers {pruned}" for stack, pruned in kept.items()) or "all layers"
    print(message.printable(f"{args.output}: {kind}, {layers}"))
    if args.to == "huggingface":
        print(message.printable(f"{args.output}: {NO_TOKENIZER if head else NO_LABELS}"))
        usage = export_usage.huggingface(kind, args.output)
    else:
        one_language = os.path.isfile(os.path.join(args.output, "vocabulary.json"))  # others have two, or shared ones
        usage = export_usage.ctranslate2(one_language, args.output)
    print(message.printable(f"{args.output}: this loads it:"), usage, sep="\n")
    return kept, kind


def _parser() -> Parser:
    parser = Parser("layerdrop-export", DESCRIPTION, EXAMPLES)
    add_checkpoint(parser, "the new folder")
    parser.add_argument("--to", required=True, choices=PACKAGES, help="the library that will load it")
    add_stack_options(parser)
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="the folder with the dictionaries of words (ctranslate2) or of labels (huggingface); default: the data of "
        "the training",
    )
    group = parser.add_argument_group("with --to ctranslate2")
    for side in ("source", "target"):
        group.add_argument(
            f"--{side}-lang", metavar="LANG", help=f"the {side} language, if neither checkpoint nor data names it"
        )
    group.add_argument("--quantization", choices=QUANTIZATIONS, help="the type of the weights (default: float32)")
    group = parser.add_argument_group("with --to huggingface")
    group.add_argument(
        "--head",
        metavar="NAME",
        help="for RoBERTa: the name of a classification head, or masked_lm (default: the only classification head; "
        "masked_lm if there is none)",
    )
    card.add_options(parser)
    add_user_dir(parser)
    parser.add_argument("--force", action="store_true", help="replace the files of an earlier export in OUT")
    return parser


if __name__ == "__main__":
    main()
