"""The pages of docs/reference/ that scripts/reference.py writes, one file for each."""
