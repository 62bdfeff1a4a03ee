"""Circuit breaker of the account behind all limits: one key, one balance.

An answer that blames the account (no credit, a rejected key) holds for every limit of this dispatcher. So one breaker
pauses all of them, and one probe call at a time is sent, whichever limit it draws on.

But a key may be permitted for one endpoint and not for another. A successful probe therefore clears the account and its
own limit; every other limit that has blamed the account in the meantime keeps an open breaker of its own until a probe
of its own succeeds. So one forbidden model never stops the others.
"""

from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.breaker import ACCOUNT, ACCOUNT_REST_MS, Breaker


class AccountBreaker:
    """The account's breaker and the limits that have blamed the account."""

    def __init__(self) -> None:
        self.breaker = Breaker()
        self._blamed_by: dict[str, Breaker] = {}

    def is_blamed_by(self, limit: str) -> bool:
        """Return whether an answer of that limit has blamed the account since its breaker opened."""
        return limit in self._blamed_by

    def observe(self, limit: str, own: Breaker, verdict: Verdict, now_ms: int, *, probe: bool) -> None:
        """Record the end of an attempt; `own` is its limit's breaker, `probe` says that it was the account's probe."""
        if verdict.meaning in ACCOUNT:
            self._blame(limit, own, verdict, now_ms, probe=probe)
        elif probe and verdict.meaning is Meaning.OK:
            self._clear(limit, now_ms)
        elif probe and verdict.meaning is Meaning.TIER_UNAVAILABLE and self.breaker.tripped_by is not None:
            self.breaker.trip(self.breaker.tripped_by, now_ms, ACCOUNT_REST_MS)  # it says nothing about the account
        elif probe:
            self.breaker.release_probe(now_ms)

    def _blame(self, limit: str, own: Breaker, verdict: Verdict, now_ms: int, *, probe: bool) -> None:
        if not probe and own.tripped_by in ACCOUNT:
            return  # the fault is known to be that limit's alone
        self._blamed_by[limit] = own
        if probe or self.breaker.closed:
            self.breaker.trip(verdict.meaning, now_ms, max(verdict.wait_ms or 0, ACCOUNT_REST_MS))

    def _clear(self, limit: str, now_ms: int) -> None:
        blamed, self._blamed_by = self._blamed_by, {}
        tripped_by = self.breaker.tripped_by
        assert tripped_by is not None, "a probe goes while the breaker is open, and only a probe closes it"
        self.breaker.close()
        for name, own in blamed.items():
            if name != limit and own.closed:
                own.trip(tripped_by, now_ms, 0)
