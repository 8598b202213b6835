"""What a target can express of fairseq's models: rules for options, one list for each target and family."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """The values that an option may have. The first stands for an option that is not set.

    Options without a rule change nothing at inference, or the target takes over every value.
    """

    option: str  # with underscores
    allowed: tuple[Any, ...]  # (None,) stands for every value that is off: None, False, 0, ""


def on(*options: str) -> tuple[Rule, ...]:
    """Return a rule for each of these options: it must be set."""
    return tuple(Rule(option, (True,)) for option in options)


def off(*options: str) -> tuple[Rule, ...]:
    """Return a rule for each of these options: it must not be set."""
    return tuple(Rule(option, (None,)) for option in options)


QUANT_NOISE = off("quant_noise_pq", "quant_noise_scalar")  # a layer more, or rounded weights, at inference too
OTHER_LAYERS = off("base_layers", "scale_fc", "scale_attn", "scale_heads", "scale_resids")
ADAPTIVE = off("adaptive_input", "adaptive_softmax_cutoff")
CTRANSLATE2 = (
    *ADAPTIVE,
    *OTHER_LAYERS,
    *QUANT_NOISE,
    *off("no_token_positional_embeddings", "decoder_xformers_att_config"),
    Rule("activation_fn", ("relu", "gelu", "gelu_accurate", "gelu_fast")),
)

CTRANSLATE2_TRANSLATION = (
    *CTRANSLATE2,
    *off("cross_self_attention", "no_cross_attention", "encoder_xformers_att_config", "no_decoder_final_norm"),
    *off("merge_src_tgt_embed"),  # of fairseq-fixed
    *off("full_context_alignment"),  # scores would be the same, alignments others
)
CTRANSLATE2_LANGUAGE_MODEL = (
    *CTRANSLATE2,
    *off("character_embeddings", "self_target", "past_target"),
    Rule("output_dictionary_size", (-1,)),
)
CTRANSLATE2_PAIRS = off("encoder_langtok", "decoder_langtok")  # they take the place of </s>, which CTranslate2 puts
CTRANSLATE2_MULTILINGUAL = off("lang_tok_replacing_bos_eos", "source_dict", "target_dict", "fixed_dictionary")
"""`ctranslate2.converters.FairseqConverter` (4.8) itself refuses some of these, fails at others, and converts
models with OTHER_LAYERS, QUANT_NOISE or cross_self_attention as if they had none."""

ROBERTA = (
    *QUANT_NOISE,
    *on("encoder_learned_pos", "layernorm_embedding", "no_scale_embedding"),
    *off("encoder_normalize_before", "no_token_positional_embeddings", "adaptive_input"),
    *off("encoder_xformers_att_config", "spectral_norm_classification_head"),
    Rule("mha_heads_to_keep", (-1,)),
    Rule("ffn_blocks_to_remove", (-1,)),
)
MASKED_LM = (*ROBERTA, Rule("activation_fn", ("gelu",)))  # the masked LM's head of Hugging Face has no other
CLASSIFIER = (
    *ROBERTA,
    Rule("activation_fn", ("gelu", "relu", "gelu_accurate", "gelu_fast", "tanh")),
    Rule("pooler_activation_fn", ("tanh",)),
)

BART = (
    *ADAPTIVE,
    *OTHER_LAYERS,
    *QUANT_NOISE,
    *on("encoder_learned_pos", "decoder_learned_pos", "layernorm_embedding", "share_all_embeddings"),
    *off("encoder_normalize_before", "decoder_normalize_before", "no_token_positional_embeddings"),
    *off("encoder_xformers_att_config", "decoder_xformers_att_config", "cross_self_attention", "no_cross_attention"),
    *off("merge_src_tgt_embed"),  # of fairseq-fixed
    Rule("activation_fn", ("gelu", "relu", "gelu_accurate", "gelu_fast", "tanh")),
)

SPEECH = (
    *off("quantize_input", "conv_pos_batch_norm"),  # the latter of fairseq's main
    Rule("layer_type", ("transformer",)),
    Rule("pos_conv_depth", (1,)),
    Rule("crop_seq_to_multiple", (1,)),
    Rule("activation_fn", ("gelu", "relu", "gelu_accurate", "gelu_fast", "tanh")),
)


def check(options: Namespace, rules: Sequence[Rule], target: str) -> None:
    """Refuse what the target can't express.

    Args:
        options: complete, as the architecture's function leaves them.

    Raises:
        ValueError: one line with the option, what the target wants, and the value.
    """
    for rule in rules:
        value = getattr(options, rule.option, rule.allowed[0])
        if value not in rule.allowed and (value or rule.allowed != (None,)):
            refuse(rule.option, _wanted(rule), target, value)


def check_equal(options: Namespace, one: str, other: str, target: str) -> None:
    """Refuse two options that differ.

    Raises:
        ValueError: as `check`.
    """
    value, second = getattr(options, one), getattr(options, other)
    if value != second:
        refuse(one, f"the same as `{_flag(other)}`, which is {second!r},", target, value)


def refuse(option: str, wanted: str, target: str, value: Any) -> None:
    """Raise the error for an option's value.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"`{_flag(option)}` must be {wanted} for {target}, but is {value!r}.")


def _wanted(rule: Rule) -> str:
    if rule.allowed[0] is True:  # 1 equals it
        return "on"
    return "off" if rule.allowed == (None,) else " or ".join(map(str, rule.allowed))


def _flag(option: str) -> str:
    return "--" + option.replace("_", "-")
