"""Room in a bucket for what others take of it before any answer shows that.

An answer states the level as of its call's admission, seconds ago. Where other clients spend in bursts, a bucket that
is spent to its end is short of the bursts since, and each costs a refusal. A bucket that keeps a few of them refills as
fast as an empty one, so the room costs no rate. (A window loses what is left in it, and has none.)

How much is enough is also learned from refusals. Bursts come by chance, more than their mean at times, and levels that
are rounded do not show them. A refusal counts if no other limit is known to have refused the call, its mirrors would
have let it pass, and less than a third was left of a bucket whose period headers state. It adds a third of the largest
room; each admission subtracts a 150th of that. So where one call in 150 is refused, rises and falls balance (the
weighted up-down rule of psychophysics, Kaernbach 1991). The first three refusals add nothing: clients that give way
would otherwise take for their own whatever is kept.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from headrace.broker.core.answers.meaning import ADMITTED
from headrace.broker.core.answers.rate_limit_headers import HOUR_MS, TOKENS
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.refusals import spent_of
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.units import PPM

SPAN_MS: Final = 60_000  # in which bursts are remembered
BURSTS_MIN: Final = 3  # fewer in `SPAN_MS` may be chance
MERGED_MS: Final = 100  # what is missing within this time is one burst
AGE_FIRST_MS: Final = 1_000  # until answers tell
AGE_MAX_MS: Final = 10_000
AGE_PARTS: Final = 8  # one part in this many is the weight of the newest answer in the mean age
CAPACITY_PARTS: Final = 8  # one part in this many of the bucket is kept at most, by what answers have shown

CALLS_PER_REFUSAL: Final = 150  # fewer calls are refused where others give way, so that room would only lose rate
RAISED_PPM: Final = 2_300 * CALLS_PER_REFUSAL  # of the most that refusals make a bucket keep, for each: three fill it
FORGIVEN: Final = 3  # refusals, which raise nothing until admissions have made up for others
MOST_PARTS: Final = 3  # one part in this many of the bucket is kept at most, for refusals
SPENT_PARTS: Final = 3  # with less than one part in this many left, the most room would have held the call back
FILLED_MS: Final = 5_000  # a bucket that fills sooner is full while calls are on their way: room would cost it rate

Buckets = Sequence[tuple[Mirror, bool]]
"""Buckets of tokens, and whether headers state the size and period of each."""


class RoomForOthers:
    """Tokens that buckets keep back for other clients, by their bursts of the last minute and by refusals.

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

    def update(self, call: Reservation, verdict: Verdict, buckets: Buckets, now_ms: int) -> None:
        """Set the room of each bucket after an answer, which has not corrected the levels of tokens yet."""
        self.record_answer(call.sent_ms, now_ms)
        keeping = [bucket for bucket, is_stated in buckets if is_stated and _can_keep(bucket)]
        if is_unforeseen(call, verdict):
            is_new = call.sent_ms >= self._raised_ms  # otherwise it tells nothing of the room that there is now
            if is_new and any(bucket.low(now_ms) * SPENT_PARTS < bucket.capacity for bucket in keeping):
                self._raised_ppm, self._raised_ms = min(PPM, self._raised_ppm + RAISED_PPM), now_ms
        elif verdict.meaning in ADMITTED:
            least_ppm = -FORGIVEN * RAISED_PPM
            self._raised_ppm = max(least_ppm, self._raised_ppm - RAISED_PPM // CALLS_PER_REFUSAL)
        for bucket, _ in buckets:
            bucket.room = self.tokens(bucket.capacity, now_ms)
        for bucket in keeping:
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


def is_unforeseen(call: Reservation, verdict: Verdict) -> bool:
    """Return whether the account's tokens may have refused a call that the mirrors would not have held back."""
    stated = verdict.snapshot
    if verdict.meaning is not Meaning.RATE_LIMITED or call.held or verdict.side_limit is not None:
        return False
    if stated is not None:
        return stated.metric is TOKENS and not stated.project
    return bool(verdict.readings) and (TOKENS in spent_of(call, verdict) or not spent_of(call, verdict))


def _can_keep(bucket: Mirror) -> bool:
    """Return whether room costs a bucket no rate. One of an hour or longer is there to be spent."""
    return FILLED_MS <= bucket.period_ms < HOUR_MS
