"""Tokens that answers show to be missing and no call of ours explains: taken by others, if the mirrors are right.

A mirror of a wrong bucket, or of wrong prices, misses tokens too, which none has taken. So what is missing counts as
taken only if the mirrors have been followed for a while since, without a doubt that led to a trial of measurements
(`headrace.broker.core.budget.mirror_trust`).
"""

from collections import deque
from typing import Final

STANDS_MS: Final = 120_000
MERGED_MS: Final = 1_000


class MissingTokens:
    """What is missing from one limit's buckets of tokens.

    Attributes:
        total: All tokens ever missing while headers show a bucket of tokens. Otherwise a refusal may state the level of
            a shorter window than the one that is mirrored, and so much would be missing at each.
        taken: All tokens that others have taken.
    """

    __slots__ = ("_pending", "taken", "total")

    def __init__(self) -> None:
        self.total = self.taken = 0
        self._pending: deque[tuple[int, int]] | None = None  # by the second: when, and how many

    def add(self, tokens: int, now_ms: int, *, shown: bool = True) -> None:
        """Record missing tokens; `shown`: headers show a bucket of tokens, otherwise only refusals tell of levels."""
        self.total += tokens if shown else 0
        if self._pending is None:
            self._pending = deque()
        if self._pending and now_ms - self._pending[-1][0] < MERGED_MS:
            since_ms, before = self._pending.pop()
            self._pending.append((since_ms, before + tokens))
        else:
            self._pending.append((now_ms, tokens))
        self.settle(now_ms)

    def settle(self, now_ms: int) -> None:
        """Count as taken what has been missing for long enough."""
        while self._pending and self._pending[0][0] <= now_ms - STANDS_MS:
            self.taken += self._pending.popleft()[1]

    def withdraw(self) -> None:
        """Count what was missing lately as taken by none: the mirrors are in doubt."""
        self._pending = None
