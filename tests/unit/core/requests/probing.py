"""An account whose breaker is open, and the call that probes it."""

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.account import AccountBreaker
from headrace.broker.core.budget.breaker import ACCOUNT_REST_MS, SILENT_ENOUGH
from headrace.broker.core.budget.tier_breaker import REFUSED_WITHIN_MS
from headrace.broker.core.commands import BreakerClosed
from headrace.broker.core.events import Answered
from headrace.broker.core.requests.attempts import Attempts
from headrace.broker.core.requests.in_flight import CallsInFlight
from headrace.broker.core.ticket import CallNumber
from tests.unit.core.specimens import budget, rules, ticket, verdict

OPENED_MS = 1_000_000
PROBED_MS = OPENED_MS + ACCOUNT_REST_MS


class Bench:
    """An account whose breaker a refusal has opened, after `took_ms`."""

    def __init__(self, *, took_ms: int = 0, meaning: Meaning = Meaning.AUTH) -> None:
        self.flights = CallsInFlight(inflight_max=10, held_bytes_max=1 << 30)
        self.attempts = Attempts(self.flights, rules(), lambda: 0.5)
        self.account = AccountBreaker()
        self.budget = budget()
        self.end(self.start(OPENED_MS - took_ms), meaning, OPENED_MS)
        assert self.attempts.breaker_changes()
        self.probe = self.start(PROBED_MS)

    def start(self, at_ms: int) -> CallNumber:
        return self.attempts.start(ticket(), self.budget, at_ms, account=self.account)

    def end(self, call: CallNumber, meaning: Meaning, at_ms: int) -> None:
        self.attempts.end(Answered(call, verdict(meaning), 0), at_ms, account=self.account, may_park=True)

    def believe(self, at_ms: int) -> bool:
        """Let time pass; whether that has closed the account's breaker."""
        told = self.attempts.believe_silence(self.account, at_ms)
        assert told in ([], [BreakerClosed(None, at_ms - OPENED_MS)])
        assert bool(told) is self.account.breaker.closed
        return bool(told)

    def probes(self, at_ms: int) -> list[CallNumber]:
        """Start as many calls as may probe the account now."""
        started = []
        while not self.account.breaker.closed and self.account.breaker.may_call_at(at_ms) == at_ms:
            started.append(self.start(at_ms))
        return started

    def silence(self) -> int:
        """Let the server be silent about three probes, which closes the breaker; return when."""
        once_ms = PROBED_MS + REFUSED_WITHIN_MS
        assert not self.believe(once_ms)
        assert len(self.probes(once_ms)) == SILENT_ENOUGH - 1
        assert self.believe(once_ms + REFUSED_WITHIN_MS)
        return once_ms + REFUSED_WITHIN_MS
