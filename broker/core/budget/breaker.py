"""Circuit breaker of a limit, the account or a service tier: pause on trouble, probe with one call at a time, resume.

A server that is down answers every call with the same failure. Counting these failures against the requests would fail
requests for a fault that is not theirs, and retrying all of them would be a retry storm. So after a few consecutive
failures, with no sign in between that the server works, the limit pauses; each pause is twice as long as the last;
after it, one call is sent alone. Answers that blame the account (quota, key, region, base URL) open the account's
breaker, since no other request would fare better, whatever limit it draws on. While a breaker is not closed, failures
are attributed to the server and count against no request.

Only a probe closes a breaker or opens it again. While the server is silent about one of the account, others may go
(`headrace.broker.core.requests.silent_probes`). The answers to calls that were in flight when it opened are out of
date: one to a call sent before the credit was used up does not show that there is any.
"""

from typing import Final

from headrace.broker.core.answers.verdict import Meaning

FAILURES_IN_A_ROW: Final = 3
REST_FIRST_MS: Final = 500
REST_MAX_MS: Final = 30_000
ACCOUNT_REST_MS: Final = 10_000  # an operator must act first
SILENT_ENOUGH: Final = 3  # one call alone may hang
ACCOUNT_REST_MAX_MS: Final = 60_000  # whatever wait is stated: two requests may have been refused for their own fault

ACCOUNT: Final = frozenset({Meaning.QUOTA, Meaning.AUTH, Meaning.NOT_THE_API})
TROUBLE: Final = frozenset({Meaning.OVERLOADED, Meaning.UPSTREAM_ERROR, Meaning.TIMEOUT, Meaning.CONNECTION})


def account_rest_ms(wait_ms: int | None) -> int:
    """Return how long the account rests after an answer that blames it and asks to wait for `wait_ms`."""
    return min(ACCOUNT_REST_MAX_MS, max(wait_ms or 0, ACCOUNT_REST_MS))


class Breaker:
    """Circuit breaker of one limit or of the account; that of a tier builds on it.

    Attributes:
        tripped_by: The reason why it is open; None while it is closed.
        closed: Calls flow freely.
        calm: It is closed and counts no failure, so an answer without trouble changes nothing.
        opened_ms: When it last opened; a failed probe does not count as an opening.
    """

    def __init__(self) -> None:
        self.tripped_by: Meaning | None = None
        self.closed = self.calm = True
        self.opened_ms = 0
        self._failures = 0
        self._rest_ms = REST_FIRST_MS
        self._rests_until_ms = 0
        self._probing = 0  # probes under way, but for those about which the server has been silent for long
        self._width = 1  # how many may be
        self._silent = 0  # those about which it has been

    def may_call_at(self, now_ms: int) -> int | None:
        """Return when a call may start; None: not before the probe in flight has ended."""
        if self.tripped_by is None:
            return now_ms
        return None if self._probing >= self._width else max(now_ms, self._rests_until_ms)

    def rests_until(self, now_ms: int) -> int:
        """Return when the next probe may start, whether or not one is in flight."""
        return now_ms if self.tripped_by is None else max(now_ms, self._rests_until_ms)

    @property
    def is_probing(self) -> bool:
        """Whether a probe is under way."""
        return self._probing > 0

    def probe(self) -> bool:
        """Record the start of a call; return True if it is a probe of this breaker."""
        is_probe = not self.closed and self._probing < self._width
        self._probing += is_probe
        return is_probe

    def record_silence(self) -> bool:
        """Record that the server has been silent about a probe for long; return whether so many show that it serves.

        Another may go, and twice as many once it has been silent about all of them.
        """
        self._silent += 1
        self._probing = max(0, self._probing - 1)
        if not self._probing:
            self._width *= 2
        return self._silent >= SILENT_ENOUGH

    def forget_silence(self) -> None:
        """Record that such a probe has ended, and was not served."""
        self._silent = max(0, self._silent - 1)

    def release_probe(self, now_ms: int) -> None:
        """Record that the probe ended without a result at `now_ms`; another one may start."""
        self._probing = max(0, self._probing - 1)

    def observe(self, meaning: Meaning, now_ms: int, wait_ms: int | None, *, probe: bool = False) -> None:
        """Record the end of a limit's attempt.

        `wait_ms` is the wait that the server asked for, `probe` says that the attempt was the probe. Any answer that
        concerns the request alone, even a refusal, proves that the server works. The refusal of a service tier proves
        nothing; after a probe that met one the limit rests again.
        """
        if not self.closed and not probe:
            return
        if meaning is Meaning.TIER_UNAVAILABLE:  # it says nothing about the limit
            if self.tripped_by is not None:
                self.trip(self.tripped_by, now_ms, self._rest_ms)
            return
        if meaning in ACCOUNT and self.tripped_by in ACCOUNT:
            self.trip(meaning, now_ms, account_rest_ms(wait_ms))
        elif meaning not in TROUBLE:
            self.close()
        else:
            self._failures += 1
            self.calm = False
            if probe or self._failures >= FAILURES_IN_A_ROW:
                self.trip(meaning, now_ms, max(wait_ms or 0, self._rest_ms))
                self._rest_ms = min(REST_MAX_MS, 2 * self._rest_ms)

    def trip(self, meaning: Meaning, now_ms: int, rest_ms: int) -> None:
        """Open, or stay open, and allow no call for `rest_ms`."""
        if self.closed:
            self.opened_ms = now_ms
        self.tripped_by = meaning
        self.closed = self.calm = False
        self._rests_until_ms = now_ms + rest_ms
        self._probing, self._width, self._silent = 0, 1, 0

    def close(self) -> None:
        """Close: calls flow, and the next pause is a short one again."""
        self.tripped_by = None
        self.closed = self.calm = True
        self._failures, self._rest_ms = 0, REST_FIRST_MS
        self._probing, self._width, self._silent = 0, 1, 0
