"""Order of the chunks of one request: which attempt counts, and whether anything of it is missing."""

from headrace.schemas.chunk import Chunk


class AttemptOrder:
    """Judge of chunks as they arrive: only those of the newest attempt count, and only as far as none is missing."""

    def __init__(self) -> None:
        self._newest = (-1, -1, -1)
        self._next_seq = 0
        self._is_unbroken = True

    def takes(self, chunk: Chunk) -> bool:
        """Whether a chunk goes on directly where the chunk taken before it ended, or begins a newer attempt."""
        attempt = (chunk.run, chunk.term, chunk.attempt)
        if attempt > self._newest:
            self._newest, self._next_seq, self._is_unbroken = attempt, 0, True
        if attempt < self._newest or chunk.seq < self._next_seq:
            return False  # of an attempt that was given up, or a repeat
        self._is_unbroken = self._is_unbroken and chunk.seq == self._next_seq
        self._next_seq = chunk.seq + 1
        return self._is_unbroken

    def give_up(self) -> None:
        """Take nothing more of this attempt."""
        self._is_unbroken = False
