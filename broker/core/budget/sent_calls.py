"""Recent calls in order of sending: the history that relates the level in a later answer to the level now.

Kept in columns, since every answer reads a slice of them; bounded, since an answer that must look back over more sends
teaches nothing that newer answers do not.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import REQUESTS, TOKENS, LimitMetric
from headrace.broker.core.budget.admission_delay import DELAY_MAX_MS, LongestDelay
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.value import value

SENDS_MAX: Final = 4_096
RECENT: Final = 256
REPRICED_MAX: Final = 1_024  # calls without an answer, the newest: priced again in some milliseconds


@value
class AdmissionOrder:
    """The call that an answer belongs to, and which others may have reached the limiter before or after it.

    The *early* instant is one admission delay before the last one at which the call may have been admitted, and no
    later than its sending.

    Attributes:
        number: The call's number.
        sent_ms: When it was sent.
        now_ms: When the answer came.
        delay_ms: The longest admission delay.
        age_ms: By how much what was stated may be older than the call.
        index: The call's index in the columns; -1 if it was sent too long ago, and the remaining fields are
            meaningless.
        since: Calls from this index on, up to its own, may have arrived after what was stated; without an age its own.
        first: Calls before this index arrived before it: sent one delay earlier, or answered when it was sent. With an
            age they arrived before what was stated.
        last: Calls from this index on arrive after it: sent one delay later.
        early: Calls before this index were sent before the early instant, or arrived before it.
        stop: Calls from this index on were sent after the early instant, or after it.
        ahead_ms: The time from the early instant to the sending of the call at `early`.
    """

    number: int
    sent_ms: int
    now_ms: int
    delay_ms: int
    age_ms: int = 0
    index: int = -1
    since: int = 0
    first: int = 0
    last: int = 0
    early: int = 0
    stop: int = 0
    ahead_ms: int = 0


class SentCalls:
    """Sending time and amount of each metric for each call.

    Attributes:
        delay_max_ms: The longest that any call takes to the limiter, as far as refusals have shown (`LongestDelay`).
    """

    def __init__(self) -> None:
        self.delay_max_ms = DELAY_MAX_MS
        self._longest: LongestDelay | None = None  # until a call is refused
        self.sent_ms: list[int] = []
        self.oldest_open: list[int] = []  # number of the oldest call without an answer when this one was sent
        self.amounts: dict[LimitMetric, list[int]] = {metric: [] for metric in LimitMetric}
        self._prices: list[Prices | None] = []  # None: the server's own figure, which no law changes
        self.count = 0  # all calls ever sent
        self.forgotten = 0

    def append(self, sent_ms: int, tokens: int, oldest_open: int | None = None, prices: Prices | None = None) -> int:
        """Add a call; return its number. `oldest_open`: the oldest call still unanswered, if there is one."""
        if len(self.sent_ms) >= 2 * SENDS_MAX:  # halved at times: cheaper than dropping one call each time
            self.forgotten += SENDS_MAX
            for column in (self.sent_ms, self.oldest_open, *self.amounts.values()):
                del column[:SENDS_MAX]
            del self._prices[:SENDS_MAX]
        number = self.count
        self.count += 1
        self.sent_ms.append(sent_ms)
        self.oldest_open.append(number if oldest_open is None else oldest_open)
        self.amounts[TOKENS].append(tokens)
        self.amounts[REQUESTS].append(1)
        self._prices.append(prices)
        return number

    def index_of(self, number: int) -> int | None:
        """Return the index of that call in the columns; None if it has been forgotten."""
        index = number - self.forgotten
        return index if index >= 0 else None

    def oldest_open_ms(self, sent_ms: int) -> int:
        """Return when the oldest call was sent that was unanswered when the newest one was sent.

        `sent_ms` is returned where that call has been forgotten.
        """
        index = self.index_of(self.oldest_open[-1])
        return sent_ms if index is None else self.sent_ms[index]

    def remembered(self) -> Iterator[tuple[int, int, Prices | None]]:
        """Yield the calls that are remembered: when each was sent, the number of the oldest open one, and its prices.

        Without prices: it was not charged, or the server has named its charge.
        """
        for index, sent_ms in enumerate(self.sent_ms):
            yield sent_ms, self.oldest_open[index], self._prices[index] if self.amounts[TOKENS][index] else None

    def prices_of(self, number: int) -> Prices | None:
        """Return the prices of that call; None: it has been forgotten, or the server has named its charge."""
        index = self.index_of(number)
        return self._prices[index] if index is not None and index < len(self._prices) else None

    def recent_tokens(self) -> int:
        """Return the tokens of the last calls."""
        return sum(self.amounts[TOKENS][-RECENT:])

    def spent_since(self, number: int, until_ms: int) -> int:
        """Return the tokens of calls after that one, up to `until_ms`; after a forgotten one, of all still known."""
        tokens, index = self.amounts[TOKENS], max(-1, number - self.forgotten)
        return sum(tokens[index + 1 : bisect_right(self.sent_ms, until_ms, lo=min(index + 1, len(tokens)))])

    def sent_since(self, metric: LimitMetric, since_ms: int) -> int:
        """Return the amounts of the calls sent since then, as far as they are known."""
        return sum(self.amounts[metric][bisect_left(self.sent_ms, since_ms) :])

    def sent_between(self, metric: LimitMetric, from_ms: int, until_ms: int) -> int:
        """Return the amounts of the calls sent from one instant until before another, as far as they are known."""
        times_ms = self.sent_ms
        return sum(self.amounts[metric][bisect_left(times_ms, from_ms) : bisect_left(times_ms, until_ms)])

    def record_refusal(self, took_ms: int) -> None:
        """Learn by how long after its call a refusal came how long calls take to the server at most."""
        self._longest = self._longest or LongestDelay()
        self._longest.record_refusal(took_ms)
        self.delay_max_ms = self._longest.ms

    def counted_late(self, metric: LimitMetric, order: AdmissionOrder, period_ms: int) -> int:
        """Return what more of our calls a window had counted, at most, if delays were as long as they may be."""
        longest_ms = max(order.delay_ms, self.delay_max_ms)
        times_ms, amounts = self.sent_ms, self.amounts[metric]
        after = bisect_right(times_ms, order.sent_ms + longest_ms, order.last)
        begun_ms = order.sent_ms - period_ms
        first, last = (bisect_left(times_ms, begun_ms - delay_ms) for delay_ms in (longest_ms, order.delay_ms))
        return sum(amounts[order.last : after]) + sum(amounts[first:last])

    def admission_order(self, number: int, sent_ms: int, now_ms: int, delay_ms: int, age_ms: int = 0) -> AdmissionOrder:
        """Return the order of admission around the call that an answer belongs to, for every bucket it describes.

        `age_ms`: by how much what it states may be older.
        """
        assert delay_ms > 0, "every admission delay takes time"
        index, times_ms = number - self.forgotten, self.sent_ms
        if index < 0:
            return AdmissionOrder(number, sent_ms, now_ms, delay_ms, age_ms)
        oldest = self.oldest_open[index] - self.forgotten if not age_ms else 0
        first = bisect_right(times_ms, sent_ms - age_ms - delay_ms, oldest if oldest > 0 else 0, index + 1)
        since = bisect_right(times_ms, sent_ms - age_ms, first, index) if age_ms else index
        last = bisect_right(times_ms, sent_ms + delay_ms, index)
        early_ms, stop = sent_ms, index + 1  # as a rule: an answer takes longer than one admission delay
        if now_ms - delay_ms < sent_ms:
            early_ms = now_ms - delay_ms
            stop = bisect_right(times_ms, early_ms, first, index + 1)
        early = bisect_left(times_ms, early_ms, first, stop)
        ahead_ms = times_ms[early] - early_ms
        return AdmissionOrder(
            number, sent_ms, now_ms, delay_ms, age_ms, index, since, first, last, early, stop, ahead_ms
        )

    def strike(self, number: int) -> int | None:
        """Set the amounts of that call to 0, because it was not charged.

        Return the tokens that it was counted with, which are not those that it paid if it was priced again; None: it
        has been forgotten.
        """
        index = self.index_of(number)
        if index is None:
            return None
        counted = self.amounts[TOKENS][index]
        for column in self.amounts.values():
            column[index] = 0
        return counted

    def disclose(self, number: int, prices: Prices | None, paid: int) -> int | None:
        """Let that call have the prices that its answer has told, and the amount that they make.

        None: the answer has told the amount itself, which no law changes.
        Return the tokens that it was counted with too much; None: it has been forgotten.
        """
        index = self.index_of(number)
        if index is None:
            return None
        self._prices[index] = prices
        excess = self.amounts[TOKENS][index] - paid
        self.amounts[TOKENS][index] = paid
        return excess

    def reprice_unanswered(self, price: Callable[[Prices], int]) -> list[tuple[int, int]]:
        """Price the newest calls again whose answers have not told the input that their bodies do not show.

        Return the number of each whose amount has changed, and the tokens that it was counted with too much.
        """
        tokens, changed = self.amounts[TOKENS], []
        oldest = self.oldest_open[-1] - self.forgotten if self.oldest_open else 0
        first = max(0, oldest, len(tokens) - REPRICED_MAX)
        for index, prices in enumerate(self._prices[first:], start=first):
            if prices is not None and prices.unshown is not None and tokens[index]:
                before, tokens[index] = tokens[index], price(prices)
                if tokens[index] != before:
                    changed.append((self.forgotten + index, before - tokens[index]))
        return changed

    def reprice(self, new_ppm: int, old_ppm: int) -> None:
        """Rescale every call after a change of the markup."""
        tokens = self.amounts[TOKENS]
        tokens[:] = [-(-amount * new_ppm // old_ppm) for amount in tokens]

    def reprice_by(self, price: Callable[[Prices], int]) -> None:
        """Price every call by another law; calls that were not charged stay at 0."""
        tokens = self.amounts[TOKENS]
        for index, prices in enumerate(self._prices):
            if prices is not None and tokens[index]:
                tokens[index] = price(prices)
