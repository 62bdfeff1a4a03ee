"""Key files for the tests: keys made by seed, and tables with their hashes."""

import random

from headrace.broker.gateway.keys.key_text import hash_of, new_key


def key(seed: int) -> str:
    """A key, the same for the same seed."""
    return new_key(random.Random(seed).choice)


def table(name: str, *seeds: int, members: str = "") -> str:
    """A table of the file, with the hashes of the keys of these seeds."""
    hashes = ", ".join(f'"{hash_of(key(seed))}"' for seed in seeds)
    return f'[keys."{name}"]\ntenant = "t-{name}"\nhashes = [{hashes}]\n{members}\n'
