"""Arrivals and sizes of requests: bulk that waits from the start, urgent leads at random instants.

A request is charged exactly its `tokens`: by the law of chat, four bytes of text are one, and a message and its answer
are one more each.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final, NamedTuple

from headrace.broker.core.pricing.laws import RequestSize
from headrace.broker.planner.arrivals import NEVER_MS, Arrival, chat_sizes
from headrace.broker.simulator.pricing import Size as AskedSize

MODEL: Final = "gpt-4o-mini"
URGENT: Final = "urgent"
BULK: Final = "bulk"
MINUTE_MS: Final = 60_000
_AROUND: Final = 2  # tokens that a chat of one message is charged beside its text
_SENTENCE: Final = "A lead who asks for an offer is answered within minutes. "


class Request(NamedTuple):
    """One request: its arrival, lane, charge, tenant and deadline."""

    at_ms: int
    lane: str
    tokens: int
    tenant: str = ""
    deadline_ms: int = NEVER_MS

    @property
    def text_bytes(self) -> int:
        """The size of its prompt."""
        return 4 * (self.tokens - _AROUND)

    def sizes(self) -> tuple[RequestSize, AskedSize]:
        """Return its sizes for the core and for the simulated OpenAI."""
        return chat_sizes(self.text_bytes)

    def body(self) -> dict[str, Any]:
        """Return its body for HTTP."""
        text = _SENTENCE * (self.text_bytes // len(_SENTENCE) + 1)
        return {"model": MODEL, "messages": [{"role": "user", "content": text[: self.text_bytes]}]}

    def arrival(self, number: int, lane: str | None = None) -> Arrival:
        """Return its arrival in virtual time, in another lane if wanted."""
        size, asked = self.sizes()
        return Arrival(
            self.at_ms, lane or self.lane, MODEL, size, asked, partition=number, deadline_ms=self.deadline_ms
        )


@dataclass(frozen=True, slots=True)
class Mix:
    """Urgent requests at random instants, for a part of the quota, over bulk that takes all the rest.

    Attributes:
        urgent_part: The part of a minute's tokens that urgent requests ask for on average.
        urgent_tokens: The least and the most that one is charged, drawn evenly.
        bulk_tokens: The same of bulk.
        seed: Same seed, same requests.
    """

    tokens_per_minute: int = 60_000
    span_ms: int = 5 * MINUTE_MS
    urgent_part: float = 0.1
    urgent_tokens: tuple[int, int] = (100, 300)
    bulk_tokens: tuple[int, int] = (200, 600)
    seed: int = 1

    def requests(self) -> list[Request]:
        """Return all requests in the order in which they come; bulk is more than can be served in the time."""
        chance = Random(f"lanes/{self.seed}")
        return [*self._bulk(chance), *self.urgent(chance)]

    def urgent(self, chance: Random) -> Iterator[Request]:
        """Yield urgent requests as a Poisson process: the next arrival does not depend on the last one."""
        mean = sum(self.urgent_tokens) / 2
        per_ms = self.urgent_part * self.tokens_per_minute / mean / MINUTE_MS
        at_ms = chance.expovariate(per_ms)
        while at_ms < self.span_ms:
            yield Request(int(at_ms), URGENT, chance.randint(*self.urgent_tokens))
            at_ms += chance.expovariate(per_ms)

    def _bulk(self, chance: Random) -> Iterator[Request]:
        """Yield a tenth more than a full bucket and all that flows in."""
        left = int(1.1 * self.tokens_per_minute * (1 + self.span_ms / MINUTE_MS))
        while left > 0:
            made = Request(0, BULK, chance.randint(*self.bulk_tokens))
            left -= made.tokens
            yield made


def tokens_of(requests: Sequence[Request]) -> int:
    """Return the sum of their charges."""
    return sum(request.tokens for request in requests)
