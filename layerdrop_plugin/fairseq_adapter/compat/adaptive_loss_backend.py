"""`--criterion adaptive_loss` refuses the default --ddp-backend: "AdaptiveLoss is not compatible with the PyTorch ...".

fairseq 0.12.2 and main. A batch without rare words does not use the weights for rare words (a cluster of the adaptive
softmax, a band of the adaptive input). pytorch_ddp would wait for their gradients, which never come. Here these weights
are marked as used, like those of a dropped layer. So the check is not needed, and the gradients are those of
`--ddp-backend legacy_ddp`.
"""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

from ...unused import mark_used
from ..hooks import wrap


def needed() -> str | None:
    """Return the reason, where building the criterion with the default backend is refused."""
    from fairseq.criterions.adaptive_loss import AdaptiveLoss

    build = inspect.unwrap(AdaptiveLoss.build_criterion.__func__)
    cfg = SimpleNamespace(ddp_backend="pytorch_ddp", sentence_avg=False)
    try:
        build(AdaptiveLoss, cfg, SimpleNamespace())
    except Exception as error:
        if "not compatible" in str(error):
            return "fairseq's AdaptiveLoss refuses the default --ddp-backend"
    return None


def apply() -> None:
    """Remove the check, and mark all weights of the adaptive softmax and input as used in each batch."""
    from fairseq.criterions.adaptive_loss import AdaptiveLoss
    from fairseq.modules import AdaptiveInput, AdaptiveSoftmax

    wrap(AdaptiveInput, "forward", _embed)
    wrap(AdaptiveSoftmax, "forward", _scores)
    holder = SimpleNamespace(build_criterion=AdaptiveLoss.build_criterion.__func__)
    wrap(holder, "build_criterion", _build_criterion)
    AdaptiveLoss.build_criterion = classmethod(holder.build_criterion)


def _build_criterion(original: Any, cls: type, cfg: Any, task: Any) -> Any:
    return original(cls, SimpleNamespace(ddp_backend="legacy_ddp", sentence_avg=cfg.sentence_avg), task)


def _embed(original: Any, module: Any, tokens: Any) -> Any:
    return mark_used(original(module, tokens), module.parameters())


def _scores(original: Any, module: Any, *args: Any) -> Any:
    (head, *clusters), targets = original(module, *args)  # every batch has a part in the head
    return [mark_used(head, module.tail.parameters()), *clusters], targets
