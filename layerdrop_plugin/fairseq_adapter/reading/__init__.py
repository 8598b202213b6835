"""Read checkpoint files: define what they may hold, and run nothing in them."""
