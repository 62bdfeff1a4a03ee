"""What happened, line by line: a digest to compare two runs by, and the last lines to read when one has failed."""

from collections import deque
from hashlib import blake2b

LINES_KEPT = 400


class Trace:
    """The record of one run; `silence_ms` is the longest time between two lines."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=8)
        self._last: deque[str] = deque(maxlen=LINES_KEPT)
        self.length = 0
        self.silence_ms = 0
        self._noted_ms = 0

    def note(self, at_ms: int, *words: object) -> None:
        """One thing that happened."""
        line = f"{at_ms:>8} {' '.join(map(str, words))}"
        self._hash.update(line.encode() + b"\n")
        self._last.append(line)
        self.length += 1
        self.silence_ms = max(self.silence_ms, at_ms - self._noted_ms)
        self._noted_ms = at_ms

    def digest(self) -> str:
        """The same for the same run, whatever the machine."""
        return self._hash.hexdigest()

    def last(self, lines: int = LINES_KEPT) -> str:
        """The end of it."""
        return "\n".join(list(self._last)[-lines:])
