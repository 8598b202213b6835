"""Evaluate models: losses, BLEU, hidden states, searches and sweeps."""
