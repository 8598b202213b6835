"""BART, trained with `--eval-bleu` and a beam above 1, reads another source sentence of the batch than its own.

fairseq 0.12.2. For BLEU the task builds a generator before the training begins. The generator tells each
cross-attention of BART the size of the beam. From then on every pass of the training takes a batch for hypotheses: each
`beam` sentences in a row read the source of the first one. A batch that is no multiple of the beam ends in a traceback.
"""

from __future__ import annotations

from typing import Any

from ..hooks import wrap


def needed() -> str | None:
    """Return the reason, where a model that is not prepared for inference takes the size of a beam."""
    from fairseq.models.bart import BARTModel

    if "_is_generation_fast" not in BARTModel.set_beam_size.__code__.co_names:
        return "fairseq's BART takes the beam of --eval-bleu for that of its training"
    return None


def apply() -> None:
    """Let only a model that is prepared for inference, as fairseq-generate's is, take the size of a beam."""
    from fairseq.models.bart import BARTModel

    wrap(BARTModel, "set_beam_size", _set_beam_size)


def _set_beam_size(original: Any, model: Any, beam: int) -> None:
    if model._is_generation_fast:
        original(model, beam)
