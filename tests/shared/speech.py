"""Tiny speech models of fairseq's and ours, one batch of each, and what a forward pass gives."""

from __future__ import annotations

import copy
from argparse import Namespace
from typing import NamedTuple

import numpy as np
import torch
from fairseq import models
from fairseq.data import Dictionary
from fairseq.tasks import FairseqTask
from omegaconf import OmegaConf
from shared.versions import FAIRSEQ_FIXED

from layerdrop_plugin.dropping import LayerDropStack

DEPTH = 4
AUDIO = {
    **{"encoder_layers": DEPTH, "encoder_embed_dim": 8, "encoder_ffn_embed_dim": 12, "encoder_attention_heads": 2},
    **{"conv_feature_layers": "[(4, 10, 5), (4, 3, 2)]", "conv_pos": 4, "conv_pos_groups": 2, "final_dim": 4},
    **{"dropout": 0.0, "attention_dropout": 0.0, "mask_prob": 0.3, "mask_length": 3},
}
WAV2VEC2 = {**AUDIO, "quantize_targets": True, "latent_vars": 4, "latent_groups": 2, "num_negatives": 4}
HUBERT = {**AUDIO, "label_rate": 1600.0}  # one for each frame
TEXT = {
    **{f"{stack}_{size}": 8 for stack in ("encoder", "decoder") for size in ("embed_dim", "ffn_embed_dim")},
    **{f"{stack}_attention_heads": 2 for stack in ("encoder", "decoder")},
    **{"encoder_layers": DEPTH, "decoder_layers": DEPTH, "dropout": 0.0, "input_feat_per_channel": 4},
    **{"input_channels": 1, "max_source_positions": 99, "max_target_positions": 99},
}
PLACES = ("layers", "transformer_layers", "conformer_layers")


def pretrained(model, **task):
    return {"task": {"normalize": False, "data": "", **task}, "model": model}


class Speech(NamedTuple):
    """A model: its name in fairseq, its options, its stacks, and the option that is the encoder's drop rate."""

    name: str
    options: dict
    stacks: tuple = ("encoder",)
    rate: str = "encoder_layerdrop"


MODELS = {
    "wav2vec2": Speech("wav2vec2", WAV2VEC2),
    "wav2vec2 norm first": Speech("wav2vec2", {**WAV2VEC2, "layer_norm_first": True, "checkpoint_activations": True}),
    "wav2vec2 conformer": Speech("wav2vec2", {**WAV2VEC2, "layer_type": "conformer", "depthwise_conv_kernel_size": 3}),
    "wav2vec2 rel_pos": Speech(
        "wav2vec2",
        {
            **{**WAV2VEC2, "layer_type": "conformer", "depthwise_conv_kernel_size": 3},
            **{"pos_enc_type": "rel_pos", "attn_type": "espnet", "max_positions": 300},
        },
    ),
    "hubert": Speech("hubert", HUBERT),
    "wav2vec_ctc": Speech(
        "wav2vec_ctc",
        {"w2v_args": pretrained({"_name": "wav2vec2", **WAV2VEC2}, _name="audio_pretraining")},
        rate="layerdrop",
    ),
    "hubert_ctc": Speech(
        "hubert_ctc",
        {"w2v_args": pretrained({"_name": "hubert", **HUBERT}, _name="hubert_pretraining", labels=["km"])},
        rate="layerdrop",
    ),
    "s2t_transformer": Speech("s2t_transformer", {**TEXT, "conv_channels": 8}, ("encoder", "decoder")),
    "s2t_conformer": Speech("s2t_conformer", {**TEXT, "conv_channels": 8, "fp16": False}, ("encoder", "decoder")),
    "convtransformer": Speech("convtransformer", {**TEXT, "conv_out_channels": 2}, ("encoder", "decoder")),
}
if FAIRSEQ_FIXED:  # it builds neither: 'layer_idx' for conformer layers, 'autoregressive' of HubertCtcConfig
    for name in ("wav2vec2 conformer", "wav2vec2 rel_pos", "hubert_ctc"):
        del MODELS[name]


class Task(FairseqTask):
    """A task with a dictionary and no data."""

    def __init__(self):
        super().__init__(Namespace(sample_rate=16000))
        self.words = Dictionary()
        for letter in "abcd":
            self.words.add_symbol(letter)
        self.dictionaries = [self.words]
        self.state.merge_state_dict({"dictionaries": [None]})  # what HuBERT's pretraining would load

    source_dictionary = target_dictionary = property(lambda task: task.words)


def build(case, ours=True, seed=1, **options):
    """The model of a case, ours or fairseq's, in training; the seed is that of its weights and its masks."""
    name, held, *_ = MODELS[case]
    name = f"layerdrop_{name}" if ours else name
    torch.manual_seed(seed)
    held = {**copy.deepcopy(held), **options}
    if "decoder" in MODELS[case].stacks:
        return models.build_model(Namespace(arch=name, seed=seed, max_update=0, **held), Task())
    given = {"normalize": False, "data": ""} if "w2v_args" in held else {}
    given.update({"ddp_backend": "pytorch_ddp"} if name.endswith("wav2vec_ctc") else {})
    cfg = OmegaConf.create({"model": {"_name": name, **given, **held}, "common": {"seed": seed}})
    return models.build_model(cfg.model, Task())


def stacks(model):
    return {stack.name: stack for stack in model.modules() if isinstance(stack, LayerDropStack)}


def batch(case):
    """What the model of a case is called with: the second sound is shorter, and the number of frames is odd."""
    generator = torch.Generator().manual_seed(1)
    if "decoder" in MODELS[case].stacks:
        sound, words = torch.randn(2, 21, 4, generator=generator), torch.tensor([[2, 4, 5, 6], [2, 7, 4, 1]])
        return {"src_tokens": sound, "src_lengths": torch.tensor([21, 15]), "prev_output_tokens": words}
    sound, padding = torch.randn(2, 1005, generator=generator), torch.zeros(2, 1005, dtype=torch.bool)
    if "hubert" in case:
        return (
            {"source": sound[:, :995], "padding_mask": padding[:, :995]}
            if "ctc" in case
            else {
                **{"source": sound[:, :995], "padding_mask": padding[:, :995]},
                "target_list": [torch.randint(4, 8, (2, 99), generator=generator)],
            }
        )
    padding[1, 700:] = True
    return {"source": sound, "padding_mask": padding}


def output(model, case):
    """What a forward pass gives, which is random in no other way than by what is dropped."""
    torch.manual_seed(3)
    np.random.seed(3)
    out = model(**batch(case))
    if isinstance(out, tuple):
        return out[0]
    return out[next(name for name in ("x", "encoder_out", "logit_m_list") if name in out)]


def loss_of(out):
    """The sum of what a forward pass gives, some of it infinite."""
    parts = out if isinstance(out, list) else [out]
    return sum(part[part.isfinite()].square().sum() for part in parts)


def watch(stack):
    """A list that fills with the indices of the layers that run."""
    ran = []
    for i in range(len(stack)):
        stack[i].register_forward_hook(lambda *_, i=i: ran.append(i))
    return ran


def without_layers(case, kept):
    """The model of fairseq's, of which each stack has the layers `kept`, all others taken out by hand."""
    model = build(case, ours=False)
    for module in list(model.modules()):
        for name in PLACES:
            stack = "decoder" if "Decoder" in type(module).__name__ else "encoder"
            layers = getattr(module, name, None)
            if isinstance(layers, torch.nn.ModuleList) and len(layers) == DEPTH:
                setattr(module, name, torch.nn.ModuleList([layers[i] for i in kept[stack]]))
                module.num_layers = len(kept[stack])
    return model
