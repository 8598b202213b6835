"""Options: which there are, the configuration that holds them, and their values for one model."""
