"""Accounting of the simulated OpenAI: the only record of the actual calls, admissions and charges.

A call is counted when it arrives and a charge when it is admitted, so a client that dies mid-call is still counted.
Memory per request id is bounded; when it is full the oldest id is forgotten, and `ids_forgotten` says so.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from headrace.broker.simulator.admission import Metric
from headrace.broker.simulator.bills import Bills
from headrace.broker.simulator.rules import Limits
from headrace.broker.simulator.tally import Tally, tokens_of

Accounts = Mapping[str, Mapping[Metric, Tally]]

IDS_MAX: Final = 1_000_000
PAGES_MAX: Final = 4_000


class StreamEnd(StrEnum):
    """End of a stream: as it should, cut by us, with an error event from us, or because its client left."""

    COMPLETED = "completed"
    CUT = "cut"
    ERRORED = "errored"
    ABANDONED = "abandoned"


@dataclass(slots=True)
class StreamCount:
    """Streams begun, and how they ended; the difference is still in progress."""

    started: int = 0
    completed: int = 0
    cut: int = 0
    errored: int = 0
    abandoned: int = 0

    def end(self, end: StreamEnd) -> None:
        """Count an end."""
        setattr(self, end.value, getattr(self, end.value) + 1)


@dataclass(slots=True)
class IdCount:
    """Counts of one request id. `streams` is None until it begins one: there may be a million ids."""

    calls: int = 0
    admitted: int = 0
    answered: int = 0
    throttled_long: int = 0
    streams: StreamCount | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the counts by name; those of long refusals and streams only where there were any."""
        shape: dict[str, Any] = {"calls": self.calls, "admitted": self.admitted, "answered": self.answered}
        if self.throttled_long:
            shape["throttled_long"] = self.throttled_long
        if self.streams is not None:
            shape["streams"] = asdict(self.streams)
        return shape

    def copy(self) -> "IdCount":
        """Copy the present counts."""
        return replace(self, streams=None if self.streams is None else replace(self.streams))


@dataclass(slots=True)
class Page:
    """Counts of one endpoint's calls that draw on one limit.

    `calls` are all that named the model, `charged_tokens` include settlements at their end. `answered` are those
    written out whole, and the last two their reported usage.
    """

    calls: int = 0
    charged_tokens: int = 0
    answered: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def record_body(self, body: Mapping[str, Any] | str) -> None:
        """Count an answer that was written out whole."""
        usage = {} if isinstance(body, str) else body.get("usage") or {}
        self.answered += 1
        self.input_tokens += usage.get("prompt_tokens", usage.get("input_tokens", 0))
        self.output_tokens += usage.get("completion_tokens", usage.get("output_tokens", 0))


@dataclass(frozen=True, slots=True)
class Stats:
    """A snapshot. Times are milliseconds since the start or the last reset; counts are since then too.

    `throttled` are 429s, `throttled_long` those of a daily limit on demand, `client_errors` the other 4xx, `completed`
    the 200s that were written out whole, streams among them, `disconnected` the calls dropped by their client. They
    keep their charge, and so do streams that were cut or ended with an error. `share` is the charged part of what the
    buckets could give between the first and the last admission: charged / (capacity + rate x (last - first)), summed
    over the models called; None before the first. With behaviours it is charged / offered. `accounts` gives for each
    limit and metric what was offered and where it went, until the last call, `pages` for each limit and endpoint the
    calls, charges and usage, over HTTP alone.
    """

    calls: int
    admitted: int
    charged_tokens: int
    charged_by_model: Mapping[str, int]
    completed: int
    throttled: int
    throttled_long: int
    client_errors: int
    server_errors: int
    disconnected: int
    streams: StreamCount
    inflight: int
    inflight_max: int
    first_admitted_ms: float | None
    last_admitted_ms: float | None
    share: float | None
    limits: Mapping[str, Mapping[str, float]]
    ids_seen: int
    ids_forgotten: int
    ids: Mapping[str, IdCount] | None = None
    accounts: Accounts = field(default_factory=dict)
    pages: Mapping[str, Mapping[str, Page]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the shape of `GET /stats`; `ids` only when requested."""
        shape: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "ids"}
        shape["streams"] = asdict(self.streams)
        shape["accounts"] = {
            name: {metric.value: tally.as_json() for metric, tally in tallies.items()}
            for name, tallies in self.accounts.items()
        }
        shape["pages"] = {
            name: {endpoint: asdict(page) for endpoint, page in pages.items()} for name, pages in self.pages.items()
        }
        if self.ids is not None:
            shape["ids"] = {request_id: count.as_json() for request_id, count in self.ids.items()}
        return shape


@dataclass(slots=True)
class Books:
    """The running counts. One event loop writes them; nothing here awaits."""

    limits: Limits
    opened_us: int
    ids_max: int = IDS_MAX
    pages_max: int = PAGES_MAX
    calls: int = 0
    admitted: int = 0
    charged: dict[str, int] = field(default_factory=dict)
    completed: int = 0
    throttled: int = 0
    throttled_long: int = 0
    client_errors: int = 0
    server_errors: int = 0
    disconnected: int = 0
    streams: StreamCount = field(default_factory=StreamCount)
    inflight: int = 0
    inflight_max: int = 0
    first_admitted_us: int | None = None
    last_admitted_us: int | None = None
    ids: OrderedDict[str, IdCount] = field(default_factory=OrderedDict)
    ids_forgotten: int = 0
    pages: dict[tuple[str, str], Page] = field(default_factory=dict)
    bills: Bills = field(default_factory=Bills)

    def arrive(self) -> int:
        """Count a call at its arrival; return its number, the first being 1."""
        self.calls += 1
        self.inflight += 1
        if self.inflight > self.inflight_max:  # noqa: PLR1730 — for every call
            self.inflight_max = self.inflight
        return self.calls

    def identify(self, request_id: str) -> IdCount:
        """Count a call for its id, as soon as the id could be read."""
        count = self.ids.get(request_id)
        if count is None:
            if len(self.ids) >= self.ids_max:
                self.ids.popitem(last=False)
                self.ids_forgotten += 1
            count = self.ids[request_id] = IdCount()
        count.calls += 1
        return count

    def page(self, limit: str, endpoint: str) -> Page:
        """Return the counts of an endpoint's calls; once there are very many pages, a new one is not kept."""
        found = self.pages.get((limit, endpoint))
        if found is None:
            found = Page()
            if len(self.pages) < self.pages_max:
                self.pages[limit, endpoint] = found
        return found

    def admit(self, count: IdCount | None, model: str, charge: int, now_us: int) -> None:
        """Count an admission and its charge."""
        if count is not None:
            count.admitted += 1
        self.admitted += 1
        self.charged[model] = self.charged.get(model, 0) + charge
        if self.first_admitted_us is None:
            self.first_admitted_us = now_us
        self.last_admitted_us = now_us

    def settle(self, model: str, tokens: int) -> None:
        """Count the charge of an admitted call at its end; it is counted at once."""
        self.charged[model] = self.charged.get(model, 0) + tokens

    def refuse_for_long(self, count: IdCount) -> None:
        """Count a refusal by a daily limit on demand; it is a 429 as well, once it is written out."""
        count.throttled_long += 1
        self.throttled_long += 1

    def begin_stream(self, count: IdCount) -> None:
        """Count a stream when its headers are sent."""
        if count.streams is None:
            count.streams = StreamCount()
        count.streams.started += 1
        self.streams.started += 1

    def end_stream(self, count: IdCount, end: StreamEnd) -> None:
        """Count the end of a stream."""
        if count.streams is not None:
            count.streams.end(end)
        self.streams.end(end)

    def answer(self, status: int, count: IdCount | None) -> None:
        """Count an answer that was written out whole."""
        match status:
            case 429:
                self.throttled += 1
            case _ if status >= 500:
                self.server_errors += 1
            case _ if status >= 400:
                self.client_errors += 1
            case _:
                self.completed += 1
                if count is not None:
                    count.answered += 1

    def snapshot(self, *, with_ids: bool, accounts: Accounts | None = None, behaving: bool = False) -> Stats:
        """Copy the present counts, with the limiter's own; `behaving` takes the share from those."""
        charged = sum(self.charged.values())
        return Stats(
            calls=self.calls,
            admitted=self.admitted,
            charged_tokens=charged,
            charged_by_model=dict(self.charged),
            completed=self.completed,
            throttled=self.throttled,
            throttled_long=self.throttled_long,
            client_errors=self.client_errors,
            server_errors=self.server_errors,
            disconnected=self.disconnected,
            streams=replace(self.streams),
            inflight=self.inflight,
            inflight_max=self.inflight_max,
            first_admitted_ms=self._since_opened_ms(self.first_admitted_us),
            last_admitted_ms=self._since_opened_ms(self.last_admitted_us),
            share=_share_of(accounts or {}) if behaving else self._share(charged),
            limits={model: self._limits() for model in self.charged},
            ids_seen=len(self.ids) + self.ids_forgotten,
            ids_forgotten=self.ids_forgotten,
            ids={request_id: count.copy() for request_id, count in self.ids.items()} if with_ids else None,
            accounts=accounts or {},
            pages=self._pages(),
        )

    def _pages(self) -> dict[str, dict[str, Page]]:
        pages: dict[str, dict[str, Page]] = {}
        for (limit, endpoint), page in self.pages.items():
            pages.setdefault(limit, {})[endpoint] = replace(page)
        return pages

    def _since_opened_ms(self, at_us: int | None) -> float | None:
        return None if at_us is None else (at_us - self.opened_us) / 1_000

    def _share(self, charged: int) -> float | None:
        if self.first_admitted_us is None or self.last_admitted_us is None:
            return None
        span_min = (self.last_admitted_us - self.first_admitted_us) / 60_000_000
        return charged / (self.limits.tokens_per_minute * (1 + span_min) * len(self.charged))

    def _limits(self) -> dict[str, float]:
        return {
            "capacity_tokens": self.limits.tokens_per_minute,
            "tokens_per_second": self.limits.tokens_per_minute / 60,
            "capacity_requests": self.limits.requests_per_minute,
            "requests_per_second": self.limits.requests_per_minute / 60,
        }


def _share_of(accounts: Accounts) -> float | None:
    tallies = [tokens_of(account) for account in accounts.values()]
    offered = sum(tally.offered or 0 for tally in tallies)
    return sum(tally.charged for tally in tallies) / offered if offered > 0 else None
