"""The only package that imports fairseq; `registration` patches fairseq first."""
