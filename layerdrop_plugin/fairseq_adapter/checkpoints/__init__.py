"""Checkpoints are pruned here, at load and in files, with their configuration, optimizer and origin."""
