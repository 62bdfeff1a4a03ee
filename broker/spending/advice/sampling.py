"""Bounded samples: the items with the smallest hashes, so that two streams of the same ids keep the same ones."""

import hashlib
import heapq
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

Value = TypeVar("Value")
HASH_MAX: Final = 2**64


def hash_of(text: str) -> int:
    """Return 64 bits that depend on the text alone, evenly spread."""
    return int.from_bytes(hashlib.blake2b(text.encode(errors="replace"), digest_size=8).digest(), "big")


class HashSample(Generic[Value]):
    """At most `size_max` values: those with the smallest keys."""

    __slots__ = ("_heap", "_values", "size_max")

    def __init__(self, size_max: int) -> None:
        self.size_max = size_max
        self._values: dict[int, Value] = {}
        self._heap: list[int] = []

    def __len__(self) -> int:
        return len(self._values)

    def wants(self, key: int) -> bool:
        """Return whether a value of this key would be kept now."""
        return key not in self._values and (len(self._values) < self.size_max or key < -self._heap[0])

    def put(self, key: int, value: Value) -> tuple[int, Value] | None:
        """Keep a value that is wanted; return the one that must go for it, with its key."""
        self._values[key] = value
        heapq.heappush(self._heap, -key)
        return self.shrink() if len(self._values) > self.size_max else None

    def shrink(self) -> tuple[int, Value]:
        """Drop the value with the largest key, and return it with its key."""
        key = -heapq.heappop(self._heap)
        return key, self._values.pop(key)

    def items(self) -> Iterator[tuple[int, Value]]:
        """Yield keys and values, smallest key first."""
        return iter(sorted(self._values.items(), key=lambda item: item[0]))

    def __iter__(self) -> Iterator[int]:
        return iter(self._values)

    def get(self, key: int) -> Value | None:
        """Return the value of a key; None if it is not in the sample."""
        return self._values.get(key)
