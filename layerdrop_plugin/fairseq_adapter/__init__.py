"""The only room that imports fairseq; `registration` does so when it is imported, and patches it first."""
