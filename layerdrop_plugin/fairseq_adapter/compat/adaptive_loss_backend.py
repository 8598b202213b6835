"""`--criterion adaptive_loss` on one worker stops: "AdaptiveLoss is not compatible with the PyTorch version of ...".

fairseq 0.12.2 and main. The check looks at --ddp-backend, whose default is pytorch_ddp, not at whether there is
anything to reduce. With several workers it stays: a batch without rare words leaves clusters without gradients, which
pytorch_ddp refuses; `--ddp-backend legacy_ddp` works there.
"""

import functools
from types import SimpleNamespace
from typing import Any, Optional


def needed() -> Optional[str]:
    """The reason, where building the criterion with the default backend is refused outside of distributed training."""
    from fairseq.criterions.adaptive_loss import AdaptiveLoss

    build = AdaptiveLoss.build_criterion.__func__
    cfg = SimpleNamespace(ddp_backend="pytorch_ddp", sentence_avg=False)
    try:
        getattr(build, "__wrapped__", build)(AdaptiveLoss, cfg, SimpleNamespace())
    except Exception as error:
        if "not compatible" in str(error):
            return "fairseq's AdaptiveLoss refuses the default --ddp-backend even with one worker"
    return None


def apply() -> None:
    """Makes the check only where there are several workers."""
    from fairseq.criterions.adaptive_loss import AdaptiveLoss
    from fairseq.distributed import utils as distributed_utils

    original = AdaptiveLoss.build_criterion.__func__
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def build_criterion(cls: type, cfg: Any, task: Any) -> Any:
        if distributed_utils.get_global_world_size() > 1:
            return original(cls, cfg, task)
        return original(cls, SimpleNamespace(ddp_backend="legacy_ddp", sentence_avg=cfg.sentence_avg), task)

    AdaptiveLoss.build_criterion = classmethod(build_criterion)
