"""Prints names and shapes of the parameters of models as JSON, built without memory from fairseq-train's words.

Run with a file that holds a list of [family, arch, options]; `--plugin` imports the plugin first.
"""

from __future__ import annotations

import json
import sys

plugin = sys.argv.pop(2) if sys.argv[2:] == ["--plugin"] else None

import torch  # noqa: E402
from fairseq import models, options  # noqa: E402
from fairseq.data import Dictionary  # noqa: E402
from fairseq.tasks.language_modeling import LanguageModelingTask  # noqa: E402
from fairseq.tasks.masked_lm import MaskedLMTask  # noqa: E402
from fairseq.tasks.translation import TranslationTask  # noqa: E402

if plugin:
    import layerdrop_plugin  # noqa: F401

TASKS = {
    "transformer": ("translation", lambda args, d: TranslationTask(args, d, d)),
    "transformer_lm": ("language_modeling", lambda args, d: LanguageModelingTask(args, d)),
    "roberta": ("masked_lm", lambda args, d: MaskedLMTask(args, d)),
}
EXTRA = {"roberta": ["--criterion", "masked_lm"]}


def parameters(family, arch, words, symbols):
    task, build = TASKS.get(family, TASKS["transformer"])  # a translation model, if no other
    argv = ["data", "--task", task, "--arch", arch, *EXTRA.get(family, []), *words]
    args = options.parse_args_and_arch(options.get_training_parser(), argv)
    with torch.device("cpu" if family in ("roberta", "bart") else "meta"):  # these copy weights as they fill them
        model = models.build_model(args, build(args, symbols))
    return {name: list(p.shape) for name, p in model.named_parameters()}


def dictionary(types):
    symbols = Dictionary()
    for i in range(types - len(symbols)):
        symbols.add_symbol(str(i), n=types - i)
    return symbols


if __name__ == "__main__":
    with open(sys.argv.pop(1)) as file:
        wanted = json.load(file)
    dictionaries = {types: dictionary(types) for types in {types for *_, types in wanted}}
    print(json.dumps([parameters(family, arch, words, dictionaries[types]) for family, arch, words, types in wanted]))
