"""Room in a bucket for what others take of it before any answer shows that.

An answer states the level as of its call's admission, seconds ago. Where other clients spend in bursts, a bucket that
is spent to its end is short of the bursts since, and each costs a refusal. A bucket that keeps a few of them refills as
fast as an empty one, so the room costs no rate. (A window loses what is left in it, and has none.)
"""

from collections import deque
from typing import Final

SPAN_MS: Final = 60_000
BURSTS_MIN: Final = 3  # fewer in `SPAN_MS` may be chance
MERGED_MS: Final = 100  # what is missing within this time is one burst
AGE_FIRST_MS: Final = 1_000
AGE_MAX_MS: Final = 10_000
AGE_PARTS: Final = 8  # one part in this many is the weight of the newest answer in the mean age
CAPACITY_PARTS: Final = 8  # one part in this many of the bucket is kept at most


class RoomForOthers:
    """The bursts of others that answers have shown lately.

    Attributes:
        age_ms: The mean time since the admission that the newest answers state the level of; at most `AGE_MAX_MS`.
    """

    __slots__ = ("_bursts", "_newest_ms", "_tokens", "age_ms")

    def __init__(self) -> None:
        self.age_ms = AGE_FIRST_MS
        self._newest_ms = -1
        self._bursts: deque[tuple[int, int]] = deque()  # when, and how many tokens
        self._tokens = 0

    def record_missing(self, tokens: int, now_ms: int) -> None:
        """Record tokens that an answer has shown to be missing."""
        self._forget(now_ms)
        self._tokens += tokens
        if self._bursts and now_ms - self._bursts[-1][0] < MERGED_MS:
            at_ms, before = self._bursts.pop()
            self._bursts.append((at_ms, before + tokens))
        else:
            self._bursts.append((now_ms, tokens))

    def record_answer(self, sent_ms: int, now_ms: int) -> None:
        """Record an answer to a call sent at `sent_ms`; it changes the age if no answered call was sent later."""
        if sent_ms > self._newest_ms:
            self._newest_ms = sent_ms
            self.age_ms += (min(AGE_MAX_MS, now_ms - sent_ms) - self.age_ms) // AGE_PARTS

    def tokens(self, capacity: int, now_ms: int) -> int:
        """Return the tokens that a bucket of that capacity keeps: what the last minute's bursts took per `age_ms`."""
        self._forget(now_ms)
        if len(self._bursts) < BURSTS_MIN:
            return 0
        return min(self._tokens * self.age_ms // SPAN_MS, capacity // CAPACITY_PARTS)

    def _forget(self, now_ms: int) -> None:
        """Drop the bursts that are `SPAN_MS` old; where only windows are mirrored, nothing asks for `tokens`."""
        while self._bursts and self._bursts[0][0] <= now_ms - SPAN_MS:
            self._tokens -= self._bursts.popleft()[1]
