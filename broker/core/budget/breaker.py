"""When a whole limit, or the whole account, is in trouble: stop hammering, probe with one call at a time, go on again.

A server that is down answers every call with the same failure. Counting those against each request would fail leads
for what is not theirs, and repeating them all would be a storm. So after a few failures in a row, with no success in
between, the limit rests; each rest is twice the last; after it one call goes alone. An answer that blames the account
(quota, key, region, base URL) opens the account's breaker at once, since no other request would fare better, whatever
limit it draws on. While a breaker is not closed, failures are the server's and count against no request.

Only the probe closes a breaker or opens it again. Calls that were in flight when it opened tell old news: an answer
that set out before the credit was used up is no sign that there is any.
"""

from typing import Final

from broker.core.answers.verdict import Meaning

FAILURES_IN_A_ROW: Final = 3
REST_FIRST_MS: Final = 500
REST_MAX_MS: Final = 30_000
ACCOUNT_REST_MS: Final = 10_000  # an operator must act first

ACCOUNT: Final = frozenset({Meaning.QUOTA, Meaning.AUTH, Meaning.NOT_THE_API})
TROUBLE: Final = frozenset({Meaning.OVERLOADED, Meaning.UPSTREAM_ERROR, Meaning.TIMEOUT, Meaning.CONNECTION})


class Breaker:
    """One limit's, or the account's.

    Attributes:
        tripped_by: What it is open for; None while it is closed.
        closed: Calls flow freely.
        calm: It is closed and counts no failure, so that an answer without trouble tells it nothing.
        opened_ms: When it opened last, failed probes left out.
    """

    def __init__(self) -> None:
        self.tripped_by: Meaning | None = None
        self.closed = self.calm = True
        self.opened_ms = 0
        self._failures = 0
        self._rest_ms = REST_FIRST_MS
        self._rests_until_ms = 0
        self._probing = False

    def may_call_at(self, now_ms: int) -> int | None:
        """When a call may start; None: not before the probe that is in flight has ended."""
        if self.tripped_by is None:
            return now_ms
        return None if self._probing else max(now_ms, self._rests_until_ms)

    def rests_until(self, now_ms: int) -> int:
        """When the next probe may go, whether or not one is in flight."""
        return now_ms if self.tripped_by is None else max(now_ms, self._rests_until_ms)

    def probe(self) -> bool:
        """A call starts; True if it is this breaker's probe."""
        self._probing = not self.closed
        return self._probing

    def lost_probe(self) -> None:
        """The probe ended and told nothing; another one may go."""
        self._probing = False

    def heard(self, meaning: Meaning, now_ms: int, wait_ms: int | None, *, probe: bool = False) -> None:
        """A limit's attempt ended; `wait_ms` is what the server asked for, `probe` says that it was the probe.

        Any answer that says something of the request alone, even a refusal, proves that the server works.
        """
        if not self.closed and not probe:
            return
        if meaning in ACCOUNT and self.tripped_by in ACCOUNT:
            self.trip(meaning, now_ms, max(wait_ms or 0, ACCOUNT_REST_MS))
        elif meaning not in TROUBLE:
            self.close()
        else:
            self._failures += 1
            self.calm = False
            if probe or self._failures >= FAILURES_IN_A_ROW:
                self.trip(meaning, now_ms, max(wait_ms or 0, self._rest_ms))
                self._rest_ms = min(REST_MAX_MS, 2 * self._rest_ms)

    def trip(self, meaning: Meaning, now_ms: int, rest_ms: int) -> None:
        """Open, or stay open, and let nobody call for so long."""
        if self.closed:
            self.opened_ms = now_ms
        self.tripped_by = meaning
        self.closed = self.calm = False
        self._rests_until_ms = now_ms + rest_ms
        self._probing = False

    def close(self) -> None:
        """All is well: calls flow, and the next rest is a short one again."""
        self.tripped_by = None
        self.closed = self.calm = True
        self._failures, self._rest_ms, self._probing = 0, REST_FIRST_MS, False
