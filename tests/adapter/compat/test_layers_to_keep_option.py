"""fairseq's own architectures take a specification of layers, from the command line and from YAML."""

from __future__ import annotations

import pytest
from fairseq.models.transformer import TransformerConfig
from fairseq.models.transformer_lm import TransformerLanguageModelConfig
from omegaconf import OmegaConf


@pytest.mark.parametrize("spec", ["every_other:2", "0,2"])
def test_the_command_line_of_a_stock_model(spec, configure, data, tiny):
    options = ["--arch", "transformer", *tiny["transformer"], "--decoder-layers-to-keep", spec]
    assert configure(data["transformer"], *options).model.decoder_layers_to_keep == spec


@pytest.mark.parametrize("spec", ["0,2", "every_other:2", [0, 2]])
def test_yaml_of_stock_models(spec):
    lm = OmegaConf.merge(OmegaConf.structured(TransformerLanguageModelConfig), {"decoder_layers_to_keep": spec})
    assert lm.decoder_layers_to_keep == spec
    transformer = OmegaConf.merge(OmegaConf.structured(TransformerConfig), {"encoder": {"layers_to_keep": spec}})
    assert transformer.encoder.layers_to_keep == spec
