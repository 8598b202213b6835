"""What goes by layer beside the rates: `alignment_layer`, kernel sizes."""

from __future__ import annotations

import copy
import json
import os
import sys
from argparse import Namespace

import fairseq
import pytest
import torch
from fairseq import checkpoint_utils, options, utils
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from omegaconf import OmegaConf
from shared.untrained import untrained

from layerdrop_plugin.candidates import all_candidates, count_candidates, some_candidates
from layerdrop_plugin.cli import prune as prune_command
from layerdrop_plugin.cli import search as search_command
from layerdrop_plugin.cli import sweep as sweep_command
from layerdrop_plugin.fairseq_adapter.checkpoints import layer_settings
from layerdrop_plugin.fairseq_adapter.checkpoints.provenance import Pruned
from layerdrop_plugin.fairseq_adapter.errors.one_line import UserError
from layerdrop_plugin.fairseq_adapter.evaluation import evaluation
from layerdrop_plugin.fairseq_adapter.evaluation import search as layer_search
from layerdrop_plugin.fairseq_adapter.modeling.stacks import with_stacks
from layerdrop_plugin.fairseq_adapter.options.config import get

DROPPED = "`alignment_layer` must be one of the decoder layers that are kept, [0,2], but is 3 instead."
SIZE = [
    *("--encoder-layers", "4", "--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "24", "--decoder-layers", "4"),
    *("--decoder-ffn-embed-dim", "24", "--encoder-attention-heads", "2", "--decoder-attention-heads", "2"),
    *("--share-all-embeddings", "--task", "translation", "--optimizer", "adam", "--lr", "0.01", "--max-tokens", "300"),
    *("--cpu", "--seed", "1", "--no-progress-bar", "--num-workers", "0", "--no-epoch-checkpoints"),
]


@pytest.fixture(scope="module")
def aligned(data, train, tmp_path_factory):
    """A transformer_align after 2 updates whose alignments come from layer 3 of its 4."""
    folder = tmp_path_factory.mktemp("aligned")
    align = ["--arch", "transformer_align", "--alignment-layer", "3"]
    train(data["transformer"], *align, *SIZE, "--max-update", 2, "--save-dir", folder)
    return folder / "checkpoint_last.pt"


@pytest.mark.parametrize("make", [lambda **cfg: Namespace(**cfg), OmegaConf.create], ids=["args", "cfg"])
@pytest.mark.parametrize(
    ("given", "kept", "left"),
    [(3, (0, 3), 1), (-1, (1, 3), 1), (0, (0, 2), 0), (None, (0,), None), (-4, (0, 2), 0)],
)
def test_the_alignment_layer_is_renumbered(make, given, kept, left):
    options = {"alignment_layer": given, "decoder_layers": 4}
    cfg = make(**options) if make is not OmegaConf.create else make(options)
    changes = layer_settings.changed_options(cfg, {"decoder": Pruned(4, kept)})
    assert changes == ({} if given is None else {"alignment_layer": left})
    assert get(cfg, "alignment_layer") == given


def test_an_alignment_layer_that_is_dropped_is_refused():
    cfg = Namespace(alignment_layer=3, decoder_layers=4, decoder_kernel_size_list=[1, 2, 3, 4])
    with pytest.raises(ValueError) as error:
        layer_settings.changed_options(cfg, {"decoder": Pruned(4, (0, 2))})
    assert str(error.value) == DROPPED


def test_the_encoder_has_no_alignment_layer():
    assert layer_settings.changed_options(Namespace(alignment_layer=3), {"encoder": Pruned(4, (0, 2))}) == {}


@pytest.mark.parametrize(
    ("sizes", "left"),
    [([3, 7, 15], [3, 15]), ("[3, 7] + [15]", [3, 15]), ([31], None), ("[3] * 3", [3, 3]), (None, None)],
)
def test_kernel_sizes_follow_their_layers(sizes, left):
    cfg = Namespace(encoder_kernel_size_list=sizes, decoder_kernel_size_list=[5, 6])
    changes = layer_settings.changed_options(cfg, {"encoder": Pruned(3, (0, 2))})
    assert changes == ({} if left is None else {"encoder_kernel_size_list": left})
    assert cfg == Namespace(encoder_kernel_size_list=sizes, decoder_kernel_size_list=[5, 6])


OWN_DELETIONS = {"no_share_discriminator": True}
OWN_INSERTIONS = {"no_share_maskpredictor": True}
SHARED = {**OWN_DELETIONS, "share_discriminator_maskpredictor": True}


@pytest.mark.parametrize(
    ("exits", "options", "kept", "left"),
    [
        ("6,6,6", {}, (0, 2), "2,2,2"),  # fairseq's default, also with fewer layers
        ("4,3,4", {}, (1, 2, 3), "3,2,3"),
        ("2,3,4", OWN_DELETIONS, (2, 3), "2,1,2"),
        ("3,2,4", OWN_INSERTIONS, (2, 3), "1,2,2"),
        ("2,2,4", {**OWN_DELETIONS, **OWN_INSERTIONS}, (2, 3), "2,2,2"),
        ("2,2,4", SHARED, (2, 3), "2,2,2"),
    ],
)
def test_early_exits_count_the_layers_that_are_kept(exits, options, kept, left):
    cfg = Namespace(arch="levenshtein_transformer", early_exit=exits, **options)
    assert layer_settings.changed_options(cfg, {"decoder": Pruned(4, kept)}) == {"early_exit": left}
    assert layer_settings.changed_options(cfg, {"encoder": Pruned(4, kept)}) == {}


def test_an_early_exit_before_the_first_layer_that_is_kept_is_refused():
    cfg = Namespace(arch="levenshtein_transformer", early_exit="4,2,4")
    with pytest.raises(ValueError) as error:
        layer_settings.changed_options(cfg, {"decoder": Pruned(4, (2, 3))})
    assert str(error.value) == (
        "`early_exit` must be above the first decoder layer that is kept, 2, but is '4,2,4' instead."
    )


def test_alignments_of_a_pruned_decoder_come_from_the_same_layer(aligned, load_model, tokens):
    lengths = torch.tensor([5, 4])
    pruned, cfg = load_model(aligned, decoder_layers_to_keep="0,3")
    assert (cfg.alignment_layer, pruned.alignment_layer, len(pruned.decoder.layers)) == (1, 1, 2)
    by_hand, _ = load_model(aligned)
    by_hand.decoder.layers = torch.nn.ModuleList([by_hand.decoder.layers[0], by_hand.decoder.layers[3]])
    by_hand.alignment_layer = 1
    with torch.no_grad():
        logits, extra = pruned(tokens, lengths, tokens)
        expected, expected_extra = by_hand(tokens, lengths, tokens)
    assert torch.equal(logits, expected)
    assert torch.equal(extra["attn"][0], expected_extra["attn"][0])


def test_a_decoder_without_its_alignment_layer_is_refused_at_load_and_another_may_be_given(aligned, load_model):
    with pytest.raises(UserError) as error:
        load_model(aligned, decoder_layers_to_keep="0,2")
    assert str(error.value) == DROPPED
    model, _ = load_model(aligned, decoder_layers_to_keep="0,2", alignment_layer=2)
    assert (model.alignment_layer, len(model.decoder.layers)) == (1, 2)


@pytest.mark.slow
def test_training_builds_the_pruned_model_with_its_alignment_layer(aligned, data, make_trainer, train, tmp_path):
    argv = [data["transformer"], "--arch", "transformer_align", "--alignment-layer", "3", *SIZE, "--max-update", 3]
    argv += ["--restore-file", aligned, "--save-dir", tmp_path]
    with pytest.raises(UserError) as error:
        make_trainer(*argv, "--decoder-layers-to-keep", "0,2")
    assert str(error.value) == DROPPED
    train(*argv, "--decoder-layers-to-keep", "0,3")
    model = torch.load(tmp_path / "checkpoint_last.pt", weights_only=False)["cfg"]["model"]
    assert (model.decoder_layers, model.alignment_layer) == (2, 1)
    # Picked up once more, the run goes on from its own checkpoint.
    train(*argv, "--decoder-layers-to-keep", "0,3", "--max-update", 4)
    state = torch.load(tmp_path / "checkpoint_last.pt", weights_only=False)
    assert (state["cfg"]["model"].alignment_layer, state["optimizer_history"][-1]["num_updates"]) == (1, 4)


def test_training_may_take_alignments_from_another_layer_than_the_checkpoint(aligned, data, train, tmp_path):
    argv = [data["transformer"], "--arch", "transformer_align", "--alignment-layer", "2", *SIZE, "--max-update", 3]
    keep = ["--decoder-layers-to-keep", "0,2", "--restore-file", aligned, "--save-dir", tmp_path]
    train(*argv, *keep)
    model = torch.load(tmp_path / "checkpoint_last.pt", weights_only=False)["cfg"]["model"]
    assert (model.decoder_layers, model.alignment_layer) == (2, 1)


def test_layerdrop_prune_writes_the_layers_with_their_alignment_layer(aligned, tmp_path, load_model, error_of):
    out = tmp_path / "small.pt"
    assert error_of(prune_command.main, str(aligned), "--output", str(out), "--decoder", "0,2") == DROPPED
    assert not out.exists()
    prune_command.main([str(aligned), "--output", str(out), "--decoder", "0,3"])
    model, cfg = load_model(out)
    assert (cfg.alignment_layer, len(model.decoder.layers)) == (1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--stack", "encoder"], ["--stack", "decoder"], ["--strategy", "greedy"]])
def test_a_search_keeps_the_alignment_layer(options, aligned, data, tmp_path, capsys, load_model):
    argv = [str(data["transformer"]), "--path", str(aligned), "--cpu", "--keep", "2", *options]
    search_command.main([*argv, "--state", str(tmp_path / "state.json")])
    overrides = capsys.readouterr().out.splitlines()[-1].partition(" ")[2]
    chosen = eval(overrides.strip('"'))
    if options[-1] == "encoder":
        assert list(chosen) == ["encoder_layers_to_keep"]
    else:
        assert chosen["decoder_layers_to_keep"].endswith("3")
    model, _ = load_model(aligned, **chosen)
    assert model.alignment_layer == len(model.decoder.layers) - 1


@pytest.fixture(scope="module")
def pointing(data, configure, tmp_path_factory):
    """An untrained pointer-generator network, whose output mixes in the attention of layer 1 of its 4."""
    folder = os.path.join(os.path.dirname(fairseq.__file__), "examples", "pointer_generator", "pointer_generator_src")
    utils.import_user_module(Namespace(user_dir=folder))
    arch = ["--arch", "transformer_pointer_generator", "--alignment-layer", "1", "--source-position-markers", "4"]
    cfg = configure(data["transformer"], *arch, *SIZE)
    return untrained(cfg, tmp_path_factory.mktemp("pointing") / "full.pt")


def cut(model, kept):
    """Return a copy of a model with only these decoder layers, the alignment layer's new number set by hand."""
    small = copy.deepcopy(model)
    small.decoder.layers = torch.nn.ModuleList([small.decoder.layers[i] for i in kept])
    small.decoder.alignment_layer = kept.index(1)
    return small


@pytest.mark.slow
def test_a_pruned_pointer_generator_points_with_the_same_layer(pointing, load_model, tokens):
    lengths = torch.tensor([5, 4])
    pruned, cfg = load_model(pointing, decoder_layers_to_keep="1,3")
    full, _ = load_model(pointing)
    with torch.no_grad():
        assert torch.equal(pruned(tokens, lengths, tokens)[0], cut(full, [1, 3])(tokens, lengths, tokens)[0])
    assert (cfg.alignment_layer, cfg.decoder_layers) == (0, 2)
    with pytest.raises(UserError) as error:
        load_model(pointing, decoder_layers_to_keep="0,2")
    assert str(error.value) == (
        "`alignment_layer` must be one of the decoder layers that are kept, [0,2], but is 1 instead."
    )


@pytest.mark.parametrize("kept", [[1, 3], [0, 1]])
def test_while_some_layers_run_it_points_with_the_same_layer(kept, pointing, load_model, tokens):
    lengths = torch.tensor([5, 4])
    full, _ = load_model(pointing)
    expected = cut(full, kept)
    with_stacks(full)
    full.eval()
    with torch.no_grad(), full.decoder.layers.running(kept):
        logits, extra = full(tokens, lengths, tokens)
    with torch.no_grad():
        expected_logits, expected_extra = expected(tokens, lengths, tokens)
    assert torch.equal(logits, expected_logits)
    assert torch.equal(extra["attn"][0], expected_extra["attn"][0])


@pytest.mark.parametrize("stack", ["encoder", "decoder", "both"])
def test_scores_of_a_pointer_generator_are_those_of_one_set_after_another(stack, pointing, data, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pytest"])  # fairseq looks for --user-dir on it
    model = evaluation.load(str(pointing), "{}", [str(data["transformer"]), "--cpu"], pytest.fail)
    (batch,) = layer_search.chosen_batches(model, "valid", 1)
    plan = layer_search.plan(model, stack, [2], "exhaustive", "loss", 1)
    assert len(plan.candidates) == {"encoder": 6, "decoder": 3, "both": 18}[stack]
    with_layer_1 = {"encoder": ["every_other:2", "first:2", "last:2"], "decoder": ["first:2"], "both": ["first:2+2"]}
    assert list(plan.named) == with_layer_1[stack]
    found = list(layer_search.Scoring(model, plan, [batch])(0, plan.candidates))
    for candidate, values in zip(plan.candidates, found):
        with model.running(dict(zip(plan.stacks, candidate))):
            assert values == tuple(model.tally(batch))


@pytest.mark.slow
def test_a_sweep_leaves_out_what_lacks_the_alignment_layer(pointing, data, tmp_path, capsys, error_of):
    argv = [str(data["transformer"]), "--path", str(pointing), "--cpu", "--gen-subset", "valid", "--repeats", "1"]
    results = tmp_path / "sweep.json"
    options = ["--strategies", "first,last", "--stack", "decoder", "--depths", "2,1", "--json", str(results)]
    sweep_command.main([*argv, *options, "--importance", str(tmp_path / "layers.png"), "--samples", "9"])
    needs = "of full.pt, which needs layer 1 (`alignment_layer`)"
    assert [line for line in capsys.readouterr().err.splitlines() if "warning" in line] == [
        f"layerdrop-sweep: warning: last keeps decoder layers 2,3 {needs}: its row is left out",
        f"layerdrop-sweep: warning: first keeps decoder layers 0 {needs}: its row is left out",
        f"layerdrop-sweep: warning: last keeps decoder layers 3 {needs}: its row is left out",
    ]
    found = json.loads(results.read_text())
    assert [(row["strategy"], row["decoder"]) for row in found["rows"]] == [("full", "0,1,2,3"), ("first", "0,1")]
    missing = [(row["loss_without"] is None, row["subnetworks_without"] is None) for row in found["importance"]]
    assert missing == [(False, False), (True, True), (False, False), (False, False)]
    assert error_of(sweep_command.main, *argv, "--stack", "decoder", "--depths", "1", "--strategies", "last") == (
        f"`--strategies` must keep the layers that are needed, but last keeps decoder layers 3 {needs}."
    )


def test_candidates_with_needed_layers():
    assert all_candidates([2, 3], [1, 2], [(), (2,)]) == [
        ((0,), (0, 2)),
        ((0,), (1, 2)),
        ((1,), (0, 2)),
        ((1,), (1, 2)),
    ]
    assert count_candidates([2, 3], [1, 2], [(), (2,)]) == 4
    found = some_candidates([16], [8], 40, seed=1, needed=[(4,)])
    assert len(set(found)) == 40
    assert all(4 in kept and len(set(kept)) == 8 for (kept,) in found)


@pytest.mark.parametrize("kind", ["lightweight", "dynamic"])
def test_light_and_dynamic_convolutions_are_pruned(kind, data, configure, load_model, tmp_path, tokens):
    convolutions = ["--encoder-conv-type", kind, "--decoder-conv-type", kind, "--weight-softmax", "True"]
    convolutions += ["--encoder-kernel-size-list", "[3, 5, 7, 9]", "--decoder-kernel-size-list", "[3]"]
    cfg = configure(data["transformer"], "--arch", "lightconv", *SIZE, *convolutions)
    saved = untrained(cfg, tmp_path / "full.pt")
    overrides = {"encoder_layers_to_keep": "0,2", "decoder_layers_to_keep": "1,3"}
    pruned, cfg = load_model(saved, **overrides)
    assert (cfg.encoder_kernel_size_list, cfg.decoder_kernel_size_list) == ([3, 7], [3, 3])
    by_hand, _ = load_model(saved)
    by_hand.encoder.layers = torch.nn.ModuleList([by_hand.encoder.layers[i] for i in (0, 2)])
    by_hand.decoder.layers = torch.nn.ModuleList([by_hand.decoder.layers[i] for i in (1, 3)])
    with torch.no_grad():
        lengths = torch.tensor([5, 4])
        assert torch.equal(pruned(tokens, lengths, tokens)[0], by_hand(tokens, lengths, tokens)[0])


@pytest.mark.parametrize("task", ["translation", "translation_multi_simple_epoch"])  # with a dataclass, and without
def test_the_overrides_of_generation_leave_its_language_model_alone(task, data, full, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pytest"])
    argv = [str(data["transformer_lm"]), "--path", "mt.pt", "--lm-path", str(full["transformer_lm"]), "--task", task]
    argv += ["--source-lang", "en", "--target-lang", "de"]
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_generation_parser(), argv))
    utils.import_user_module(cfg.common)  # as fairseq-generate does first
    overrides = {"encoder_layers_to_keep": "0,2", "decoder_layers_to_keep": "0", "data": str(data["transformer_lm"])}
    (lm,), _ = checkpoint_utils.load_model_ensemble([str(full["transformer_lm"])], arg_overrides=overrides, task=None)
    assert len(lm.decoder.layers) == 4
    assert overrides["decoder_layers_to_keep"] == "0"
    cfg.generation.lm_path = None
    utils.import_user_module(cfg.common)  # of the next command: a language model like any other
    with pytest.raises(UserError, match="the model has no encoder"):
        checkpoint_utils.load_model_ensemble([str(full["transformer_lm"])], arg_overrides=overrides, task=None)
