"""Shared by scripts/fuzz.py and the tests: commands that run in a fork of this process, and a judge of how they end."""
