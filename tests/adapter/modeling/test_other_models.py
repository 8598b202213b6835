"""Models outside the three families train and load as without the plugin."""

from __future__ import annotations

import pytest
import torch

from layerdrop_plugin.fairseq_adapter.checkpoints.write_pruned import prune_checkpoint

pytestmark = pytest.mark.slow

COMMON = [
    *("--optimizer", "adam", "--lr", "1e-3", "--max-tokens", "500", "--max-update", "1", "--cpu"),
    *("--disable-validation", "--num-workers", "0"),
]
NARROW = ["--encoder-embed-dim", "16", "--decoder-embed-dim", "16"]
SMALL = {
    "fconv_iwslt_de_en": [
        "--encoder-layers",
        "[(16, 3)]",
        "--decoder-layers",
        "[(16, 3)]",
        "--decoder-out-embed-dim",
        "16",
    ],
    "lstm_wiseman_iwslt_de_en": ["--decoder-out-embed-dim", "16"],
    "lightconv_iwslt_de_en": ["--encoder-ffn-embed-dim", "16", "--decoder-ffn-embed-dim", "16"],
}


@pytest.mark.parametrize("arch", list(SMALL))
def test_other_architectures_train_and_load(arch, data, train, tmp_path):
    from fairseq import checkpoint_utils

    train(data["transformer"], "--arch", arch, *NARROW, *SMALL[arch], *COMMON, "--save-dir", tmp_path)
    path = tmp_path / "checkpoint_last.pt"
    (model,), cfg = checkpoint_utils.load_model_ensemble([str(path)])
    weights = torch.load(path)["model"]
    assert all(torch.equal(value, weights[name]) for name, value in model.named_parameters())
    assert cfg.model.arch == arch


def test_a_model_that_a_task_built_in_its_own_way_loads(full, data, tiny, make_trainer, tmp_path):
    words = ["--arch", "layerdrop_transformer", *tiny["transformer"], "--save-dir", tmp_path]
    trainer = make_trainer(data["transformer"], *words)
    del trainer._model.layerdrop_plan  # no `models.build_model` in a user's task
    trainer.load_checkpoint(str(full["transformer"]))
    assert trainer.get_num_updates() == 12


def test_an_lstm_is_not_pruned(data, train, tmp_path):
    """Its decoder's weights have the names of layers; of one layer, it needs one in the encoder, too."""
    deep = [*NARROW, "--encoder-layers", 2, "--decoder-layers", 2, "--save-dir", tmp_path]
    train(data["transformer"], "--arch", "lstm_wiseman_iwslt_de_en", *COMMON, *deep)
    for stack in ("encoder", "decoder"):
        with pytest.raises(ValueError) as error:
            prune_checkpoint(str(tmp_path / "checkpoint_last.pt"), str(tmp_path / "small.pt"), {stack: "0"})
        assert str(error.value) == (
            f"`--{stack}` must be left out: the layers of a lstm_wiseman_iwslt_de_en can't be pruned, "
            "as they are no transformer layers (got '0')."
        )
        assert not (tmp_path / "small.pt").exists()
