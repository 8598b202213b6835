"""A --user-dir that makes the layers in $USELESS of a language model useless: their output is nothing much, and frozen.

To see whether learned drop rates find them. The layers add to their input, as pre-norm ones do.
"""

from __future__ import annotations

import os

from layerdrop_plugin.fairseq_adapter.hooks import wrap
from layerdrop_plugin.fairseq_adapter.modeling.transformer_lm import LayerDropTransformerLanguageModel


def build_model(original, *args, **kwargs):
    model = original(*args, **kwargs)
    for i in map(int, os.environ["USELESS"].split(",")):
        layer = model.decoder.layers[i]
        layer.self_attn.out_proj.weight.data.mul_(1e-4)
        layer.fc2.weight.data.mul_(1e-4)
        for name, parameter in layer.named_parameters():
            parameter.requires_grad = "learned_rate" in name
    return model


wrap(LayerDropTransformerLanguageModel, "build_model", build_model)
