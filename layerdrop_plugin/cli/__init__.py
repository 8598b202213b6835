"""The commands `layerdrop-...`, a file each, whose `main` parses, calls one function and prints."""
