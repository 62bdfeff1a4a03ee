"""`headrace dead-letters`: what nobody will try again, listed, filtered, shown one by one and put back.

Here belong which ones are meant, how one is told in a line or a page, and how strangers' bytes are kept off a terminal.
A listing holds ids, names, places and reasons; prompts, answers and metadata never. Only `show` with `--body` or
`--raw` gives a value away, and only the one that was asked for.
"""
