"""Before `layerdrop-prune` says that it is done, fairseq has loaded what it wrote; without data."""

from __future__ import annotations

import argparse

import pytest
import torch

from layerdrop_plugin.cli.prune import main
from layerdrop_plugin.fairseq_adapter.checkpoints import layer_settings, loadable
from layerdrop_plugin.fairseq_adapter.checkpoints.write_pruned import prune_checkpoint

SIZE = [
    *("--encoder-layers", "4", "--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "24", "--decoder-layers", "4"),
    *("--decoder-ffn-embed-dim", "24", "--encoder-attention-heads", "2", "--decoder-attention-heads", "2"),
    *("--optimizer", "adam", "--lr", "0.01", "--max-tokens", "300", "--cpu", "--no-progress-bar", "--num-workers", "0"),
    *("--no-epoch-checkpoints", "--disable-validation", "--max-update", "1"),
]
CONVOLUTIONS = ["--weight-softmax", "True", "--encoder-kernel-size-list", "[3, 5, 7, 9]"]
CONVOLUTIONS += ["--decoder-kernel-size-list", "[3, 5, 7, 9]"]
LANGUAGE_MODEL = [
    *("--task", "language_modeling", "--tokens-per-sample", "32", "--decoder-embed-dim", "16", "--decoder-layers", "4"),
    *("--decoder-ffn-embed-dim", "24", "--decoder-attention-heads", "2", *SIZE[SIZE.index("--optimizer") :]),
]
ADAPTIVE = [
    *("--criterion", "adaptive_loss", "--adaptive-softmax-cutoff", "10,42", "--adaptive-input-cutoff", "10,42"),
    *("--decoder-input-dim", "16", "--decoder-output-dim", "16"),
]
MODELS = {
    "lightconv": ("transformer", [*SIZE, *CONVOLUTIONS]),
    "transformer_align": ("transformer", [*SIZE, "--alignment-layer", "3", "--source-lang", "de"]),
    "lightconv_lm": ("transformer_lm", [*LANGUAGE_MODEL, *CONVOLUTIONS[-2:]]),
    "transformer_lm_wiki103": ("transformer_lm", [*LANGUAGE_MODEL, *ADAPTIVE]),
}


@pytest.fixture(scope="module")
def trained(data, full, classifier, train, tmp_path_factory):
    """A function from a model's name to its checkpoint, trained for an update where no other test did so."""
    found = {**full, "classifier": classifier[1]}

    def make(name):
        if name not in found:
            family, options = MODELS[name]
            folder = tmp_path_factory.mktemp(name)
            train(data[family], "--arch", name, *options, "--save-dir", folder)
            found[name] = folder / "checkpoint_last.pt"
        return str(found[name])

    return make


@pytest.mark.parametrize("name", [*MODELS, "transformer", "transformer_lm", "roberta", "classifier"])
def test_what_was_pruned_is_loaded_without_a_word(name, trained, tmp_path, capsys):
    stack = "encoder" if name in ("roberta", "classifier") else "decoder"
    main([trained(name), "--output", str(tmp_path / "small.pt"), f"--{stack}", "0,3"])
    assert capsys.readouterr().err == ""
    assert torch.load(tmp_path / "small.pt")["layerdrop"][stack]["kept"] == [0, 3]


REFUSED = "`--output` must be a checkpoint that fairseq can load, but this one would not be: "


def test_what_fairseq_could_not_build_is_not_written(trained, tmp_path, error_of, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(layer_settings, "changed_options", lambda cfg, pruned: {})
    error = error_of(main, trained("lightconv"), "--output", "small.pt", "--encoder", "0,3")
    assert error == f"{REFUSED}encoder_kernel_size_list doesn't match encoder_layers"
    assert list(tmp_path.iterdir()) == []


def test_weights_that_do_not_fit_are_not_written(trained, tmp_path, error_of, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(layer_settings, "changed_options", lambda cfg, pruned: {"encoder_ffn_embed_dim": 25})
    (tmp_path / "small.pt").write_text("what was there")
    error = error_of(main, trained("transformer"), "--output", "small.pt", "--encoder", "0,3", "--force")
    assert error.startswith(f"{REFUSED}Error(s) in loading state_dict for LayerDropTransformerModel: size mismatch for")
    assert error.endswith("torch.Size([16, 24]) from checkpoint, the shape in current model is torch.Size([16, 25]).")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("small.pt", "what was there")]


def test_a_model_that_can_not_be_built_here_is_written_with_a_warning(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = torch.load(trained("transformer_lm"))
    state["cfg"]["model"]._name = state["cfg"]["model"].arch = "mine"
    torch.save(state, "mine.pt")
    main(["mine.pt", "--output", "small.pt", "--decoder", "0,3"])
    assert capsys.readouterr().err == (
        "layerdrop-prune: warning: whether fairseq can load small.pt was not tried, as it can't load mine.pt here: "
        "`--user-dir` does not name the folder that defines mine\n"
    )
    assert torch.load("small.pt")["cfg"]["model"].decoder_layers == 2


def test_in_python_the_warning_is_logged(tmp_path, caplog):
    path = str(tmp_path / "old.pt")
    torch.save({"model": {"decoder.layers.0.w": torch.zeros(1)}, "args": argparse.Namespace(decoder_layers=1)}, path)
    prune_checkpoint(path, str(tmp_path / "new.pt"), {"decoder": "0"})
    (record,) = [r for r in caplog.records if r.name.startswith("layerdrop_plugin")]
    assert record.getMessage().startswith(f"whether fairseq can load {tmp_path}/new.pt was not tried, as it can't load")


@pytest.mark.skipif(not hasattr(torch.device, "__enter__"), reason="before torch 2.0 there is no meta device for this")
def test_sizes_in_a_configuration_take_no_memory(trained, tmp_path):
    state = torch.load(trained("transformer"))
    state["cfg"]["model"].decoder_ffn_embed_dim = 10**12
    torch.save(state, tmp_path / "huge.pt")
    failure = loadable.check(str(tmp_path / "huge.pt"), str(tmp_path / "huge.pt"))
    assert failure.endswith("from checkpoint, the shape in current model is torch.Size([16, 1000000000000]).")
