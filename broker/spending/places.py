"""Places: which names of a kind have sums of their own in an hour, and which are counted together.

A name that has a place keeps it until the hour ends, and one that was refused stays refused: what is counted under a
name is all of it. Half of the places are kept for the names that were largest in the hours before, so that a flood of
new names cannot take them; the others go to new names in the order of their arrival.

The largest names are found in bounded memory by the algorithm of Misra and Gries: no name above an `entries_max`-th of
all that was counted is missed, though most names were never given a place.
"""

from collections.abc import Iterable
from typing import Final

from headrace.schemas.spending import OTHERS

_KEPT_PART: Final = 2


class LargestNames:
    """Names with the largest weights, decaying by half each hour; at most `2 * entries_max` are held."""

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._weights: dict[str, int] = {}

    def add(self, name: str, weight: int) -> None:
        """Add to the weight of a name."""
        self._weights[name] = self._weights.get(name, 0) + weight
        if len(self._weights) > 2 * self._entries_max:
            self._reduce()

    def _reduce(self) -> None:
        """Subtract the weight of the largest name beyond `entries_max` from all, which costs a constant per name."""
        floor = sorted(self._weights.values(), reverse=True)[self._entries_max]
        self._weights = {name: weight - floor for name, weight in self._weights.items() if weight > floor}

    def halve(self) -> None:
        """Let an hour pass."""
        self._weights = {name: weight // 2 for name, weight in self._weights.items() if weight > 1}

    def top(self, count: int) -> list[str]:
        """Return the largest names, the largest first."""
        return sorted(self._weights, key=lambda name: (-self._weights[name], name))[:count]


class Places:
    """Names of one kind that have sums of their own in one hour; the empty name has them always."""

    def __init__(self, places_max: int, kept: Iterable[str] = ()) -> None:
        """`kept` have a place whether they come or not: the first half as many as there are places."""
        self._kept = frozenset(list(kept)[: places_max // _KEPT_PART])
        self._new: set[str] = set()
        self._new_max = places_max - len(self._kept)

    def is_kept(self, name: str) -> bool:
        """Whether the name had its place before the hour began, or needs none."""
        return not name or name in self._kept

    def place(self, name: str) -> str:
        """Return the name to count under: the name itself, or OTHERS."""
        if not name or name in self._kept or name in self._new:
            return name
        if len(self._new) >= self._new_max:
            return OTHERS
        self._new.add(name)
        return name
