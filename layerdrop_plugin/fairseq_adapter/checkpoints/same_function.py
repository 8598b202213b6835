"""Whether a model computes with a checkpoint's weights what they were trained for.

Some options change what a model computes, but not the shapes of its weights. fairseq loads such weights in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..options.config import ModelConfig, get
from ..options.declared import flag_of
from ..options.family import architecture, known
from .checkpoint import Checkpoint

CHANGING = (
    *("encoder_attention_heads", "decoder_attention_heads", "activation_fn"),
    *("encoder_normalize_before", "decoder_normalize_before", "layer_norm_first", "layernorm_embedding"),
    *("encoder_learned_pos", "decoder_learned_pos", "no_token_positional_embeddings", "pos_enc_type"),
    *("no_scale_embedding", "cross_self_attention", "weight_softmax", "src_embedding_copy", "pred_length_offset"),
)
"""Options with which the same weights give other results; some also change which weights there are."""

ALL, DECODERS = "share_all_embeddings", "share_decoder_input_output_embed"

SHARING = (
    *(ALL, DECODERS, "tie_adaptive_weights", "tie_adaptive_proj"),
    *("share_encoder_embeddings", "share_decoder_embeddings", "share_encoders", "share_decoders"),
)
"""Options that make one weight of several: a checkpoint has it under each name."""

PARTING = ("untie_weights_roberta",)
"""Options that do the reverse."""

SAME = {"gelu_accurate": "gelu", "gelu_fast": "gelu"}
"""Values that give the same up to rounding."""


class Difference(NamedTuple):
    """An option that a model and a checkpoint both have, with other values."""

    name: str
    here: Any
    there: Any

    @property
    def is_harmless(self) -> bool:
        """Whether the results are the same at first: weights that were one are several with equal values."""
        return (self.name in SHARING and not self.here) or (self.name in PARTING and bool(self.here))

    def __str__(self) -> str:
        return f"`{flag_of(self.name)}` is {_shown(self.here)} instead of {_shown(self.there)}"


def check(checkpoint: Checkpoint, model: ModelConfig, path: str, is_users: bool = False) -> str | None:
    """Refuse a checkpoint whose weights give other results in a model; return a line where that is less sure.

    An option that one of them lacks, as in older checkpoints, counts as equal.

    Args:
        model: the configuration of the model.
        is_users: whether the model is of a user's own class, which may do as it likes with weights and options.

    Raises:
        ValueError: one line with each option that differs.
    """
    found = differences(checkpoint, model)
    if not found:
        return None
    listed, advice = ", ".join(map(str, found)), _advice(found, checkpoint, model)
    if all(difference.is_harmless for difference in found):
        return f"weights that are shared in {path} are trained apart, as {listed}; to share them, {advice}"
    family = known(checkpoint.architecture)
    if is_users or family is None or family != known(architecture(model)):
        return f"the weights of {path} may give other results in this model, as {listed}; for equal ones, {advice}"
    raise ValueError(f"the model must be built as that of {path}, but {listed}: {advice}.")


def differences(checkpoint: Checkpoint, model: ModelConfig) -> list[Difference]:
    """Return the options with which a model would compute something else than the checkpoint's, in one order.

    Where all embeddings are shared, the decoder's are: of the two options, the first then tells all.
    """
    found = {d.name: d for cfg in checkpoint.configurations[:1] for d in _differences(cfg, model)}
    if ALL in found and DECODERS in found and found[ALL].here == found[DECODERS].here:
        del found[DECODERS]
    return list(found.values())


def _differences(saved: ModelConfig, model: ModelConfig) -> Iterator[Difference]:
    for name in (*CHANGING, *SHARING, *PARTING):
        here, there = _value(model, name), _value(saved, name)
        if here is not None and there is not None and _comparable(here) != _comparable(there):
            yield Difference(name, here, there)


def _value(cfg: ModelConfig, name: str) -> Any:
    """Return an option's value, also before fairseq shares the decoder's embeddings, as all are."""
    if name == DECODERS and get(cfg, ALL):
        return True
    return get(cfg, name)


def _comparable(value: Any) -> str:
    return SAME.get(str(value), str(value))


def _shown(value: Any) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _advice(found: Sequence[Difference], checkpoint: Checkpoint, model: ModelConfig) -> str:
    """Return what to change in the command."""
    added = [flag_of(d.name) + ("" if d.there is True else f" {d.there}") for d in found if d.there is not False]
    left_out = [flag_of(d.name) for d in found if d.there is False]
    if flag_of(ALL) in left_out and any(get(cfg, DECODERS) for cfg in checkpoint.configurations[:1]):
        added.append(flag_of(DECODERS))
    parts = [f"add {' '.join(added)}"] if added else []
    parts += [f"leave out {' '.join(left_out)}"] if left_out else []
    arch, plain = checkpoint.architecture, (architecture(model) or "").replace("layerdrop_", "", 1)
    if left_out and arch and arch.replace("layerdrop_", "", 1) != plain:
        parts.append(f"take the --arch of the checkpoint, {arch}")  # this run's may set what is to be left out
    return " and ".join(parts)
