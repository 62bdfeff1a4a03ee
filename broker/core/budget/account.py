"""Circuit breaker of the account behind all limits: one key, one balance.

An account without credit, or a rejected key, concerns every limit of this dispatcher. So one breaker pauses all of
them, and probe calls are sent, whichever limits they draw on: one at a time, and more while the server is silent about
one. A single request that is refused so while others are answered opens nothing, see
`headrace.broker.core.budget.blames`.

But a key may be permitted for one endpoint and not for another. A probe that is served therefore clears the account and
its own limit; every other limit that has blamed the account in the meantime keeps an open breaker of its own until a
probe of its own is served. If calls of other limits are served while the requests of one limit blame the account, that
limit's breaker opens and no other. So one forbidden model never stops the others.
"""

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.blames import Blames, EndedAttempt
from headrace.broker.core.budget.breaker import ACCOUNT, ACCOUNT_REST_MS, Breaker, account_rest_ms
from headrace.broker.core.budget.budget import Budget


class AccountBreaker:
    """The account's breaker and the limits that have blamed the account."""

    def __init__(self) -> None:
        self.breaker = Breaker()
        self._blamed_by: dict[str, Breaker] = {}
        self._blames = Blames()

    def is_blamed_by(self, limit: str) -> bool:
        """Return whether an answer of that limit has blamed the account since its breaker opened."""
        return limit in self._blamed_by

    def record_success(self, budget: Budget, sent_ms: int, now_ms: int) -> None:
        """Record that a call of a limit, sent at `sent_ms`, has succeeded."""
        budget.blames.record_success(sent_ms, now_ms)
        self._blames.record_success(sent_ms, now_ms)

    def observe(self, budget: Budget, attempt: EndedAttempt, now_ms: int) -> None:
        """Record the end of an attempt that the budget has paid for; `record_success` comes before, if it succeeded."""
        probe, verdict = attempt.probe, attempt.verdict
        if verdict.meaning in ACCOUNT:
            self._blame(budget, attempt, now_ms)
        elif probe and verdict.meaning is Meaning.OK:
            self.clear(budget.settings.name, now_ms)
        elif probe and verdict.meaning is Meaning.TIER_UNAVAILABLE and self.breaker.tripped_by is not None:
            self.breaker.trip(self.breaker.tripped_by, now_ms, ACCOUNT_REST_MS)  # it says nothing about the account
        elif probe:
            self.breaker.release_probe(now_ms)

    def _blame(self, budget: Budget, attempt: EndedAttempt, now_ms: int) -> None:
        own, probe, verdict = budget.breaker, attempt.probe, attempt.verdict
        rest_ms = account_rest_ms(verdict.wait_ms)
        seen_by_limit, seen_by_all = attempt.blames
        limit = budget.settings.name
        of_limit = budget.blames.holds(attempt, seen_by_limit, limit, now_ms)
        if not probe and own.tripped_by in ACCOUNT:
            return  # the fault is known to be that limit's alone, whose own count goes on; that of all learns nothing
        of_account = self._blames.holds(attempt, seen_by_all, None, now_ms)
        if self.breaker.closed:
            if of_account:
                self._blamed_by[limit] = own
                self.breaker.trip(verdict.meaning, now_ms, rest_ms)
            elif of_limit and own.closed:
                own.trip(verdict.meaning, now_ms, rest_ms)
            return
        self._blamed_by[limit] = own
        if probe and (of_account or not attempt.is_served(None, self.breaker.opened_ms - 1)):
            self.breaker.trip(verdict.meaning, now_ms, rest_ms)
        elif probe:
            self.breaker.release_probe(now_ms)  # another probe is being served: it may be this request's fault

    def clear(self, limit: str, now_ms: int) -> None:
        """Close the breaker: a probe of a limit was served. Other limits that blamed the account open theirs."""
        blamed, self._blamed_by = self._blamed_by, {}
        tripped_by = self.breaker.tripped_by
        assert tripped_by is not None, "a probe goes while the breaker is open, and only a probe closes it"
        self.breaker.close()
        for name, own in blamed.items():
            if name != limit and own.closed:
                own.trip(tripped_by, now_ms, 0)
