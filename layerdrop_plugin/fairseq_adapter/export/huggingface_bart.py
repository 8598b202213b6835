"""The weights and settings of fairseq's BART for Hugging Face, whose names are fairseq's but for the output layer."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import torch
from torch import Tensor

from ..options.config import get
from .huggingface_names import ACTIVATIONS

OUTPUT = "decoder.output_projection.weight"


def weights(ours: Any) -> dict[str, Tensor]:
    """Return the weights of fairseq's model under Hugging Face's names; classification heads are left out."""
    state = ours.state_dict()
    parts = ("encoder.", "decoder.")
    theirs = {f"model.{name}": w for name, w in state.items() if name.startswith(parts) and _is_taken(name)}
    theirs["model.shared.weight"] = state["encoder.embed_tokens.weight"]
    theirs["lm_head.weight"] = state[OUTPUT]
    theirs["final_logits_bias"] = torch.zeros(1, len(state[OUTPUT]))  # fairseq has none
    return theirs


def _is_taken(name: str) -> bool:
    return name != OUTPUT and not name.endswith(("version", "_float_tensor"))


def config(options: Namespace, ours: Any) -> dict[str, Any]:
    """Return what `transformers.BartConfig` takes."""
    positions = ours.encoder.embed_positions
    sizes = {
        f"{stack}_{theirs}": getattr(options, f"{stack}_{ours_}")
        for stack in ("encoder", "decoder")
        for theirs, ours_ in (
            ("layers", "layers"),
            ("attention_heads", "attention_heads"),
            ("ffn_dim", "ffn_embed_dim"),
        )
    }
    return {
        **sizes,
        "vocab_size": ours.encoder.embed_tokens.num_embeddings,
        "d_model": options.encoder_embed_dim,
        "max_position_embeddings": positions.num_embeddings - positions.padding_idx - 1,
        "activation_function": ACTIVATIONS[options.activation_fn],
        "scale_embedding": not options.no_scale_embedding,
        "dropout": options.dropout,
        "attention_dropout": options.attention_dropout,
        "activation_dropout": get(options, "activation_dropout", 0.0),
        "classifier_dropout": options.pooler_dropout,
        "bos_token_id": 0,
        "pad_token_id": positions.padding_idx,
        "eos_token_id": 2,
        "decoder_start_token_id": 2,
        "forced_eos_token_id": 2,
        "tie_word_embeddings": True,
    }
