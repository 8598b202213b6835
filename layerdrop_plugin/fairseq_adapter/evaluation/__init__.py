"""Models are evaluated here: losses, BLEU, hidden states, searches and sweeps."""
