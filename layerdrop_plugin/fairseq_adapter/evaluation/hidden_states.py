"""How much each layer changes what passes through it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable

import torch
from torch import Tensor

from ...dropping import LayerDropStack
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
    tokens = {name: torch.zeros_like(of_layers) for name, of_layers in sums.items()}
    whole = {name: range(len(stack)) for name, stack in evaluation.stacks.items()}
    for batch in batches:
        sample = evaluation.to_device(batch)
        masks = _tokens(evaluation, sample)
        with _watching(evaluation.stacks_of(sample), sums, tokens, masks), evaluation.running(whole):
            evaluation.tally(sample)
        done(1)
    return {name: (total / tokens[name]).tolist() for name, total in sums.items()}


def _tokens(evaluation: Evaluation, sample: Sample) -> dict[str, Tensor]:
    """Return for each stack where its input holds a token, in the shape of its hidden states: T x B."""
    given = sample["net_input"]
    decoded = sample.get("prev_target", given.get("prev_output_tokens", given["src_tokens"]))
    inputs = {"encoder": given["src_tokens"], "decoder": decoded}
    padding = evaluation.task.target_dictionary.pad()  # the same number in all dictionaries
    return {name: inputs[name].ne(padding).t() for name in evaluation.stacks}


@contextlib.contextmanager
def _watching(
    stacks: Mapping[str, LayerDropStack], sums: dict[str, Tensor], tokens: dict[str, Tensor], masks: dict[str, Tensor]
) -> Iterator[None]:
    """Add up, into `sums`, the distances of all tokens at each layer that runs, and into `tokens`, how many these are.

    A model may run its decoder several times.
    """

    def hook_of(name: str, layer: int) -> Callable[..., None]:
        def add(module: torch.nn.Module, args: Any, output: Any) -> None:
            before, after = args[0], output[0] if isinstance(output, tuple) else output
            close = torch.cosine_similarity(before[masks[name]].float(), after[masks[name]].float(), dim=-1)
            sums[name][layer] += float((1 - close.double()).sum())
            tokens[name][layer] += close.numel()

        return add

    with contextlib.ExitStack() as hooks:
        for name, stack in stacks.items():
            for layer in range(len(stack)):
                handle = stack[layer].register_forward_hook(hook_of(name, layer))
                hooks.callback(handle.remove)
        yield
