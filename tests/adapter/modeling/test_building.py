"""How models are built from options: by fairseq, by a user's subclass, as a part of another model, on their own."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import make_dataclass

import pytest
from fairseq import models
from fairseq.data import Dictionary
from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, FairseqEncoder, register_model, register_model_architecture
from fairseq.tasks import FairseqTask
from omegaconf import II, OmegaConf

from layerdrop_plugin.dropping import LayerDropStack
from layerdrop_plugin.fairseq_adapter.modeling.transformer import LayerDropTransformerModel
from layerdrop_plugin.rates import Schedule

SIZES = {f"{stack}_{size}": 8 for stack in ("encoder", "decoder") for size in ("embed_dim", "ffn_embed_dim")}
HEADS = {f"{stack}_attention_heads": 2 for stack in ("encoder", "decoder")}
ARCH = "layerdrop_transformer"


class Task(FairseqTask):
    """A task with a dictionary, of which a transformer asks for nothing else."""

    def __init__(self):
        super().__init__(Namespace())
        self.words = Dictionary()

    source_dictionary = target_dictionary = property(lambda task: task.words)


def options(arch=ARCH, **more):
    depths = {"encoder_layers": 3, "decoder_layers": 2}
    return Namespace(**{"arch": arch, **SIZES, **HEADS, **depths, "seed": 7, "max_update": 9, **more})


def stacks(model):
    return [module for module in model.modules() if isinstance(module, LayerDropStack)]


def rates(model):
    return [stack.rates for stack in stacks(model)]


@pytest.fixture(scope="module")
def subclass():
    """Registers what `build` makes of the options as a model, whose architecture is ours."""
    made = []

    def make(build):
        name = f"layerdrop_of_a_user_{len(made)}"
        cls = type(name, (LayerDropTransformerModel,), {"build_model": classmethod(build)})
        made.append(register_model(name)(cls))
        register_model_architecture(name, name)(models.ARCH_CONFIG_REGISTRY[ARCH])
        return made[-1], name

    return make


def test_a_subclass_may_change_options_before_it_builds(subclass):
    def build(cls, args, task):
        args.decoder_layerdrop, args.encoder_layers = 0.4, 2
        return super(model_class, cls).build_model(args, task)

    model_class, arch = subclass(build)
    model = models.build_model(options(arch, encoder_layerdrop=0.1, decoder_layerdrop=0.1), Task())
    assert rates(model) == [(0.1, 0.1), (0.4, 0.4)]


def test_one_namespace_may_build_two_models(subclass):
    def build(cls, args, task):
        wanted, args.encoder_layerdrop = args.encoder_layerdrop, 0.0
        teacher = super(model_class, cls).build_model(args, task)
        args.encoder_layerdrop = wanted
        student = super(model_class, cls).build_model(args, task)
        student.teacher = teacher
        return student

    model_class, arch = subclass(build)
    student = models.build_model(options(arch, encoder_layerdrop=0.3), Task())
    assert rates(student.teacher)[0] == (0.0,) * 3
    assert student.encoder.layers.rates == (0.3,) * 3


def test_a_subclass_may_build_another_architecture_of_the_same_options(subclass):
    def build(cls, args, task):
        args.arch, args.decoder_layers = ARCH, 4
        return models.build_model(args, task)

    _, arch = subclass(build)
    model = models.build_model(options(arch, decoder_layerdrop=0.2), Task())
    assert rates(model) == [(0.0,) * 3, (0.2,) * 4]


def test_a_part_has_seed_and_schedule_of_the_model_that_it_is_part_of(subclass):
    def build(cls, args, task):
        inner = options(encoder_layerdrop=0.5)
        del inner.seed, inner.max_update
        return LayerDropTransformerModel.build_model(inner, task)

    _, arch = subclass(build)
    model = models.build_model(options(arch, layerdrop_warmup_updates=4), Task())
    assert {stack.dropping.seed for stack in stacks(model)} == {7}
    assert {stack.dropping.schedule for stack in stacks(model)} == {Schedule(warmup=4, max_update=9)}
    assert rates(model)[0] == (0.5,) * 3


def test_a_subclass_may_wrap_its_encoder():
    class Wrapper(FairseqEncoder):
        def __init__(self, encoder):
            super().__init__(encoder.dictionary)
            self.inside = encoder

    class Wrapping(LayerDropTransformerModel):
        def __init__(self, args, encoder, decoder):
            super().__init__(args, Wrapper(encoder), decoder)

    args = options(encoder_layerdrop=0.25)
    models.ARCH_CONFIG_REGISTRY[ARCH](args)
    assert rates(Wrapping.build_model(args, Task())) == [(0.25,) * 3, (0.0,) * 2]


def test_built_on_its_own_a_model_keeps_the_layers_that_fairseq_keeps():
    args = options(encoder_layers_to_keep="0,2", encoder_layerdrop=0.2)
    models.ARCH_CONFIG_REGISTRY[ARCH](args)
    model = LayerDropTransformerModel.build_model(args, Task())
    assert rates(model) == [(0.2,) * 2, (0.0,) * 2]
    assert {stack.dropping.seed for stack in stacks(model)} == {7}


def test_an_option_of_a_users_model_that_points_nowhere_is_left_alone():
    """Fairseq asks for it only where the model does."""
    fields = [("width", int, 3), ("elsewhere", int, II("task.not_there"))]  # omegaconf 2.0 reads no types that are text
    Options = make_dataclass("Options", fields, bases=(FairseqDataclass,))

    @register_model("of_a_user_with_a_dataclass", dataclass=Options)
    class Model(BaseFairseqModel):
        @classmethod
        def build_model(cls, cfg, task):
            return cls()

    name = "of_a_user_with_a_dataclass"
    root = OmegaConf.create({"model": {"_name": name, "elsewhere": "${task.not_there}"}, "task": {"other": 1}})
    assert type(models.build_model(root.model, Task())) is Model


@pytest.mark.parametrize("value", [0, "", []])
def test_layers_of_a_stack_that_is_not_there_are_refused_whatever_they_are(value):
    with pytest.raises(ValueError) as error:
        models.build_model(
            options("layerdrop_transformer_lm", encoder_layers=None, encoder_layers_to_keep=value), Task()
        )
    assert str(error.value) == (
        f"`encoder_layers_to_keep` must be left out: layerdrop_transformer_lm has no encoder (got {value!r})."
    )
