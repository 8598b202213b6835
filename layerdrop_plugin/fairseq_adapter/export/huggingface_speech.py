"""The weights and settings of fairseq's wav2vec 2.0 and HuBERT for Hugging Face, whose two models have the same names.

What only their pretraining needs has no place there: quantizer, projections to targets, embeddings of labels.
"""

from __future__ import annotations

import warnings
from argparse import Namespace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from ..options.config import get
from . import source
from .huggingface_names import ACTIVATIONS
from .source import Source

NAMES = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert"}
"""How the classes of each family begin in transformers."""

PRETRAINING = ("quantizer.", "project_q.", "final_proj.", "target_glu.", "label_embs_concat")
FRAMES = 5
PARTS = {
    "feature_projection.layer_norm": "layer_norm",
    "feature_projection.projection": "post_extract_proj",
    "encoder.layer_norm": "encoder.layer_norm",
}
POSITIONS = {
    f"encoder.pos_conv_embed.conv.{name}": f"encoder.pos_conv.0.{name}" for name in ("weight_g", "weight_v", "bias")
}
"""Whole names. Newer torch calls the two weights otherwise, but loads them by these names."""
LAYER = {
    **{f"attention.{part}_proj": f"self_attn.{part}_proj" for part in ("q", "k", "v", "out")},
    "layer_norm": "self_attn_layer_norm",
    "feed_forward.intermediate_dense": "fc1",
    "feed_forward.output_dense": "fc2",
    "final_layer_norm": "final_layer_norm",
}


def fairseqs(model: Source) -> Any:
    """Return fairseq's model without what only pretraining needs."""
    from fairseq.models import build_model

    options = Namespace(**{**vars(model.options), "label_rate": 1.0, "encoder_layerdrop": 0.0})
    labels = SimpleNamespace(cfg=SimpleNamespace(sample_rate=1), dictionaries=[None])  # HuBERT then has none of them
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch, for the weight norm that fairseq calls
        ours = build_model(options, labels)
    ours.remove_pretraining_modules()
    with source.fitting():
        ours.load_state_dict({k: w for k, w in model.checkpoint.weights.items() if not k.startswith(PRETRAINING)})
    return ours.eval()


def weights(ours: Any) -> dict[str, Tensor]:
    """Return the weights of fairseq's model under Hugging Face's names."""
    state = ours.state_dict()
    theirs = {new: state[old] for new, old in POSITIONS.items()}
    theirs["masked_spec_embed"] = state["mask_emb"]
    if ours.post_extract_proj is None:  # as wide as the layers; Hugging Face projects all the same
        theirs["feature_projection.projection.weight"] = torch.eye(ours.embed)
        theirs["feature_projection.projection.bias"] = torch.zeros(ours.embed)
    for new, old in _modules(ours).items():
        theirs.update({f"{new}.{w}": state[f"{old}.{w}"] for w in ("weight", "bias") if f"{old}.{w}" in state})
    return theirs


def _modules(ours: Any) -> dict[str, str]:
    """Return fairseq's name of each module by Hugging Face's; those that a model lacks have no weights."""
    modules = dict(PARTS)
    for i in range(len(ours.feature_extractor.conv_layers)):
        old, new = (f"feature_extractor.conv_layers.{i}{part}" for part in ("", ".conv"))
        modules[new] = f"{old}.0"
        normed = ours.feature_extractor.conv_layers[i][2]  # the norm of groups, the norm of layers, or no norm
        modules[f"{old}.layer_norm"] = f"{old}.2.1" if isinstance(normed, torch.nn.Sequential) else f"{old}.2"
    for i in range(len(ours.encoder.layers)):
        modules.update({f"encoder.layers.{i}.{new}": f"encoder.layers.{i}.{old}" for new, old in LAYER.items()})
    return modules


def config(model: Source, ours: Any) -> dict[str, Any]:
    """Return what `transformers.Wav2Vec2Config` or `HubertConfig` takes.

    Masks of time and features, which act in trainings only, are left at its defaults.
    """
    from fairseq.models import MODEL_DATACLASS_REGISTRY

    options = MODEL_DATACLASS_REGISTRY[model.family].from_namespace(model.options)  # complete
    convolutions = [layer[0] for layer in ours.feature_extractor.conv_layers]
    return {
        "hidden_size": options.encoder_embed_dim,
        "num_hidden_layers": len(ours.encoder.layers),
        "num_attention_heads": options.encoder_attention_heads,
        "intermediate_size": options.encoder_ffn_embed_dim,
        "hidden_act": ACTIVATIONS[str(options.activation_fn)],
        "hidden_dropout": options.dropout,
        "attention_dropout": options.attention_dropout,
        "activation_dropout": options.activation_dropout,
        "feat_proj_dropout": options.dropout_input,
        "layerdrop": 0.0,
        "layer_norm_eps": 1e-5,
        "do_stable_layer_norm": options.layer_norm_first,
        "feat_extract_norm": "layer" if str(options.extractor_mode) == "layer_norm" else "group",
        "feat_extract_activation": "gelu",
        "conv_dim": [convolution.out_channels for convolution in convolutions],
        "conv_kernel": [convolution.kernel_size[0] for convolution in convolutions],
        "conv_stride": [convolution.stride[0] for convolution in convolutions],
        "conv_bias": options.conv_bias,
        "num_conv_pos_embeddings": options.conv_pos,
        "num_conv_pos_embedding_groups": options.conv_pos_groups,
    }


def extractor(options: Namespace) -> Any:
    """Return what makes the model's input of sound, as its training in fairseq did."""
    from transformers import Wav2Vec2FeatureExtractor

    return Wav2Vec2FeatureExtractor(
        sampling_rate=get(options, "sample_rate", 16000),
        do_normalize=get(options, "normalize", False),
        return_attention_mask=True,
    )


@torch.no_grad()
def hidden_states(ours: Any, theirs: Any) -> tuple[Tensor, Tensor]:
    """Return the last hidden states, of B x T x C, of both models for made-up sound."""
    samples = FRAMES
    for layer in reversed(ours.feature_extractor.conv_layers):
        samples = (samples - 1) * layer[0].stride[0] + layer[0].kernel_size[0]
    sound = torch.randn(2, samples, generator=torch.Generator().manual_seed(1))
    return ours(sound, mask=False, features_only=True)["x"], theirs(sound).last_hidden_state
