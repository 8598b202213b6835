"""Command lines whose --model-overrides is wrong: rows as in wrong_command_lines.py."""

from __future__ import annotations

from shared.wrong_command_lines import EVAL_LM, GENERATE, ODD, REFUSED, SEARCH, SWEEP, VALIDATE, Row

DICT = "`--model-overrides` must be a Python dict"
WEIGHTS = 'Unexpected key(s) in state_dict: "decoder.layers.3.self_attn.k_proj.weight"'


def overrides(value: str, expected: str, *commands: str) -> list[Row]:
    """Return a row for each command that takes --model-overrides, or for `commands`."""
    lines = {
        "layerdrop-search": SEARCH,
        "layerdrop-sweep": SWEEP,
        "fairseq-generate": GENERATE,
        "fairseq-interactive": GENERATE,
        "fairseq-validate": VALIDATE,
        "fairseq-eval-lm": EVAL_LM,
    }
    return [(name, f'{lines[name]} --model-overrides "{value}"', expected) for name in commands or lines]


LANGUAGE_MODELS = ("layerdrop-search", "layerdrop-sweep", "fairseq-eval-lm")
TRANSLATION = ("fairseq-generate", "fairseq-interactive", "fairseq-validate")

ROWS: list[Row] = [
    *overrides("", f"{DICT}, but is '' instead."),
    *overrides("{", f"{DICT}, but is '{{' instead."),
    *overrides("5", f"{DICT}, but is '5' instead."),
    *overrides("x", f"{DICT}, but is 'x' instead."),
    *overrides("{1: 2}", f"{DICT} of values by the names of options, but has 1 in '{{1: 2}}'."),
    *overrides(
        "{'decoder_layers': 3}",
        f"`--model-overrides` must fit {{lm}}, but is \"{{'decoder_layers': 3}}\": {WEIGHTS} and 15 more.",
        *LANGUAGE_MODELS,
    ),
    *overrides(
        "{'decoder_layers': 3}",
        f"`--model-overrides` must fit {{translation}}, but is \"{{'decoder_layers': 3}}\": {WEIGHTS} and 25 more.",
        *TRANSLATION,
    ),
    *overrides(
        "{'decoder_embed_dim': 15}",
        f"`--model-overrides` must fit {{lm}}, but is \"{{'decoder_embed_dim': 15}}\": {ODD}.",
        *LANGUAGE_MODELS,
    ),
    *overrides(
        "{'encoder_attention_heads': 3}",
        f"`--model-overrides` must fit {{translation}}, but is \"{{'encoder_attention_heads': 3}}\": {ODD}.",
        *TRANSLATION,
    ),
    *overrides("{'decoder_layers': -1}", "`--decoder-layers` must be a whole number of at least 1, but is -1 instead."),
    *overrides(
        "{'dropout': 'x'}",
        f"{REFUSED}: TypeError: '>' not supported between instances of 'str' and 'int'",
        "layerdrop-search",
    ),
]
