"""Probes of the account about which the server is silent: a call under way for longer than a refusal takes is served.

A refusal that blames the account comes at once, before any work is done. A success may take minutes, and while one
probe is under way nothing else may go. So once it has been under way for `REFUSED_WITHIN_MS`, or for twice as long as
the longest such refusal, it holds up no other: two may go. The breaker closes with the first success, or once the
server has been silent about three. One call alone may hang until its time-out while the account refuses all others; it
costs a few refusals, and not one for each request that waits. (Each success takes a tenth off what slow refusals, and
calls that hung, have added.)
"""

from typing import Final

from headrace.broker.core.budget.breaker import ACCOUNT, Breaker
from headrace.broker.core.budget.tier_breaker import REFUSED_WITHIN_MS
from headrace.broker.core.requests.in_flight import CallInFlight, CallsInFlight
from headrace.broker.core.ticket import CallNumber
from headrace.broker.core.units import PPM

SERVED_AFTER_MAX_MS: Final = 60_000
KEPT_PPM: Final = 900_000


class SilentProbes:
    """The calls that probe a breaker which blames of the account have opened.

    Attributes:
        served_after_ms: How long a call must have been under way to count as served.
    """

    def __init__(self, flights: CallsInFlight) -> None:
        self.served_after_ms = REFUSED_WITHIN_MS
        self._flights = flights
        self._probes: dict[CallNumber, CallInFlight] = {}

    def record_start(self, call: CallNumber) -> None:
        """Watch a call that has just started, if it probes such a breaker."""
        flight = self._flights.find(call)
        if any(breaker.tripped_by in ACCOUNT for breaker in flight.probes):
            self._probes[call] = flight

    def record_refusal(self, took_ms: int) -> None:
        """Learn how long a refusal that blames the account took, or a probe that was no success."""
        self.served_after_ms = min(SERVED_AFTER_MAX_MS, max(self.served_after_ms, 2 * took_ms))

    def record_success(self) -> None:
        """Forget slow refusals little by little: the account is well."""
        self.served_after_ms = max(REFUSED_WITHIN_MS, self.served_after_ms * KEPT_PPM // PPM)

    def due_at(self) -> int | None:
        """Return when the next of them counts as served; None: none is under way."""
        self._forget_ended()
        if not self._probes:
            return None
        return min(flight.sent_ms for flight in self._probes.values()) + self.served_after_ms

    def take(self, now_ms: int) -> list[tuple[CallInFlight, list[Breaker]]]:
        """Return the calls that count as served now, each with the breakers that are still open and that it probes."""
        self._forget_ended()
        found = []
        for call, flight in list(self._probes.items()):
            if flight.sent_ms + self.served_after_ms <= now_ms:
                del self._probes[call]
                flight.silent = True
                of_account = [
                    each for each in flight.probes if each.tripped_by in ACCOUNT and flight.probes_still(each)
                ]
                found.append((flight, of_account))
        return found

    def _forget_ended(self) -> None:
        """Forget calls that have ended, and those that leave only after a ledger line: when they do is not known."""
        for call, flight in list(self._probes.items()):
            if flight.line or flight.of_former_term or not self._flights.holds(call):
                del self._probes[call]
