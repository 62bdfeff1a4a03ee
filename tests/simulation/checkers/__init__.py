"""One promise a module, each with a `check(history)` that yields a sentence for every way in which it was broken.

A checker reads what is stored and what was seen, never the machine: a promise is about what others can observe.
"""
