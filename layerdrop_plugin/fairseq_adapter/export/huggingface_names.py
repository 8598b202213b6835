"""The weights and settings of fairseq's RoBERTa under the names of Hugging Face.

transformers no longer has a converter (5.x), or has one that needs the internet (4.x).
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

MASKED_LM = "masked_lm"
"""What stands for the masked LM's head where a classification head is named."""

ENCODER = "encoder.sentence_encoder"
EMBEDDINGS = {
    "word_embeddings": "embed_tokens",
    "position_embeddings": "embed_positions",
    "LayerNorm": "layernorm_embedding",
}
LAYER = {
    "attention.self.query": "self_attn.q_proj",
    "attention.self.key": "self_attn.k_proj",
    "attention.self.value": "self_attn.v_proj",
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "self_attn_layer_norm",
    "intermediate.dense": "fc1",
    "output.dense": "fc2",
    "output.LayerNorm": "final_layer_norm",
}
MASKED_LM_HEAD = {part: part for part in ("dense", "layer_norm")}
CLASSIFICATION_HEAD = {part: part for part in ("dense", "out_proj")}
ACTIVATIONS = {"gelu": "gelu", "relu": "relu", "tanh": "tanh", "gelu_accurate": "gelu_new", "gelu_fast": "gelu_new"}


def weights(ours: Any, head: str) -> dict[str, Tensor]:
    """Return the weights of fairseq's model, with one of its heads, under Hugging Face's names."""
    state = ours.state_dict()
    theirs: dict[str, Tensor] = {}

    def take(new: str, old: str, parts: dict[str, str]) -> None:
        for part, name in parts.items():
            for kind in ("weight", "bias"):
                if f"{old}.{name}.{kind}" in state:
                    theirs[f"{new}.{part}.{kind}"] = state[f"{old}.{name}.{kind}"]

    take("roberta.embeddings", ENCODER, EMBEDDINGS)
    for i in range(len(ours.encoder.sentence_encoder.layers)):
        take(f"roberta.encoder.layer.{i}", f"{ENCODER}.layers.{i}", LAYER)
    if head == MASKED_LM:
        take("lm_head", "encoder.lm_head", MASKED_LM_HEAD)
        theirs["lm_head.decoder.weight"] = state["encoder.lm_head.weight"]
        theirs["lm_head.decoder.bias"] = theirs["lm_head.bias"] = state["encoder.lm_head.bias"]
    else:
        take("classifier", f"classification_heads.{head}", CLASSIFICATION_HEAD)
    width = state[f"{ENCODER}.embed_tokens.weight"].shape[1]
    theirs["roberta.embeddings.token_type_embeddings.weight"] = torch.zeros(1, width)  # fairseq has none
    return theirs


def config(options: Namespace, ours: Any, head: str, labels: Sequence[str] | None = None) -> dict[str, Any]:
    """Return what `transformers.RobertaConfig` takes; `labels` are the names of the head's classes, if known."""
    encoder = ours.encoder.sentence_encoder
    settings = {
        "vocab_size": encoder.embed_tokens.num_embeddings,
        "hidden_size": encoder.embed_tokens.embedding_dim,
        "num_hidden_layers": len(encoder.layers),
        "num_attention_heads": options.encoder_attention_heads,
        "intermediate_size": options.encoder_ffn_embed_dim,
        "hidden_act": ACTIVATIONS[options.activation_fn],
        "hidden_dropout_prob": options.dropout,
        "attention_probs_dropout_prob": options.attention_dropout,
        "classifier_dropout": options.pooler_dropout,
        "max_position_embeddings": encoder.embed_positions.num_embeddings,  # two more than positions, as in fairseq
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "bos_token_id": 0,
        "pad_token_id": encoder.padding_idx,
        "eos_token_id": 2,
        "tie_word_embeddings": not options.untie_weights_roberta,
    }
    if head != MASKED_LM:
        settings["num_labels"] = ours.classification_heads[head].out_proj.out_features
    if labels is not None:
        settings["id2label"] = dict(enumerate(labels))
        settings["label2id"] = {label: number for number, label in enumerate(labels)}
    return settings
