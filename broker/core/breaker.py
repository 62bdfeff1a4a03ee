"""When a whole limit is in trouble: stop hammering, probe with one call at a time, go on at the first success.

A server that is down answers every call with the same failure. Counting those against each request would fail leads
for what is not theirs, and repeating them all would be a storm. So after a few failures in a row, with no success in
between, the limit rests; each rest is twice the last; after it one call goes alone. An answer that blames the account
(quota, key, region) opens at once, since no other request would fare better. While a breaker is not closed its
failures are the server's and count against nobody.
"""

from typing import Final

from broker.core.verdict import Meaning

FAILURES_IN_A_ROW: Final = 3
REST_FIRST_MS: Final = 500
REST_MAX_MS: Final = 30_000
ACCOUNT_REST_MS: Final = 10_000  # an operator must act first

ACCOUNT: Final = frozenset({Meaning.QUOTA, Meaning.AUTH})
TROUBLE: Final = frozenset({Meaning.OVERLOADED, Meaning.UPSTREAM_ERROR, Meaning.TIMEOUT, Meaning.CONNECTION})


class Breaker:
    """One limit's. Any answer that says something of the request alone, even a refusal, proves the server works."""

    def __init__(self) -> None:
        self._failures = 0
        self._rest_ms = REST_FIRST_MS
        self._rests_until_ms: int | None = None
        self.tripped_by: Meaning | None = None

    @property
    def closed(self) -> bool:
        """True while calls flow freely."""
        return self._rests_until_ms is None

    def may_call_at(self, now_ms: int, inflight: int) -> int | None:
        """When a call may start; None: not before the probe that is in flight has ended."""
        if self._rests_until_ms is None:
            return now_ms
        return None if inflight else max(now_ms, self._rests_until_ms)

    def heard(self, meaning: Meaning, now_ms: int, wait_ms: int | None) -> None:
        """An attempt ended; `wait_ms` is what the server asked for."""
        if meaning in ACCOUNT:
            self._open(meaning, now_ms, max(wait_ms or 0, ACCOUNT_REST_MS))
        elif meaning not in TROUBLE:
            self._failures, self._rest_ms, self._rests_until_ms, self.tripped_by = 0, REST_FIRST_MS, None, None
        else:
            self._failures += 1
            if not self.closed and now_ms < (self._rests_until_ms or 0):
                return  # a call that started before the breaker opened: its news are old
            if not self.closed or self._failures >= FAILURES_IN_A_ROW:
                self._open(meaning, now_ms, max(wait_ms or 0, self._rest_ms))
                self._rest_ms = min(REST_MAX_MS, 2 * self._rest_ms)

    def _open(self, meaning: Meaning, now_ms: int, rest_ms: int) -> None:
        self._rests_until_ms = max(self._rests_until_ms or 0, now_ms + rest_ms)
        self.tripped_by = meaning
