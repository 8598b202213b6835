"""How much each layer changes what passes through it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Callable

import torch
from torch import Tensor

from .evaluation import Evaluation, Sample


@torch.no_grad()
def cosine_distances(
    evaluation: Evaluation, batches: Sequence[Sample], done: Callable[[int], Any] = lambda count: None
) -> dict[str, list[float]]:
    """Return by stack, for each layer, 1 - cos(input, output), from 0 to 2: the mean over all tokens, no padding.

    All layers run. The hidden states (T x B x C) are compared, with the residual connection.

    Args:
        done: is called with 1 after each batch.
    """
    sums = {name: torch.zeros(len(stack), dtype=torch.float64) for name, stack in evaluation.stacks.items()}
    tokens = dict.fromkeys(sums, 0)
    whole = {name: range(len(stack)) for name, stack in evaluation.stacks.items()}
    for batch in batches:
        sample = evaluation.to_device(batch)
        masks = _tokens(evaluation, sample)
        with _watching(evaluation, sums, masks), evaluation.running(whole):
            evaluation.tally(sample)
        for name, mask in masks.items():
            tokens[name] += int(mask.sum())
        done(1)
    return {name: (total / tokens[name]).tolist() for name, total in sums.items()}


def _tokens(evaluation: Evaluation, sample: Sample) -> dict[str, Tensor]:
    """Return for each stack where its input holds a token, in the shape of its hidden states: T x B."""
    given = sample["net_input"]
    inputs = {"encoder": given["src_tokens"], "decoder": given.get("prev_output_tokens", given["src_tokens"])}
    padding = evaluation.task.target_dictionary.pad()  # the same number in all dictionaries
    return {name: inputs[name].ne(padding).t() for name in evaluation.stacks}


@contextlib.contextmanager
def _watching(evaluation: Evaluation, sums: dict[str, Tensor], masks: dict[str, Tensor]) -> Iterator[None]:
    """Add up, into `sums`, the distances of all tokens at each layer that runs."""

    def hook_of(name: str, layer: int) -> Callable[..., None]:
        def add(module: torch.nn.Module, args: Any, output: Any) -> None:
            before, after = args[0], output[0] if isinstance(output, tuple) else output
            close = torch.cosine_similarity(before[masks[name]].float(), after[masks[name]].float(), dim=-1)
            sums[name][layer] += float((1 - close.double()).sum())

        return add

    with contextlib.ExitStack() as hooks:
        for name, stack in evaluation.stacks.items():
            for layer in range(len(stack)):
                handle = stack[layer].register_forward_hook(hook_of(name, layer))
                hooks.callback(handle.remove)
        yield
