"""Sums of what was sent within a quarter of a second, one, two, six, ten and sixty: the usual spans of servers.

A server counts a call when it arrives, some milliseconds after it was sent and not always in the order of sending. So a
span here is `JITTER_MS` longer than its name: what must have left the server's count has left this one.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from headrace.broker.core.units import PPM

SPANS_MS: Final = (250, 1_000, 2_000, 6_000, 10_000, 60_000)
JITTER_MS: Final = 30
LARGEST_AMONG: Final = 60  # calls
_FEW: Final = 20
_SWEPT_ABOVE: Final = 4_096  # entries beyond the longest span that are kept until they are swept together


class Sums(NamedTuple):
    """Tokens and calls within each span."""

    tokens: tuple[int, ...]
    calls: tuple[int, ...]

    def repriced(self, ppm: int) -> "Sums":
        """Return the sums of calls that pay this part of their tokens."""
        return Sums(tuple(tokens * ppm // PPM for tokens in self.tokens), self.calls)


@dataclass(slots=True)
class PacedCall:
    """A call without an answer.

    Attributes:
        number: Among those sent.
        tokens: What it costs the pace.
        found: The sums that it found.
        paced: The rate held it back: only such a call says that the rate can grow.
        busy_ms: How long the rate had held calls back by then.
        heard: It counts as admitted, since the server has been silent about it.
        row: Refusals in a row that it has ended by that.
    """

    number: int
    tokens: int
    found: Sums
    paced: bool
    busy_ms: int
    heard: bool = False
    row: int = 0


class RecentSpending:
    """Calls in the order of sending, each with its tokens; a refused call counts as none."""

    __slots__ = ("_at_ms", "_call_sums", "_calls", "_first", "_heads", "_token_sums", "_tokens")

    def __init__(self) -> None:
        self._first = 0  # the number of the oldest entry
        self._at_ms: list[int] = []
        self._tokens: list[int] = []
        self._calls: list[int] = []
        self._heads = [0] * len(SPANS_MS)  # index of the first entry within each span
        self._token_sums = [0] * len(SPANS_MS)
        self._call_sums = [0] * len(SPANS_MS)

    def add(self, tokens: int, now_ms: int) -> int:
        """Count a call sent now; return its number."""
        self._at_ms.append(now_ms)
        self._tokens.append(tokens)
        self._calls.append(1)
        for span in range(len(SPANS_MS)):
            self._token_sums[span] += tokens
            self._call_sums[span] += 1
        return self._first + len(self._at_ms) - 1

    def strike(self, number: int) -> None:
        """Count a call as none: it was refused."""
        index = number - self._first
        if index < 0:
            return
        for span, head in enumerate(self._heads):
            if index >= head:
                self._token_sums[span] -= self._tokens[index]
                self._call_sums[span] -= self._calls[index]
        self._tokens[index] = self._calls[index] = 0

    def reprice(self, ppm: int) -> None:
        """Let each call count this part of its tokens."""
        self._tokens = [tokens * ppm // PPM for tokens in self._tokens]
        self._token_sums = [sum(self._tokens[head:]) for head in self._heads]

    def settle(self, now_ms: int) -> None:
        """Forget what has left each span."""
        count = len(self._at_ms)
        for span, span_ms in enumerate(SPANS_MS):
            head, left_ms = self._heads[span], now_ms - span_ms - JITTER_MS
            while head < count and self._at_ms[head] <= left_ms:
                self._token_sums[span] -= self._tokens[head]
                self._call_sums[span] -= self._calls[head]
                head += 1
            self._heads[span] = head
        swept = self._heads[-1]
        if swept > _SWEPT_ABOVE:
            del self._at_ms[:swept], self._tokens[:swept], self._calls[:swept]
            self._first += swept
            self._heads = [head - swept for head in self._heads]

    def sums(self) -> Sums:
        """Return the sums as of the last `settle`, with the calls sent since."""
        return Sums(tuple(self._token_sums), tuple(self._call_sums))

    def last_sent_ms(self) -> int | None:
        """Return when the last call was sent; None: none is remembered."""
        return self._at_ms[-1] if self._at_ms else None

    def tokens_mean(self) -> int | None:
        """Return the tokens of a mean call of the last minute; None: too few calls to say."""
        calls = self._call_sums[-1]
        return self._token_sums[-1] // calls if calls > _FEW else None

    def largest(self) -> int:
        """Return the tokens of the largest of the last `LARGEST_AMONG` calls."""
        return max(self._tokens[-LARGEST_AMONG:], default=0)

    def falls_by_at(self, span: int, amount: int, *, of_calls: bool) -> int | None:
        """Return when a span's sum will have fallen by an amount, if nothing is added; None: it holds less."""
        figures = self._calls if of_calls else self._tokens
        gone = 0
        for index in range(self._heads[span], len(figures)):
            gone += figures[index]
            if gone >= amount:
                return self._at_ms[index] + SPANS_MS[span] + JITTER_MS
        return None
