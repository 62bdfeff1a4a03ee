"""A record that ends its reader does so five times at most, each further one of its partition twice; a call four times.

Leaders that die of something else meanwhile take part of the evidence with them: each may cost one more death.
"""

from collections import Counter
from collections.abc import Iterator

from tests.simulation.service.history import Deadly, History

BY_DECODING, BY_CALLING = 5, 4


def check(history: History) -> Iterator[str]:
    """One that ended too many dispatchers."""
    caused = Counter(history.killed)
    ends = sum(each.role == "dispatcher" and each.ending != "lives" for each in history.lived)
    terms = max(0, max(ends, len(history.claims())) - sum(caused.values()))
    for (deadly, name), count in sorted(caused.items(), key=str):
        most = BY_DECODING if deadly is Deadly.DECODED else BY_CALLING
        if count > most + terms:
            yield f"{name} ended {count} dispatchers by being {deadly.value}"
