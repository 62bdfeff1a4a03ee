"""Redis: the lease and the status that its holder leaves there; the only package that imports redis."""
