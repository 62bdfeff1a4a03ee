"""Calls that a rate control paces: one by one, or as a backlog before a server that says nothing but yes or no."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from headrace.broker.core.budget.pace import LEEWAY_US
from headrace.broker.core.budget.rate_control import CUT_PPM, RateControl
from headrace.broker.core.units import PPM

MINUTE = 60_000
HOUR = 60 * MINUTE
LEEWAY_MS = LEEWAY_US // 1_000
PER_MINUTE = 60_000  # one token a millisecond
RATE = PER_MINUTE * 1_000
WAY_MS = 10
REFUSED_MS = 20
ANSWERED_MS = 400

Admits = Callable[[int, int], bool]
"""Decides about a call of so many tokens that arrives at an instant."""


def bucket(capacity: int) -> Admits:
    """A token bucket that refills in a minute, full at first."""
    level, refilled_ms = float(capacity), 0

    def admits(tokens: int, now_ms: int) -> bool:
        nonlocal level, refilled_ms
        level, refilled_ms = min(capacity, level + capacity * (now_ms - refilled_ms) / MINUTE), now_ms
        if tokens > level:
            return False
        level -= tokens
        return True

    return admits


def fixed(capacity: int, span_ms: int) -> Admits:
    """So many tokens within each window of a clock."""
    window, spent = -1, 0

    def admits(tokens: int, now_ms: int) -> bool:
        nonlocal window, spent
        if now_ms // span_ms != window:
            window, spent = now_ms // span_ms, 0
        if spent + tokens > capacity:
            return False
        spent += tokens
        return True

    return admits


def sliding(capacity: int, span_ms: int, *, of_calls: bool = False) -> Admits:
    """So many tokens, or calls, within any span."""
    counted: deque[tuple[int, int]] = deque()
    spent = 0

    def admits(tokens: int, now_ms: int) -> bool:
        nonlocal spent
        amount = 1 if of_calls else tokens
        while counted and counted[0][0] <= now_ms - span_ms:
            spent -= counted.popleft()[1]
        if spent + amount > capacity:
            return False
        counted.append((now_ms, amount))
        spent += amount
        return True

    return admits


@dataclass
class Backlog:
    """Calls that wait at a server, without end; each is sent when its rate control allows.

    Attributes:
        control: What paces them.
        admits: The server.
        tokens: Of the next call.
        now_ms: The instant that has been reached.
        refused_ms: How soon a refusal comes back.
        wait_ms: What a refusal asks for.
        admitted: When calls were admitted, and their tokens.
        refused: When calls were refused.
        rates: At the same instants as `refused`: the rate before.
    """

    control: RateControl
    admits: Admits
    tokens: Callable[[], int] = lambda: 1_000
    now_ms: int = 0
    refused_ms: int = REFUSED_MS
    wait_ms: int | None = None
    admitted: list[tuple[int, int]] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    rates: list[int] = field(default_factory=list)
    _answers: list[tuple[int, int, int, int, bool]] = field(default_factory=list)
    _attempts: int = 0

    def run(self, until_ms: int) -> None:
        """Send calls until an instant."""
        tokens = self.tokens()
        while self.now_ms < until_ms:
            while self._answers and self._answers[0][0] <= self.now_ms:
                self._answer(*heappop(self._answers))
            at_ms = self.control.payable_at(tokens, self.now_ms, first=False)
            if at_ms <= self.now_ms:
                self._send(tokens)
                tokens = self.tokens()
            else:
                self.now_ms = min(at_ms, until_ms, self._answers[0][0] if self._answers else until_ms)

    def _send(self, tokens: int) -> None:
        self._attempts += 1
        self.control.record_send(self._attempts, tokens, self.now_ms)
        is_admitted = self.admits(tokens, self.now_ms + WAY_MS)
        answered_ms = self.now_ms + (ANSWERED_MS if is_admitted else self.refused_ms)
        heappush(self._answers, (answered_ms, self._attempts, tokens, self.now_ms, is_admitted))

    def _answer(self, _at_ms: int, attempt: int, tokens: int, sent_ms: int, is_admitted: bool) -> None:  # noqa: FBT001 — an entry of the heap
        if is_admitted:
            self.control.record_admission(attempt, sent_ms, self.now_ms)
            self.admitted.append((sent_ms, tokens))
        else:
            self.refused.append(self.now_ms)
            self.rates.append(self.control.rate)
            self.control.record_refusal(attempt, tokens, sent_ms, self.now_ms, self.wait_ms)

    def share(self, per_minute: int, from_ms: int) -> float:
        """Return what was admitted since an instant, of what the limit lets through."""
        tokens = sum(tokens for at_ms, tokens in self.admitted if at_ms >= from_ms)
        return tokens * MINUTE / (per_minute * (self.now_ms - from_ms))

    def refused_per_1000(self, from_ms: int) -> float:
        """Return the refusals since an instant for 1,000 calls admitted."""
        admitted = sum(1 for at_ms, _ in self.admitted if at_ms >= from_ms)
        return 1_000 * sum(1 for at_ms in self.refused if at_ms >= from_ms) / admitted


class Caller:
    """Sends one call after another and says what became of it."""

    def __init__(self, control: RateControl | None = None, tokens: int = 1_000) -> None:
        self.control = RateControl(PER_MINUTE, 0) if control is None else control
        self.tokens = tokens
        self.now_ms = 0
        self.attempt = 0
        self.sent_ms = 0

    def due_ms(self, *, first: bool = False) -> int:
        return self.control.payable_at(self.tokens, self.now_ms, first=first)

    def send(self, after_ms: int = 0) -> int:
        """Send the next call without asking; return its number."""
        self.now_ms += after_ms
        self.attempt += 1
        self.sent_ms = self.now_ms
        self.control.record_send(self.attempt, self.tokens, self.now_ms)
        return self.attempt

    def wait(self) -> int:
        """Wait until the next call may be sent, and return how long that took."""
        began_ms = self.now_ms
        while (at_ms := self.due_ms()) > self.now_ms:
            self.now_ms = at_ms
        return self.now_ms - began_ms

    def admit(self, times: int = 1) -> "Caller":
        """Send as the rate allows, and let each call be admitted at once."""
        for _ in range(times):
            self.wait()
            self.control.record_admission(self.send(), self.now_ms, self.now_ms)
        return self

    def admit_until(self, until_ms: int) -> "Caller":
        while self.now_ms < until_ms:
            self.admit()
        return self

    def refuse(self, wait_ms: int | None = None, took_ms: int = REFUSED_MS) -> "Caller":
        """Send as the rate allows, and let the call be refused."""
        self.wait()
        attempt = self.send()
        self.now_ms += took_ms
        self.control.record_refusal(attempt, self.tokens, self.sent_ms, self.now_ms, wait_ms)
        return self


def settled() -> Caller:
    """A caller whose first refusal will come after more than a minute, and many calls."""
    return Caller().admit(70)


def cut(rate: int, times: int) -> int:
    return rate - rate * times * CUT_PPM // PPM
