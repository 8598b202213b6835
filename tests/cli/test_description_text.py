"""What a checkpoint says of itself goes to a terminal without control characters."""

from __future__ import annotations

from layerdrop_plugin.cli import description_text, results
from layerdrop_plugin.fairseq_adapter.checkpoints.description import Description, Sizes, StackDescription

ESCAPE = "\x1b]0;title\x07\x1b[2J"
SHOWN = "\\x1b]0;title\\x07\\x1b[2J"
STACK = StackDescription(
    depth=1,
    layerdrop=ESCAPE,
    learned_rates=None,
    headdrop=ESCAPE,
    ffndrop=None,
    sublayerdrop=None,
    embed_dim=None,
    ffn_embed_dim=None,
    attention_heads=ESCAPE,
    layer_parameters=(8,),
    pruned=None,
)
DESCRIPTION = Description(
    checkpoint=f"{ESCAPE}.pt",
    architecture=ESCAPE,
    task="a\nb" * 1000,
    stacks={"decoder": STACK},
    trained_depths={ESCAPE: 0.4},
    classification_heads=(ESCAPE,),
    parameters=8,
    dtype="float32",
    updates=7,
    best=1.5,
    best_metric=ESCAPE,
    bytes=Sizes(file=100, weights=32, optimizer=0),
)


def test_a_checkpoint_cannot_write_to_the_terminal():
    lines = description_text.text(DESCRIPTION).split("\n")
    assert lines[:2] == [f"{SHOWN}.pt", f"  architecture  {SHOWN}"]
    assert lines[2].startswith(r"  task          a\nba\nba\nb")
    assert len(lines[2]) == 999  # cut in the middle
    assert lines[3:] == [
        f"  decoder       1 layer, layer-drop {SHOWN}, head-drop {SHOWN}, {SHOWN} heads, 8 parameters a layer",
        f"  trained at    {SHOWN} (0.4)",
        f"  heads         {SHOWN}",
        "  parameters    8 in all (float32)",
        f"  training      7 updates, best validation {SHOWN} 1.5",
        "  file          100 bytes: weights 32 bytes, no optimizer's state",
    ]


def test_a_table_has_a_line_for_each_row():
    rows = [{"name": f"{ESCAPE}\n", "loss": 1.5}]
    assert results.table(rows, {}).split("\n") == [f"name{' ' * 21}  loss", f"{SHOWN}\\n   1.5"]
