"""Models that are not fairseq's own, and those of fairseq's whose layers can't be pruned."""

from __future__ import annotations

import os
from argparse import Namespace

import fairseq
import pytest
import torch
from fairseq import models, utils
from fairseq.models import MODEL_REGISTRY
from fairseq.models.lstm import LSTMModel
from fairseq.models.transformer import TransformerModel
from shared.by_hand import build, cut, equal, options_of, save
from shared.tiny_families import TEXT, TINY, TOKENS, Tiny, WordsTask, predict

from layerdrop_plugin import cli, families
from layerdrop_plugin.cli import describe, prune  # noqa: F401
from layerdrop_plugin.fairseq_adapter.checkpoints import pruning
from layerdrop_plugin.fairseq_adapter.checkpoints.checkpoint import Checkpoint
from layerdrop_plugin.fairseq_adapter.checkpoints.write_pruned import prune_checkpoint
from layerdrop_plugin.fairseq_adapter.options.family import known

EXAMPLES = os.path.join(os.path.dirname(fairseq.__file__), "examples")


@pytest.fixture(scope="module")
def load_with_words():
    """A function from a checkpoint to its model, by a task of a few words."""

    def load(path, **overrides):
        (model,), _, _ = fairseq.checkpoint_utils.load_model_ensemble_and_task(
            [str(path)], arg_overrides=overrides, task=WordsTask()
        )
        return model.eval()

    return load


@pytest.mark.parametrize("shared", [0, 1])
def test_linformer(shared, tmp_path, load_with_words):
    utils.import_user_module(Namespace(user_dir=os.path.join(EXAMPLES, "linformer", "linformer_src")))
    options = {**TEXT, "compressed": 4, "shared_layer_kv_compressed": shared}
    tiny = Tiny("linformer_roberta", options, predict, {"encoder": ("encoder.sentence_encoder.layers",)})
    path = save(build(tiny), options_of(tiny), tmp_path / "full.pt")
    prune_checkpoint(path, str(tmp_path / "small.pt"), {"encoder": "0,3"})
    expected = build(tiny)
    cut(expected, tiny.layers, {"encoder": [0, 3]})
    for pruned in (load_with_words(tmp_path / "small.pt"), load_with_words(path, encoder_layers_to_keep="0,3")):
        with torch.no_grad():
            assert equal(pruned(TOKENS), expected(TOKENS))


class Mine(TransformerModel):
    """A user's model that inherits from one of fairseq's."""


class Recurrent(LSTMModel):
    """Another, whose layers are none."""


class Own(models.BaseFairseqModel):
    """A model of nobody's."""


class Strange(models.BaseFairseqModel):
    """A model of fairseq's that the table does not have."""


Strange.__module__ = "fairseq.models.strange"
WEIGHTS = dict.fromkeys(["encoder.layers.0.w", "encoder.layers.1.w", "encoder.layers.2.w", "decoder.layers.0.w"], 0)
REFUSED = "`encoder_layers_to_keep` must be left out: the layers of a {} can't be pruned{} (got '0,2')."


def prune(arch, weights=WEIGHTS, **options):
    return pruning.prune(Checkpoint(weights, args=Namespace(arch=arch, **options)), {"encoder": "0,2"})[0]


@pytest.mark.parametrize("model", [Mine, Own, None])
def test_a_model_of_the_users_is_pruned_where_its_layers_are_those_of_its_options(model, monkeypatch):
    if model is not None:
        monkeypatch.setitem(MODEL_REGISTRY, "mine", model)
    small = prune("mine", encoder_layers=3)
    assert list(small.weights) == ["encoder.layers.0.w", "encoder.layers.1.w", "decoder.layers.0.w"]
    assert small.args.encoder_layers == 2


@pytest.mark.parametrize("arch", ["mine", "mine_big"])
def test_a_model_of_the_users_is_of_the_family_of_the_class_that_it_inherits_from(arch, monkeypatch):
    monkeypatch.setitem(MODEL_REGISTRY, "mine", Mine)
    monkeypatch.setitem(models.ARCH_MODEL_REGISTRY, "mine_big", Mine)
    assert known(arch) is known("transformer")


@pytest.mark.parametrize(
    ("arch", "model"),
    [
        ("mbart_large", "bart"),
        ("transformer_wmt_en_de_big_align", "transformer_align"),
        ("s2t_transformer_s", "s2t_transformer"),
        ("s2spect_transformer_fisher", "s2spect_transformer"),
        ("layerdrop_roberta_large", "roberta"),
    ],
)
def test_an_architecture_is_of_the_family_of_its_model(arch, model):
    assert known(arch) is families.of(model)


def test_a_model_of_the_users_with_other_layers_is_refused(monkeypatch):
    why = (
        "`encoder_layers_to_keep` must be left out: the encoder layers of mine can't be pruned, unless `--user-dir` "
        "names the folder that defines it (got '0,2')."
    )
    with pytest.raises(ValueError) as error:
        prune("mine", encoder_layers=2)
    assert str(error.value) == why
    with pytest.raises(ValueError) as error:
        prune("mine", {name.replace("layers", "transformer_layers"): 0 for name in WEIGHTS}, encoder_layers=3)
    assert str(error.value) == why
    monkeypatch.setitem(MODEL_REGISTRY, "mine", Own)
    with pytest.raises(ValueError) as error:
        prune("mine", encoder_layers=2)
    assert str(error.value) == REFUSED.format("mine", "").replace("layers of a", "encoder layers of")
    with pytest.raises(ValueError) as error:
        prune("mine", {**WEIGHTS, "encoder.conformer_layers.0.w": 0}, encoder_layers=3)
    assert str(error.value) == (
        "the encoder's layers must stand at one place, but stand at encoder.conformer_layers and encoder.layers."
    )
    monkeypatch.setitem(MODEL_REGISTRY, "mine", Recurrent)
    with pytest.raises(ValueError) as error:
        prune("mine", encoder_layers=3)
    assert str(error.value) == REFUSED.format("mine", ", as they are no transformer layers")


def test_a_model_of_fairseqs_that_the_table_does_not_have_is_refused(monkeypatch):
    monkeypatch.setitem(MODEL_REGISTRY, "strange", Strange)
    with pytest.raises(ValueError) as error:
        prune("strange", encoder_layers=3)
    assert str(error.value) == REFUSED.format("strange", "")


@pytest.mark.parametrize(
    ("arch", "why"),
    [
        ("fconv_wmt_en_de", ", as they are no transformer layers"),
        ("lstm_wiseman_iwslt_de_en", ", as they are no transformer layers"),
        ("transformer_from_pretrained_xlm", ", as its `pretrained_xlm_checkpoint` has them all"),
        ("data2vec_audio", ", as they also stand in its teacher"),
        ("hf_gpt2_medium", ""),
    ],
)
def test_what_can_not_be_pruned(arch, why):
    with pytest.raises(ValueError) as error:
        prune(arch, encoder_layers=3)
    assert str(error.value) == REFUSED.format(arch, why)


def test_a_file_with_a_teacher_is_refused(tmp_path):
    path = str(tmp_path / "data2vec.pt")
    state = {"model": {"_ema": {"layers.0.w": torch.zeros(1)}}, "cfg": {"model": {"_name": "data2vec_audio"}}}
    torch.save(state, path)
    with pytest.raises(ValueError) as error:
        prune_checkpoint(path, str(tmp_path / "small.pt"), {"encoder": "0"})
    assert str(error.value) == (
        f"a checkpoint must be one of fairseq, but {path} has a teacher in `model._ema`, "
        "as those of examples/data2vec have."
    )


USERS = """
from fairseq.models import register_model, register_model_architecture
from fairseq.models.speech_to_text.s2t_transformer import S2TTransformerModel, base_architecture


@register_model("of_a_user")
class OfAUser(S2TTransformerModel):
    pass


register_model_architecture("of_a_user", "of_a_user")(base_architecture)
"""


def test_commands_that_take_a_file_take_the_folder_that_defines_its_model(tmp_path, capsys):
    folder = tmp_path / "folder_of_a_user"
    folder.mkdir()
    (folder / "__init__.py").write_text(USERS)
    tiny = TINY["s2t_transformer"]
    options = options_of(tiny)
    options._name = "of_a_user"
    path, small = save(build(tiny), options, tmp_path / "full.pt"), str(tmp_path / "small.pt")
    with pytest.raises(SystemExit):
        cli.prune.main([path, "-o", small, "--encoder", "0,3"])
    assert capsys.readouterr().err == (
        "layerdrop-prune: error: `--encoder` must be left out: the encoder layers of of_a_user can't be pruned, unless "
        "`--user-dir` names the folder that defines it (got '0,3').\n"
    )
    cli.prune.main([path, "-o", small, "--encoder", "0,3", "--user-dir", str(folder)])
    assert capsys.readouterr().err == ""  # fairseq could load it
    cli.describe.main([small, "--user-dir", str(folder)])
    assert "encoder       2 layers, pruned to [0,3] of 4" in capsys.readouterr().out
