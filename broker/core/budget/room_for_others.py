"""Room in a bucket for what others take of it before any answer shows that.

An answer states the level as of its call's admission, seconds ago. Where other clients spend in bursts, a bucket that
is spent to its end is short of the bursts since, and each costs a refusal. A bucket that keeps a few of them refills as
fast as an empty one, so the room costs no rate. (A window loses what is left in it, and has none.)

How much is enough is learned from what it costs. Bursts come by chance, more than their mean at times, and levels that
are rounded do not show them. So each refusal by a bucket whose level seemed to suffice, and more room would have held
the call back, raises the room of a bucket that headers show, and each admission lowers it a little: once one call in
`CALLS_PER_REFUSAL` is refused, it stays (the quantile that stochastic approximation finds, Robbins and Monro 1951). The
first ones raise nothing: where fewer are refused, others that give way would take the room for their own.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from headrace.broker.core.answers.meaning import ADMITTED
from headrace.broker.core.answers.rate_limit_headers import HOUR_MS
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.units import PPM

SPAN_MS: Final = 60_000
BURSTS_MIN: Final = 3  # fewer in `SPAN_MS` may be chance
MERGED_MS: Final = 100  # what is missing within this time is one burst
AGE_FIRST_MS: Final = 1_000
AGE_MAX_MS: Final = 10_000
AGE_PARTS: Final = 8  # one part in this many is the weight of the newest answer in the mean age
CAPACITY_PARTS: Final = 8  # one part in this many of the bucket is kept at most, by what answers have shown

RAISED_PPM: Final = 345_000  # of the most that refusals make a bucket keep, for each of them
FORGIVEN: Final = 3  # refusals, which raise nothing until admissions have made up for others
CALLS_PER_REFUSAL: Final = 150
MOST_PARTS: Final = 3  # one part in this many of the bucket is kept at most, for refusals
FILLED_MS: Final = 5_000  # a bucket that fills sooner is full while calls are on their way: room would cost it rate

Buckets = Sequence[tuple[Mirror, bool]]
"""Buckets of tokens, and whether headers show each."""


class RoomForOthers:
    """The bursts of others that answers have shown lately.

    Attributes:
        age_ms: The mean time since the admission that the newest answers state the level of; at most `AGE_MAX_MS`.
    """

    __slots__ = ("_bursts", "_newest_ms", "_raised_ms", "_raised_ppm", "_tokens", "age_ms")

    def __init__(self) -> None:
        self.age_ms = AGE_FIRST_MS
        self._raised_ppm = -FORGIVEN * RAISED_PPM  # by refusals, of the most; no room while it is negative
        self._raised_ms = -1  # when it was raised last
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

    def make(self, call: Reservation, meaning: Meaning, buckets: Buckets, now_ms: int) -> None:
        """Make the room of all buckets, by the answer to a call."""
        self.record_answer(call.sent_ms, now_ms)
        shown = [bucket for bucket, is_shown in buckets if is_shown and _can_keep(bucket)]
        if is_unforeseen(call, meaning):
            is_new = call.sent_ms >= self._raised_ms  # otherwise it tells nothing of the room that there is now
            if is_new and any(bucket.low(now_ms) * MOST_PARTS < bucket.capacity for bucket in shown):
                self._raised_ppm, self._raised_ms = min(PPM, self._raised_ppm + RAISED_PPM), now_ms
        elif meaning in ADMITTED:
            least_ppm = -FORGIVEN * RAISED_PPM
            self._raised_ppm = max(least_ppm, self._raised_ppm - RAISED_PPM // CALLS_PER_REFUSAL)
        for bucket, _ in buckets:
            bucket.room = self.tokens(bucket.capacity, now_ms)
        for bucket in shown:
            bucket.room = max(bucket.room, bucket.capacity * self._raised_ppm // PPM // MOST_PARTS)

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


def is_unforeseen(call: Reservation, meaning: Meaning) -> bool:
    """Return whether a call was refused that the mirrors would not have held back."""
    return meaning is Meaning.RATE_LIMITED and not call.held


def _can_keep(bucket: Mirror) -> bool:
    """Return whether room costs a bucket no rate. One of an hour or longer is there to be spent."""
    return FILLED_MS <= bucket.period_ms < HOUR_MS
