"""--ddp-backend: what works with LayerDrop passes, the rest is one line before any data is read."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from fairseq import tasks
from omegaconf import OmegaConf

from layerdrop_plugin.fairseq_adapter.errors.one_line import UserError
from layerdrop_plugin.fairseq_adapter.training import restore
from layerdrop_plugin.fairseq_adapter.training.backends import check_backend

SHARDED = "a layer that is split among workers can be neither dropped nor pruned"
SLOWMO = "workers whose weights differ between averages were never tried with layers that are dropped"
REFUSED = [
    ("transformer", "fully_sharded", SHARDED),
    ("transformer_lm", "fully_sharded", SHARDED),
    ("roberta", "fully_sharded", SHARDED),
    ("transformer", "slowmo", SLOWMO),
]


def message(arch, backend, reason):
    return f"`--ddp-backend` must be pytorch_ddp or legacy_ddp for {arch}, but is {backend}: {reason}."


@pytest.mark.parametrize(("family", "backend", "reason"), REFUSED)
def test_a_training_is_refused_before_it_asks_for_fairscale_or_data(family, backend, reason, tiny, train, tmp_path):
    arguments = ["--arch", f"layerdrop_{family}", *tiny[family], "--ddp-backend", backend, "--save-dir", tmp_path]
    with pytest.raises(UserError) as error:
        train(tmp_path / "no-data", *arguments)
    assert str(error.value) == message(f"layerdrop_{family}", backend, reason)


def test_yaml_is_refused_alike():
    root = OmegaConf.create(
        {
            "task": {"_name": "language_modeling", "data": "no-data"},
            "model": {"_name": "layerdrop_transformer_lm"},
            "distributed_training": {"ddp_backend": "fully_sharded"},
        }
    )
    with pytest.raises(UserError) as error:
        tasks.setup_task(root.task)
    assert str(error.value) == message("layerdrop_transformer_lm", "fully_sharded", SHARDED)


@pytest.mark.parametrize("backend", ["pytorch_ddp", "c10d", "legacy_ddp", "no_c10d", "fully_sharded", "slowmo"])
def test_a_stock_architecture_may_have_any(backend, configure, data, tiny):
    check_backend(backend, "transformer")
    cfg = configure(data["transformer"], "--arch", "transformer", *tiny["transformer"], "--ddp-backend", backend)
    assert tasks.setup_task(cfg.task).source_dictionary


@pytest.mark.parametrize("backend", ["pytorch_ddp", "c10d", "legacy_ddp", "no_c10d"])
def test_ours_may_have_either_of_two_by_any_name(backend):
    check_backend(backend, "layerdrop_transformer")


def test_a_stock_model_that_is_sharded_picks_up_as_without_the_plugin():
    """Its parameters have names of fairscale's, by which its optimizer's state would be taken for another model's."""
    seen = []
    trainer = SimpleNamespace(is_fsdp=True)
    state = restore._load_checkpoint(lambda *given: seen.append(given) or "state", trainer, "last.pt", True, False)
    assert (state, seen) == ("state", [(trainer, "last.pt", True, False)])
