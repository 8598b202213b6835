"""adaptive_loss with the default --ddp-backend, also where a batch lacks the words of a cluster."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from fairseq.criterions.adaptive_loss import AdaptiveLoss
from fairseq.distributed import utils as distributed_utils
from fairseq.modules import AdaptiveInput, AdaptiveSoftmax
from torch.nn.parallel import DistributedDataParallel

from layerdrop_plugin.fairseq_adapter.compat import adaptive_loss_backend


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("backend", ["pytorch_ddp", "c10d", "legacy_ddp", "no_c10d"])
def test_any_number_of_workers_takes_any_backend(workers, backend, monkeypatch):
    monkeypatch.setattr(distributed_utils, "get_global_world_size", lambda: workers)
    cfg = SimpleNamespace(ddp_backend=backend, sentence_avg=True)
    assert AdaptiveLoss.build_criterion(cfg, SimpleNamespace()).sentence_avg is True


def test_a_subclass_is_built_as_itself():
    class Other(AdaptiveLoss):
        pass

    cfg = SimpleNamespace(ddp_backend="pytorch_ddp", sentence_avg=False)
    assert type(Other.build_criterion(cfg, SimpleNamespace())) is Other


def test_the_reason_stays_after_the_patch():
    assert adaptive_loss_backend.needed() == "fairseq's AdaptiveLoss refuses the default --ddp-backend"


class Tiny(torch.nn.Module):
    """Of 8 words the first 4 are frequent: one adaptive input, one adaptive softmax."""

    def __init__(self):
        super().__init__()
        self.embed = AdaptiveInput(8, 1, initial_dim=4, factor=2, output_dim=4, cutoff=[4])
        self.softmax = AdaptiveSoftmax(8, 4, [4], dropout=0.0, factor=2)

    def forward(self, tokens):
        logits, targets = self.softmax(self.embed(tokens), tokens)
        losses = [torch.nn.functional.cross_entropy(x, t) for x, t in zip(logits, targets) if t is not None]
        return sum(losses)


def test_distributed_training_takes_batches_without_rare_words(one_worker):
    torch.manual_seed(1)
    model = Tiny()
    distributed = DistributedDataParallel(model)
    frequent, rare = torch.tensor([[2, 3, 2]]), torch.tensor([[2, 7, 5]])
    for tokens in (frequent, rare, frequent):  # torch looks back at the batch before
        model.zero_grad()
        distributed(tokens).backward()
        of_rare_words = [*model.embed.embeddings[1].parameters(), *model.softmax.tail.parameters()]
        assert [bool(p.grad.any()) for p in of_rare_words] == [tokens is rare] * 4


def test_the_results_are_those_without_the_patch():
    torch.manual_seed(1)
    model = Tiny()
    tokens = torch.tensor([[2, 7, 5]])
    assert torch.equal(model.embed(tokens), AdaptiveInput.forward.__wrapped__(model.embed, tokens))
    x = torch.randn(1, 3, 4)
    ours, theirs = model.softmax(x, tokens), AdaptiveSoftmax.forward.__wrapped__(model.softmax, x, tokens)
    assert all(torch.equal(a, b) for a, b in zip(ours[0], theirs[0]))
    assert all(torch.equal(a, b) for a, b in zip(ours[1], theirs[1]))
    assert (len(ours[0]), len(ours[1])) == (2, 2)
