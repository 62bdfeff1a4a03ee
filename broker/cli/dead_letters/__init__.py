"""`headrace dead-letters`: lists, filters, shows and puts back requests that will not be tried again.

This package chooses dead letters, formats each as a row or a page, and escapes foreign bytes for a terminal. A listing
holds ids, names, places and reasons; prompts, answers and metadata never. Only `show` with `--body` or `--raw`
discloses a value, and only the one that was asked for.
"""
