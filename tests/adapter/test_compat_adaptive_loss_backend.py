"""adaptive_loss with the default --ddp-backend: allowed on one worker, refused on several."""

from types import SimpleNamespace

import pytest
from fairseq.criterions.adaptive_loss import AdaptiveLoss
from fairseq.distributed import utils as distributed_utils

from layerdrop_plugin.fairseq_adapter.compat import adaptive_loss_backend


def build(backend):
    return AdaptiveLoss.build_criterion(SimpleNamespace(ddp_backend=backend, sentence_avg=True), SimpleNamespace())


@pytest.mark.parametrize("backend", ["pytorch_ddp", "c10d", "legacy_ddp", "no_c10d"])
def test_one_worker_takes_any_backend(backend):
    assert build(backend).sentence_avg is True


def test_several_workers_are_refused_where_pytorch_reduces(monkeypatch):
    monkeypatch.setattr(distributed_utils, "get_global_world_size", lambda: 2)
    assert isinstance(build("legacy_ddp"), AdaptiveLoss)
    with pytest.raises(Exception, match="AdaptiveLoss is not compatible with the PyTorch version"):
        build("pytorch_ddp")


def test_a_subclass_is_built_as_itself():
    class Other(AdaptiveLoss):
        pass

    cfg = SimpleNamespace(ddp_backend="pytorch_ddp", sentence_avg=False)
    assert type(Other.build_criterion(cfg, SimpleNamespace())) is Other


def test_the_reason_stays_after_the_mend():
    assert (
        adaptive_loss_backend.needed()
        == "fairseq's AdaptiveLoss refuses the default --ddp-backend even with one worker"
    )
