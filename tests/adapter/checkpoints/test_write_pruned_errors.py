"""What layerdrop-prune refuses."""

from __future__ import annotations

import argparse
import os

import pytest
import torch
from shared.pruned_files import saved  # noqa: F401  fixtures

from layerdrop_plugin.cli.prune import main
from layerdrop_plugin.fairseq_adapter.checkpoints.write_pruned import prune_checkpoint

SHARD = (
    "`CKPT` must be a whole checkpoint, but {} is one of several shards; "
    "fairscale's FullyShardedDataParallel.consolidate_shard_weights makes one model of them."
)


NO_OPTIMIZER = "`--keep-optimizer` must be left out for {}: its optimizer's state can't be carried over, as {}."


DEFAULT = ["--decoder", "0", "-o", "out.pt"]


TWO_GROUPS = {"state": {}, "param_groups": [{"params": [0]}] * 2}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["no.pt", *DEFAULT], "`CKPT` must be the file of a checkpoint, but no.pt does not exist."),
        ([".", *DEFAULT], "`CKPT` must be the file of a checkpoint, but . is a folder."),
        (
            ["text.pt", *DEFAULT],
            "`CKPT` must be the file of a checkpoint, but text.pt is damaged or no checkpoint at all.",
        ),
        (
            ["weights.pt", *DEFAULT],
            "a checkpoint must be one of fairseq, but weights.pt lacks the entries `model` and `cfg` or `args`.",
        ),
        (["none.pt", *DEFAULT], "a checkpoint must be one of fairseq, but none.pt has no weights in `model`."),
        (["model-shard0.pt", *DEFAULT], SHARD.format("model-shard0.pt")),
        (["flat.pt", *DEFAULT], SHARD.format("flat.pt")),
        (
            ["model.pt", "-o", "out.pt"],
            "one of `--encoder`, `--decoder`, `--stock` and `--dtype` must be given, but none is.",
        ),
        (
            ["model.pt", "-o", "out.pt", "--keep-optimizer"],
            "one of `--encoder`, `--decoder`, `--stock` and `--dtype` must be given, but none is.",
        ),
        (["model.pt", "--decoder", "0"], "the following arguments are required: -o/--output"),
        (["model.pt", "-o", "out.pt", "--decoder", ""], "`--decoder` must keep at least one layer, but is '' instead."),
        (
            ["no.pt", "-o", "out.pt", "--encoder", "every_other:x"],  # said before anything is read
            "`--encoder`: the K of 'every_other:K' must be a whole number of at least 1, "
            "but is 'x' in 'every_other:x'.",
        ),
        (
            ["model.pt", "-o", "out.pt", "--decoder", "0,2"],
            "`--decoder` must name layers from 0 to 1, but has 2 in '0,2'.",
        ),
        (
            ["half.pt", "-o", "out.pt", "--decoder", "0,1"],
            "`--decoder` must name layers from 0 to 0, but has 1 in '0,1'. "
            "The checkpoint was pruned before and holds decoder layers [1] of 2.",
        ),
        (
            ["model.pt", "-o", "out.pt", "--decoder", "learned:1"],
            "`--decoder` must not be 'learned:1' where no drop rates were learned (with --*-layerdrop-learned).",
        ),
        (
            ["model.pt", "-o", "out.pt", "--encoder", "0"],
            "`--encoder` must be left out: the model has no encoder (got '0').",
        ),
        (
            ["model.pt", "-o", "out.pt", "--dtype", "int8"],
            "argument --dtype: must be one of float32, float16, bfloat16, but is 'int8' instead.",
        ),
        (
            ["large.pt", "-o", "out.pt", "--dtype", "float16"],
            "`--dtype` must have room for the weights, but in float16 some of `decoder.layers.0.w` are infinite.",
        ),
        (["model.pt", *DEFAULT, "--keep-optimizer"], NO_OPTIMIZER.format("model.pt", "there is none")),
        (
            ["groups.pt", *DEFAULT, "--keep-optimizer"],
            NO_OPTIMIZER.format("groups.pt", "it is sharded or has several parameter groups"),
        ),
        (
            ["encoder.pt", "-o", "out.pt", "--stock", "--keep-optimizer"],
            "`--keep-optimizer` must be left out with `--stock` for a model with an encoder, "
            "whose weights fairseq 0.12.2 counts twice in its optimizer.",
        ),
        (
            ["mine.pt", "-o", "out.pt", "--stock"],
            "`--stock` must be for an architecture of fairseq's, or layerdrop_ before its name, but 'mine' is none.",
        ),
        (
            ["model.pt", "--decoder", "0", "-o", "no/out.pt"],
            "`--output` must be in a folder that exists, but is 'no/out.pt' instead.",
        ),
        (
            ["model.pt", "--decoder", "0", "-o", "half.pt"],
            "`--output` must be a new file, but half.pt exists; --force replaces it.",
        ),
        (
            ["model.pt", "--decoder", "0", "-o", "model.pt", "--force"],
            "`--output` must be another file than the checkpoint, but is model.pt.",
        ),
        (
            ["model.pt", "--decoder", "0", "-o", "link.pt", "--force"],
            "`--output` must be another file than the checkpoint, but is link.pt.",
        ),
        (
            ["model.pt", *DEFAULT, "--json", "half.pt"],
            "`--json` must be a new file, but half.pt exists; --force replaces it.",
        ),
        (
            ["model.pt", *DEFAULT, "--force", "--json", "./model.pt"],
            "`--json` must be another file than model.pt, but is ./model.pt.",
        ),
        (
            ["model.pt", *DEFAULT, "--force", "--csv", "out.pt"],
            "`--csv` must be another file than out.pt, but is out.pt.",
        ),
        (
            ["model.pt", "--decoder", "0", "-o", "out\udcff.pt"],
            r"`--output` must be in UTF-8, but is 'out\udcff.pt' instead.",
        ),
        (
            ["unnamed.pt", "-o", "out.pt", "--stock"],
            "`--stock` must be for a checkpoint that names its architecture, but this one does not.",
        ),
        (
            ["base.pt", *DEFAULT],
            "`--decoder` must be left out: the decoder's BASE layers can't be pruned.",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_line_for_what_is_wrong(argv, message, saved, tmp_path, error_of):
    prune_checkpoint(saved(), "half.pt", {"decoder": "1"})
    saved(name="model-shard0.pt")
    saved({"decoder.layers.0.w": torch.tensor([1e5])}, "large.pt")
    saved({"flat_param_0": torch.zeros(1)}, "flat.pt")
    saved({"encoder.layers.0.w": torch.zeros(1)}, "encoder.pt")
    saved(name="none.pt", model=None)
    saved(name="mine.pt", cfg={"model": argparse.Namespace(arch="mine")})
    saved(name="unnamed.pt", cfg={})
    saved(name="base.pt", cfg={"model": argparse.Namespace(arch="transformer_lm", decoder_layers=1, base_layers=1)})
    saved(name="groups.pt", last_optimizer_state=TWO_GROUPS)
    torch.save({"w": torch.zeros(1)}, "weights.pt")
    (tmp_path / "text.pt").write_text("no checkpoint\n" * 10)
    os.symlink("model.pt", "link.pt")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert error_of(main, *argv) == message
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_force_replaces(saved):
    saved(name="out.pt")
    main([saved(), "-o", "out.pt", "--decoder", "1", "--force"])
    assert list(torch.load("out.pt")["layerdrop"]) == ["decoder"]


def test_help_names_every_option_and_has_examples(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text, examples = capsys.readouterr().out.split("\nexamples:\n")
    assert all(f"  {word}" in text for word in ("-o", "--encoder", "--decoder", "--stock", "--dtype", "--keep-opt"))
    assert len(examples.splitlines()) == 4
    assert all(line.startswith("  layerdrop-prune checkpoint_") for line in examples.splitlines())
