"""Put a LayerDrop stack in the place of the layers that fairseq has built."""

from torch import nn

from ..dropping import LayerDropStack


def with_layerdrop(part: nn.Module, stack: str) -> nn.Module:
    """Return fairseq's transformer encoder or decoder with its layers in a `LayerDropStack`.

    fairseq's loops over `part.layers` stay: `enumerate` counts dropped layers too, so
    `alignment_layer` does not move, as it does with fairseq's own LayerDropModuleList.
    """
    layers = [part.layers[i] for i in range(len(part.layers))]  # iterating might drop some
    part.layers = LayerDropStack(
        layers,
        rate=getattr(part, f"{stack}_layerdrop") or 0.0,
        name=stack,
        extra_outputs=2 if stack == "decoder" else 0,  # attention and incremental state
    )
    return part
