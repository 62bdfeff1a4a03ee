"""Requests that blame the account while others are served: one alone proves nothing about the rest.

A firewall may refuse one prompt with a 403, a gateway one request with a 402 that names its `max_tokens`. If each such
answer paused every limit, one request would stop all others until its deadline. So a blame is compared with the calls
that are served: those that have succeeded, and those that have been under way for longer than a refusal takes, since
refusals come at once and successes may take minutes. It holds for all

- if no call has succeeded for ten minutes, and none sent in that time is being served;
- if as many requests have blamed the account as are needed, two at first, and no call sent after the blame of the first
  was served in between. Answers to calls sent earlier are out of date.

A request that such a call has contradicted counts no longer. And where new requests are refused all the time among
others that are served, two are found too easily. So each time that enough requests were found and the first new call
after that succeeds, the number needed doubles; it is halved for each ten minutes since.
"""

from collections.abc import Callable
from typing import Final

from headrace.broker.core.answers.verdict import Verdict
from headrace.broker.core.ticket import Blame, Blamed
from headrace.broker.core.value import value

LATELY_MS: Final = 10 * 60_000
NEEDED_FIRST: Final = 2
DOUBLINGS_MAX: Final = 4
BORNE_OUT_MS: Final = 60_000  # probes that are refused sooner may be the next requests of their kind


@value
class EndedAttempt:
    """One attempt that has ended.

    Attributes:
        request: The number of its request's ticket.
        blames: What its request has said of the account before, as seen by its limit and by all limits.
        verdict: What its answer means.
        sent_ms: When its call was sent.
        probe: Whether it was the account's probe.
        is_served: Whether a call of a limit (None: any) sent after an instant has been under way for longer than a
            refusal takes.
    """

    request: int
    blames: Blamed
    verdict: Verdict
    sent_ms: int
    probe: bool
    is_served: Callable[[str | None, int], bool]


class Blames:
    """Blames of the account by the calls of one limit, or of all limits, and the successes that contradict them."""

    __slots__ = ("_answered_ms", "_by", "_doublings", "_first_ms", "_found", "_held_ms", "_refuted_ms", "_sent_ms")

    def __init__(self) -> None:
        self._answered_ms: int | None = None  # when the last success came
        self._sent_ms = -1  # when the last call was sent that has succeeded
        self._first_ms = -1  # the first blame that no success contradicts
        self._by: set[int] | None = None  # requests that have blamed the account since then
        self._found = False  # whether these were enough
        self._held_ms: int | None = None  # when enough of them had, if no new call has been answered since
        self._doublings, self._refuted_ms = 0, 0  # how often that was refuted, and when last

    def record_success(self, sent_ms: int, now_ms: int) -> None:
        """Record that a call sent at `sent_ms` has succeeded."""
        self._answered_ms = now_ms
        if sent_ms > self._sent_ms:
            self._sent_ms = sent_ms
        if self._held_ms is not None and sent_ms > self._held_ms:
            self._doublings = min(DOUBLINGS_MAX, self._doublings_left(now_ms) + 1)
            self._held_ms, self._refuted_ms = None, now_ms

    def holds(self, attempt: EndedAttempt, blame: Blame, limit: str | None, now_ms: int) -> bool:
        """Record an attempt that blames the account; return whether that holds for other requests too.

        Args:
            attempt: The attempt.
            blame: What its request has said before; updated.
            limit: The limit whose calls are compared; None: all limits.
            now_ms: Now.
        """
        is_new = blame.first_ms < 0
        if is_new:
            blame.first_ms = now_ms
        elif blame.first_ms < self._sent_ms or attempt.is_served(limit, blame.first_ms):
            blame.refuted += 1
            blame.first_ms = now_ms
        if is_new and self._held_ms is not None and attempt.sent_ms > self._held_ms + BORNE_OUT_MS:
            self._held_ms = None  # another request bears it out: this was no false alarm, even if all is well soon
        since_ms = now_ms - LATELY_MS
        if (self._answered_ms is None or self._answered_ms < since_ms) and not attempt.is_served(limit, since_ms):
            return True
        return not blame.refuted and self._are_enough(attempt, limit, now_ms)

    def _are_enough(self, attempt: EndedAttempt, limit: str | None, now_ms: int) -> bool:
        """Count a request among those that have blamed the account; return whether these are as many as needed."""
        request = attempt.request
        if self._by is None or self._first_ms < self._sent_ms or attempt.is_served(limit, self._first_ms):
            self._by, self._first_ms, self._found = set(), now_ms, False
        needed = NEEDED_FIRST << self._doublings_left(now_ms)  # it falls with time
        if len(self._by) < needed:
            self._by.add(request)
        enough = len(self._by) >= needed
        if enough and not self._found:
            self._found, self._held_ms = True, now_ms
        return enough

    def _doublings_left(self, now_ms: int) -> int:
        return max(0, self._doublings - (now_ms - self._refuted_ms) // LATELY_MS)
