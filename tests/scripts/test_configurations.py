"""What Hydra remembers of a configuration, in tests, is what it would compose."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("fairseq") is None:
    pytest.skip("fairseq lets Hydra compose configurations", allow_module_level=True)

import fairseq.models
from fork_server import configurations
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.experimental import compose, initialize_config_dir
from omegaconf import DictConfig

pytestmark = pytest.mark.skipif(
    not hasattr(ConfigLoaderImpl, "_load_configuration_impl"), reason="Hydra 1.0 remembers nothing"
)
CONFIG = str(Path(fairseq.models.__file__).parents[1] / "config")


@pytest.fixture(autouse=True)
def remembering():
    """Let Hydra remember, unless it does."""
    if not hasattr(ConfigLoaderImpl.load_configuration, "__wrapped__"):
        configurations.remember()


def composed(*overrides):
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=CONFIG):
        return compose("config", overrides=list(overrides), strict=False)


def composed_anew(*overrides):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigLoaderImpl, "load_configuration", ConfigLoaderImpl.load_configuration.__wrapped__)
        return composed(*overrides)


def nodes(config, name=""):
    """The type, the flags and the value of each node."""
    yield name, type(config), config._metadata.ref_type, config._metadata.object_type, config._metadata.flags
    if isinstance(config, DictConfig) and not config._is_none():
        for key, node in config.items_ex(resolve=False):
            if isinstance(node, DictConfig):
                yield from nodes(node, f"{name}.{key}")
            else:
                yield f"{name}.{key}", type(config._get_node(key)), node


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["common.seed=3", "checkpoint.save_dir='a b'", "optimization.lr=[0.1,0.2]", "task=translation", "task.data=x"],
        ["criterion=label_smoothed_cross_entropy", "criterion.label_smoothing=0.1", "optimizer=adam"],
        ["task=language_modeling", "model=transformer_lm", "model._name=transformer_lm_gpt", "model.decoder_layers=3"],
        ["lr_scheduler=inverse_sqrt", "lr_scheduler.lr=[0.1]", "scoring=bleu", "common_eval.model_overrides='{}'"],
        ["+task.more=1", "common.seed=2"],  # with a sign of Hydra's
    ],
)
def test_as_composed_anew(overrides):
    expected = list(nodes(composed_anew(*overrides)))
    assert len(expected) > 200
    for _ in range(2):  # composed, and remembered
        assert list(nodes(composed(*overrides))) == expected


def test_what_is_remembered_does_not_change():
    first = composed("task=translation")
    first.task.data = first.common.user_dir = "changed"
    second = composed("task=translation")
    assert (second.task.data, second.common.user_dir) == (None, None)


@pytest.mark.parametrize(
    "override", ["common.seed=three", "common.sed=3", "task=none_such", "task.data=x", "common.seed=1,2", "common.seed"]
)
def test_what_is_wrong_has_the_same_error(override):
    errors = []
    for compose_it in (composed_anew, composed):
        with pytest.raises(Exception) as error:
            compose_it(override)
        errors.append((error.type, str(error.value)))
    assert errors[0] == errors[1]


def test_what_is_stored_anew_is_composed_anew():
    @dataclass
    class Options:
        rate: float = 0.1

    store = ConfigStore.instance()
    store.store(name="of_this_test", group="criterion", node=Options)
    assert composed("criterion=of_this_test").criterion == {"rate": 0.1}
    store.store(name="of_this_test", group="criterion", node=Options(0.2))
    assert composed("criterion=of_this_test").criterion == {"rate": 0.2}
