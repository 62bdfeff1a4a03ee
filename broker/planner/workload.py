"""A workload: streams of requests, as a team knows them, and their arrivals, drawn by seed.

A stream comes at a rate, at random instants and with the rhythm of a day, or as a batch at a time of day. The run's
time begins at `starts_ms` after midnight.
"""

import heapq
from collections.abc import Iterator, Mapping
from itertools import count
from operator import attrgetter
from random import Random
from typing import Final, assert_never

from headrace.broker.core.endpoints import DEFAULT_ENDPOINT, Shape, facts_of
from headrace.broker.core.pricing.laws import RequestSize
from headrace.broker.core.value import value
from headrace.broker.planner.arrivals import Arrival, chat_sizes, embedding_sizes, responses_sizes
from headrace.broker.simulator.pricing import Size as AskedSize

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
_SIZES_MAX: Final = 100_000  # cached pairs of sizes: most requests of a stream share a few hundred


@value
class Span:
    """A uniformly distributed whole number between two bounds."""

    low: int
    high: int

    def draw(self, chance: Random) -> int:
        """Draw one of them."""
        return self.low if self.low == self.high else self.low + int((self.high - self.low + 1) * chance.random())


@value
class RequestBatch:
    """`count` requests at once at a time of day, each day, or evenly within `within_ms` from then on."""

    count: int
    at_ms: int = 0
    within_ms: int = 0


@value
class Stream:
    """Requests of one kind.

    Attributes:
        name: What people call them.
        lane: Their lane.
        per_hour: Requests an hour, on average over a day.
        batch: Requests that come at once, instead of a rate.
        rhythm: The weight of each hour of the day, from midnight; none: all alike.
        model: The model they request.
        endpoint: A name of `headrace.broker.planner.arrivals.ENDPOINTS`.
        input_tokens: Tokens of their prompts.
        output_tokens: Tokens of their answers.
        max_tokens: The cap on the answer that their bodies state.
        messages: Messages in a chat.
        service_tier: The tier that their bodies name; empty: none.
        deadline_ms: Time from arrival to deadline; None: the lane's default.
    """

    name: str
    lane: str
    per_hour: float = 0.0
    batch: RequestBatch | None = None
    rhythm: tuple[float, ...] = ()
    model: str = "gpt-4o-mini"
    endpoint: str = DEFAULT_ENDPOINT
    input_tokens: Span = Span(400, 1_200)
    output_tokens: Span = Span(100, 300)
    max_tokens: int | None = None
    messages: int = 2
    service_tier: str = ""
    deadline_ms: int | None = None

    def arrivals(self, workload: "Workload", wanted_ms: int, seed: str) -> Iterator[Arrival]:
        """Yield its requests in order; `wanted_ms` after its arrival is a request's deadline."""
        chance = Random(seed)
        sizes: dict[int, tuple[RequestSize, AskedSize]] = {}
        for number, at_ms in enumerate(self._instants(workload, chance)):
            tokens = self.input_tokens.draw(chance)
            pair = sizes.get(tokens)
            if pair is None:
                pair = self.sizes(tokens)
                if len(sizes) < _SIZES_MAX:
                    sizes[tokens] = pair
            yield Arrival(
                at_ms,
                self.lane,
                self.model,
                *pair,
                number,
                self.endpoint,
                self.output_tokens.draw(chance),
                at_ms + wanted_ms,
                self.service_tier,
            )

    def expected(self, span_ms: int) -> float:
        """Return the expected number of requests in `span_ms` from midnight."""
        days = span_ms / DAY_MS
        return self.per_hour * 24 * days if self.batch is None else self.batch.count * max(1.0, days)

    def sizes(self, tokens: int) -> tuple[RequestSize, AskedSize]:
        """Return both sizes of a request with `tokens` tokens in its prompt."""
        shape = facts_of(self.endpoint).shape
        match shape:
            case Shape.VECTORS:
                return embedding_sizes(4 * tokens)
            case Shape.RESPONSE:
                return responses_sizes(tokens)
            case Shape.CHAT:
                return chat_sizes(4 * tokens, messages=self.messages, answer_max=self.max_tokens)
            case _:
                assert_never(shape)

    def _instants(self, workload: "Workload", chance: Random) -> Iterator[int]:
        if self.batch is not None:
            yield from self._batches(self.batch, workload)
        elif self.per_hour > 0:
            yield from self._steady(workload, chance)

    def _batches(self, batch: RequestBatch, workload: "Workload") -> Iterator[int]:
        first_ms = (batch.at_ms - workload.starts_ms) % DAY_MS
        for day in count():
            begin_ms = first_ms + day * DAY_MS
            if workload.span_ms is not None and begin_ms >= workload.span_ms and day:
                return
            for number in range(batch.count):
                yield begin_ms + number * batch.within_ms // batch.count

    def _steady(self, workload: "Workload", chance: Random) -> Iterator[int]:
        """Yield random instants of an hour's rate; a rhythm changes it from hour to hour and not over the day."""
        mean = sum(self.rhythm) / len(self.rhythm) if self.rhythm else 1.0
        begin = workload.starts_ms
        end = None if workload.span_ms is None else begin + workload.span_ms
        at = float(begin)
        for hour in count(begin // HOUR_MS):
            if end is not None and hour * HOUR_MS >= end:
                return
            weight = self.rhythm[hour % 24] / mean if self.rhythm else 1.0
            at, until = max(at, float(hour * HOUR_MS)), float((hour + 1) * HOUR_MS)
            if weight == 0:
                continue
            per_ms = self.per_hour * weight / HOUR_MS
            while (at := at + chance.expovariate(per_ms)) < until:
                if end is not None and at >= end:
                    return
                yield int(at) - begin
            at = until


@value
class Workload:
    """All streams. `span_ms` is the duration of arrivals; None: endless, until the caller stops."""

    streams: tuple[Stream, ...]
    span_ms: int | None = DAY_MS
    starts_ms: int = 0
    seed: int = 7

    def arrivals(self, usual_ms: Mapping[str, int], longest_ms: Mapping[str, int]) -> Iterator[Arrival]:
        """Yield all requests in order; each lane's default deadline and the longest it grants are the settings'."""
        drawn = []
        for number, stream in enumerate(self.streams):
            asked_ms = usual_ms[stream.lane] if stream.deadline_ms is None else stream.deadline_ms
            wanted_ms = min(asked_ms, longest_ms[stream.lane])
            drawn.append(stream.arrivals(self, wanted_ms, f"{self.seed}/{number}"))
        return heapq.merge(*drawn, key=attrgetter("at_ms"))

    def expected(self) -> float | None:
        """Return the approximate number of requests; None if they never end."""
        return None if self.span_ms is None else sum(stream.expected(self.span_ms) for stream in self.streams)
