"""The calls sent of late, in order: what an answer that comes later must know to tell today's level from its own.

Kept in columns, since every answer looks over a slice of them; bounded, since an answer that must look back over more
sends tells nothing that newer answers do not.
"""

from collections.abc import Callable
from typing import Final

from broker.core.charge import Prices
from broker.core.reading import Metric

SENDS_MAX: Final = 4_096


class Sends:
    """When each call was sent, and what it took of each metric."""

    def __init__(self) -> None:
        self.sent_ms: list[int] = []
        self.oldest_open: list[int] = []  # number of the oldest call without an answer when this one was sent
        self.amounts: dict[Metric, list[int]] = {metric: [] for metric in Metric}
        self._prices: list[Prices | None] = []  # None: the server's own word, which no law changes
        self.forgotten = 0

    def append(self, sent_ms: int, tokens: int, oldest_open: int | None = None, prices: Prices | None = None) -> int:
        """Note a call; returns its number. `oldest_open`: the oldest call still unanswered, if there is one."""
        if len(self.sent_ms) >= 2 * SENDS_MAX:  # halved now and then: cheaper than dropping one each time
            self.forgotten += SENDS_MAX
            for column in (self.sent_ms, self.oldest_open, *self.amounts.values()):
                del column[:SENDS_MAX]
            del self._prices[:SENDS_MAX]
        number = self.forgotten + len(self.sent_ms)
        self.sent_ms.append(sent_ms)
        self.oldest_open.append(number if oldest_open is None else oldest_open)
        self.amounts[Metric.TOKENS].append(tokens)
        self.amounts[Metric.REQUESTS].append(1)
        self._prices.append(prices)
        return number

    def place(self, number: int) -> int | None:
        """Where in the columns that call is, unless it has been forgotten."""
        place = number - self.forgotten
        return place if place >= 0 else None

    def strike(self, number: int) -> None:
        """That call took nothing after all."""
        place = self.place(number)
        if place is not None:
            for column in self.amounts.values():
                column[place] = 0

    def reprice(self, new_ppm: int, old_ppm: int) -> None:
        """Every call took more, or less, than was thought."""
        tokens = self.amounts[Metric.TOKENS]
        tokens[:] = [-(-amount * new_ppm // old_ppm) for amount in tokens]

    def reprice_by(self, price: Callable[[Prices], int]) -> None:
        """Another law was believed all along; what took nothing still took nothing."""
        tokens = self.amounts[Metric.TOKENS]
        for place, prices in enumerate(self._prices):
            if prices is not None and tokens[place]:
                tokens[place] = price(prices)
