"""Speech models around a wav2vec 2.0 or HuBERT: the encoder's depth is in the options that they hold of that."""

from __future__ import annotations

from argparse import Namespace

import pytest
import torch
from fairseq import checkpoint_utils, models
from shared.by_hand import build, cut, equal, options_of, save
from shared.tiny_families import TINY, TOKENS, Tiny, WordsTask, waves
from shared.versions import FAIRSEQ_FIXED

from layerdrop_plugin.fairseq_adapter.checkpoints import write_pruned
from layerdrop_plugin.fairseq_adapter.checkpoints.describe import describe
from layerdrop_plugin.fairseq_adapter.checkpoints.write_pruned import prune_checkpoint

DECODER = {
    **{"decoder_layers": 4, "decoder_embed_dim": 16, "decoder_ffn_embed_dim": 24, "decoder_attention_heads": 2},
    **{"max_target_positions": 64, "autoregressive": True, "encoder_embed_dim": 16},
}
NEWER = {"load_ema": False, "freeze_regex": None} if FAIRSEQ_FIXED else {}
PRETRAINED = {
    "wav2vec2": {"_name": "audio_pretraining", "data": ".", "normalize": False},
    "hubert": {"_name": "hubert_pretraining", "data": ".", "normalize": False, "fine_tuning": False, "labels": ["km"]},
}


class FineTuning(WordsTask):
    """A task whose state has no files to read."""

    def state_dict(self):
        return {"dictionaries": [self.words]}


def listen(model):
    return model(source=waves(), padding_mask=torch.zeros(2, 800, dtype=torch.bool))


def listen_and_write(model):
    return model(source=waves(), padding_mask=torch.zeros(2, 800, dtype=torch.bool), prev_output_tokens=TOKENS)


def listen_and_translate(model):
    return model(src_tokens=waves(), src_lengths=torch.tensor([800, 700]), prev_output_tokens=TOKENS)


KEPT = [{"encoder": [0, 3], "decoder": [1, 2, 3]}, {"encoder": [2]}, {"decoder": [1, 3]}]
TASK = {"_name": "audio_finetuning", "data": ".", "normalize": False}
ENCODER = "w2v_encoder.w2v_model.encoder.layers"
FINE_TUNED = {
    "wav2vec_ctc": Tiny("wav2vec_ctc", {}, listen, {"encoder": (ENCODER,)}, FineTuning),
    "hubert_ctc": Tiny("hubert_ctc", {}, listen, {"encoder": (ENCODER,)}, FineTuning),
    "wav2vec_seq2seq": Tiny(
        "wav2vec_seq2seq",
        DECODER,
        listen_and_write,
        {"encoder": ("encoder.w2v_model.encoder.layers",), "decoder": ("decoder.layers",)},
    ),
    "xm_transformer": Tiny(
        "xm_transformer",
        {**DECODER, "adaptor_n_layers": 0, "adaptor_proj": True, "w2v_args": None, **NEWER},
        listen_and_translate,
        {"encoder": (f"encoder.{ENCODER}",), "decoder": ("decoder.layers",)},
    ),
}
if FAIRSEQ_FIXED:  # it builds none of the first, and of the second none whose encoder is not 512 wide
    del FINE_TUNED["hubert_ctc"], FINE_TUNED["wav2vec_seq2seq"]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A function from the name of a model to its untrained checkpoint."""
    folder = tmp_path_factory.mktemp("pretrained")

    def make(name):
        path = folder / f"{name}.pt"
        if not path.exists():
            state = {"task_state": {"dictionaries": [WordsTask().words]}} if name == "hubert" else {}
            save(build(TINY[name]), options_of(TINY[name]), path, task=PRETRAINED[name], **state)
        return str(path)

    return make


def fine_tuned(name, pretrained, path, form="cfg"):
    """A model fine-tuned for no update, and its checkpoint."""
    tiny = FINE_TUNED[name]
    given = {"w2v_path": pretrained("hubert" if name == "hubert_ctc" else "wav2vec2"), "normalize": False, "data": "."}
    given.update({} if name == "hubert_ctc" else {"ddp_backend": "c10d"})
    cfg = options_of(tiny._replace(options={**tiny.options, **given}))
    torch.manual_seed(2)
    model = models.build_model(cfg, tiny.task()).eval()
    if name == "wav2vec_ctc":  # so does the task `audio_finetuning`
        cfg.w2v_args = model.cfg.w2v_args
    return model, save(model, cfg, path, form, TASK)


def by_hand(name, pretrained, path, kept):
    """The model with only these layers."""
    model, _ = fine_tuned(name, pretrained, path)
    cut(model, FINE_TUNED[name].layers, kept)
    return model


def load(name, path, **overrides):
    (model,), cfg, _ = checkpoint_utils.load_model_ensemble_and_task(
        [path], arg_overrides=overrides, task=FINE_TUNED[name].task()
    )
    return model.eval(), cfg.model


def same(name, one, other):
    with torch.no_grad():
        return equal(FINE_TUNED[name].run(one), FINE_TUNED[name].run(other))


@pytest.mark.parametrize("name", FINE_TUNED)
def test_pruned_at_load(name, pretrained, tmp_path):
    model, path = fine_tuned(name, pretrained, tmp_path / "full.pt")
    for kept in KEPT:
        if kept.keys() <= FINE_TUNED[name].layers.keys():
            specs = {f"{stack}_layers_to_keep": ",".join(map(str, numbers)) for stack, numbers in kept.items()}
            pruned, _ = load(name, path, **specs)
            assert same(name, pruned, by_hand(name, pretrained, tmp_path / "again.pt", kept))
            assert not same(name, pruned, model)


@pytest.mark.parametrize("name", FINE_TUNED)
def test_written_by_layerdrop_prune(name, pretrained, tmp_path):
    _, path = fine_tuned(name, pretrained, tmp_path / "full.pt")
    kept = {stack: numbers for stack, numbers in KEPT[0].items() if stack in FINE_TUNED[name].layers}
    small = str(tmp_path / "small.pt")
    prune_checkpoint(path, small, {stack: ",".join(map(str, numbers)) for stack, numbers in kept.items()})
    assert same(name, load(name, small)[0], by_hand(name, pretrained, tmp_path / "again.pt", kept))
    stacks = describe(small).stacks
    assert {stack: (s.depth, s.attention_heads) for stack, s in stacks.items()} == {
        stack: (len(numbers), 2) for stack, numbers in kept.items()
    }


def test_options_of_before_2020(pretrained, tmp_path):
    """All in one Namespace, that of the inner model, too."""
    _, path = fine_tuned("wav2vec_ctc", pretrained, tmp_path / "new.pt")
    state = torch.load(path, weights_only=False)
    options = state["cfg"]["model"]
    inner = options.pop("w2v_args")
    state["args"] = Namespace(
        **{**TASK, "task": TASK["_name"], "arch": "wav2vec_ctc", **options},
        w2v_args=Namespace(**{**inner["model"], "arch": "wav2vec2", **inner["task"], "task": inner["task"]["_name"]}),
    )
    del state["cfg"]
    torch.save(state, tmp_path / "old.pt")
    small, _ = write_pruned.pruned(str(tmp_path / "old.pt"), {"encoder": "0,3"})
    assert small.args.w2v_args.encoder_layers == 2
    torch.save(small.as_state(), tmp_path / "small.pt")
    expected = by_hand("wav2vec_ctc", pretrained, tmp_path / "again.pt", {"encoder": [0, 3]})
    assert same("wav2vec_ctc", load("wav2vec_ctc", str(tmp_path / "small.pt"))[0], expected)


@pytest.mark.parametrize("name", [name for name in FINE_TUNED if name.endswith("_ctc")])
def test_fine_tuning_a_pruned_model_builds_its_depth(name, pretrained, tmp_path):
    kind = "hubert" if name == "hubert_ctc" else "wav2vec2"
    small = str(tmp_path / "small.pt")
    prune_checkpoint(pretrained(kind), small, {"encoder": "1,3"})
    model, _ = fine_tuned(name, lambda kind: small, tmp_path / "small_ctc.pt")
    expected = by_hand(name, pretrained, tmp_path / "ctc.pt", {"encoder": [1, 3]})
    features = [TINY[kind].run(m.w2v_encoder.w2v_model) for m in (model, expected)]
    assert equal(*features)


@pytest.mark.skipif(FAIRSEQ_FIXED, reason="it has no wav2vec_seq2seq of this size")
def test_the_options_of_the_model_inside_are_those_that_fairseq_would_take(pretrained, tmp_path):
    """Not what its file says to write to; dropout as it is set around it."""
    _, path = fine_tuned("wav2vec_seq2seq", pretrained, tmp_path / "full.pt")
    inner = torch.load(pretrained("wav2vec2"), weights_only=False)
    inner["cfg"]["common"]["tensorboard_logdir"] = "/somewhere"
    torch.save(inner, tmp_path / "inner.pt")
    state = torch.load(path, weights_only=False)
    state["cfg"]["model"].update(w2v_path=str(tmp_path / "inner.pt"), dropout=0.375, layerdrop=0.25)
    torch.save(state, path)
    small, _ = write_pruned.pruned(path, {"encoder": "0,3"})
    options = small.cfg["model"]["w2v_args"]
    assert options["common"] == {"seed": 1, "tensorboard_logdir": None}
    assert (options["model"]["encoder_layers"], options["task"]["_name"]) == (2, "audio_pretraining")
    assert (options["model"]["dropout"], options["model"]["encoder_layerdrop"]) == (0.375, 0.25)
    assert (options["criterion"], options["lr_scheduler"]) == (None, None)


@pytest.mark.skipif(FAIRSEQ_FIXED, reason="it has no wav2vec_seq2seq of this size")
def test_an_inner_model_that_is_not_there(pretrained, tmp_path):
    _, path = fine_tuned("wav2vec_seq2seq", pretrained, tmp_path / "full.pt")
    with pytest.raises(ValueError) as error:
        load("wav2vec_seq2seq", path, encoder_layers_to_keep="0", w2v_path="/none.pt")
    assert str(error.value) == "`w2v_path` must be the file of a checkpoint, but /none.pt does not exist."
