"""The loss of a language model with an adaptive softmax, of all words.

fairseq 0.12.2 and main: the criterion `adaptive_loss` leaves out one word of each cluster of rarer words: the second,
because its index in the cluster is that of the padding symbol. So the losses of fairseq-train and fairseq-validate are
too low. fairseq-eval-lm counts every word, and so does this module.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.functional import cross_entropy


def adaptive_loss(model: Any, sample: dict[str, Any], padding: int) -> Tensor:
    """Return the negative log-likelihood of a batch in nats, a sum of float32; `padding` is not counted."""
    hidden = model(**sample["net_input"])[0]
    head, *clusters = zip(*model.decoder.adaptive_softmax(hidden, sample["target"].view(-1)))
    loss = cross_entropy(head[0].float(), head[1], ignore_index=padding, reduction="sum")
    for logits, places in clusters:
        if places is not None:
            loss = loss + cross_entropy(logits.float(), places, reduction="sum")
    return loss
