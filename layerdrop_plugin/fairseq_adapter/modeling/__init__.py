"""Models with LayerDrop are built here: stacks, what is dropped of their layers, architectures."""
