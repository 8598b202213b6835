"""Checkpoint files are read here: what they may hold, and that nothing in them is run."""
