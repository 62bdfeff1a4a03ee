"""A workload run against a quota to its end; and against other quotas, to compare their effect."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from headrace.broker.planner.arrivals import Arrival
from headrace.broker.planner.engine import VirtualRun
from headrace.broker.planner.record import RunRecord
from headrace.broker.planner.stage import Stage, Times
from headrace.broker.planner.timeline import Timeline
from headrace.broker.planner.workload import HOUR_MS, Workload
from headrace.broker.planner.workload_file import WorkloadError
from headrace.broker.settings.whole import Settings
from headrace.broker.simulator.admission import Metric
from headrace.broker.simulator.behaviours.enforcement import (
    ChargeFactor,
    EnforcedWindow,
    Foreign,
    LimitChange,
    PerDay,
    ProjectLimits,
    SharedLimit,
)
from headrace.broker.simulator.drawn_server import DrawnServer
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.tally import Tally
from headrace.broker.simulator.virtual import VirtualUpstream

REQUESTS_UNLIMITED: Final = 1_000_000
"""Requests a minute of a limit without a known one: no workload will reach it."""
_OTHER_AMOUNTS: Final = (EnforcedWindow, Foreign, LimitChange, ProjectLimits, ChargeFactor)
"""Behaviours that offer other amounts than the quota's, or charge others than the dispatcher reckons with."""
_STRETCHES: Final = 240  # of the time in which requests come, on a plot
_STRETCH_MIN_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Quota:
    """Quota of an account on one limit, and the models of the workload that draw on it."""

    limit: str
    models: tuple[str, ...]
    tokens_per_minute: int
    requests_per_minute: int = REQUESTS_UNLIMITED
    tokens_per_day: int | None = None
    requests_per_day: int | None = None

    def times(self, factor: float) -> "Quota":
        """Return the quota times a factor."""
        days = (self.tokens_per_day, self.requests_per_day)
        tokens_a_day, requests_a_day = (None if each is None else _scaled(each, factor) for each in days)
        return replace(
            self,
            tokens_per_minute=_scaled(self.tokens_per_minute, factor),
            requests_per_minute=_scaled(self.requests_per_minute, factor),
            tokens_per_day=tokens_a_day,
            requests_per_day=requests_a_day,
        )


@dataclass(frozen=True, slots=True)
class LimitOutlook:
    """Results of one limit, by the simulator's own books.

    `last_admitted_ms` is None if no call was admitted, `input_tokens` if no limit counts those of the input.
    """

    quota: Quota
    calls: int
    throttled: int
    tokens: Tally
    requests: Tally
    last_admitted_ms: float | None
    input_tokens: Tally | None = None

    @property
    def counted(self) -> Tally:
        """The tally of the tokens that the limit counts: all, or, where no limit counts these, those of the input."""
        return self.tokens if self.tokens.offered is not None or self.input_tokens is None else self.input_tokens

    @property
    def used(self) -> float:
        """Share of the tokens that came, from the start to the last outcome, which was spent."""
        return self.counted.share or 0.0

    def since(self, earlier: "LimitOutlook") -> "LimitOutlook":
        """Return the difference to an `earlier` result."""
        return replace(
            self,
            calls=self.calls - earlier.calls,
            throttled=self.throttled - earlier.throttled,
            tokens=self.tokens.since(earlier.tokens),
            requests=self.requests.since(earlier.requests),
            input_tokens=self.input_tokens and earlier.input_tokens and self.input_tokens.since(earlier.input_tokens),
        )


@dataclass(frozen=True, slots=True)
class Outlook:
    """One run, or the parts of one (`parts`).

    Attributes:
        factor: Of the quota.
        busiest_hour: The share of the quota that its busiest hour took; None for runs without an hour, and where not
            just the quota is enforced.
        parts: Number of parts it was run in.
        wait_within_ms: Possible error of a lane's mean wait, with 95 % confidence; of parts alone.
        enforces_quota: The quota was enforced as it is; False where behaviours offer other amounts.
    """

    factor: float
    record: RunRecord
    limits: tuple[LimitOutlook, ...]
    timeline: Timeline
    busiest_hour: float | None
    parts: int = 1
    wait_within_ms: Mapping[str, float] = field(default_factory=dict)
    enforces_quota: bool = True

    @property
    def throttled(self) -> int:
        """429s, all limits together."""
        return sum(limit.throttled for limit in self.limits)

    @property
    def missed(self) -> int:
        """Deadlines missed, all lanes together."""
        return sum(lane.missed for lane in self.record.lanes.values())

    @property
    def failed(self) -> int:
        """Requests that failed for another reason than their deadline, all lanes together."""
        return sum(lane.failed for lane in self.record.lanes.values())

    @property
    def tokens_per_minute(self) -> int:
        """Quota of tokens, all limits together."""
        return sum(limit.quota.tokens_per_minute for limit in self.limits)

    @property
    def used(self) -> float:
        """Share of the tokens on offer that were charged, all limits together."""
        offered = sum(limit.counted.offered or 0 for limit in self.limits)
        return sum(limit.counted.charged for limit in self.limits) / max(1, offered)


@dataclass(frozen=True, slots=True)
class Plan:
    """A question: this workload, with these settings, on these quotas.

    Attributes:
        settings: The dispatcher's.
        workload: The arrivals.
        quotas: The account's quotas; those of `quotas_for`.
        upstream: OpenAI's behaviour: latency, law, behaviours, seed. Its limits are the quotas'.
        times: Assumptions about the world around the dispatcher.
        requests_max: Maximum number of requests.
        stretch_ms: Width of its timeline's stretches; None: as the workload's span requires.
        lead_in_ms: Arrivals in this time at first are run and not counted.
    """

    settings: Settings
    workload: Workload
    quotas: tuple[Quota, ...]
    upstream: UpstreamSettings = field(default_factory=UpstreamSettings)
    times: Times = field(default_factory=Times)
    requests_max: int | None = None
    stretch_ms: int | None = None
    lead_in_ms: int = 0

    @property
    def expected(self) -> int | None:
        """Approximate number of requests in a run; None: unknown."""
        known = [each for each in (self.workload.expected(), self.requests_max) if each is not None]
        return round(min(known)) if known else None

    @property
    def stretch_width_ms(self) -> int:
        """Width of its timeline's stretches."""
        if self.stretch_ms is not None:
            return self.stretch_ms
        return max(_STRETCH_MIN_MS, (self.workload.span_ms or HOUR_MS) // _STRETCHES)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Limits of long contexts that requests of this workload draw from, and that no run has.

        In a run such a request draws from the limit of shorter ones.
        """
        drawn = (
            self.settings.limit_for(stream.model, stream.sizes(stream.input_tokens.high)[0].input_tokens)
            for stream in self.workload.streams
        )
        planned = {quota.limit for quota in self.quotas}
        return tuple(dict.fromkeys(limit for limit in drawn if limit not in planned))

    def play(self, factor: float = 1.0, on_progress: Callable[[int], None] = lambda _: None) -> Outlook:
        """Run it on `factor` times the quota; `on_progress` gets the number of outcomes now and then."""
        quotas = [quota.times(factor) for quota in self.quotas]
        upstreams = [VirtualUpstream(self._played(quota), counts_ids=False) for quota in quotas]
        serving = {model: upstream for quota, upstream in zip(quotas, upstreams, strict=True) for model in quota.models}
        timeline = Timeline(self.stretch_width_ms)
        stage = Stage.of(self._settings_on(quotas))
        run = VirtualRun(stage, serving, self.arrivals(), self.times, watcher=timeline)
        before: list[LimitOutlook] = []
        if self.lead_in_ms:
            run.advance(self.lead_in_ms)
            timeline = Timeline(self.stretch_width_ms)
            run.count_anew(timeline)
            before = [_outlook(quota, each, run.now_us) for quota, each in zip(quotas, upstreams, strict=True)]
        while not run.advance(run.now_ms + timeline.width_ms):
            on_progress(run.record.settled)
        limits = [_outlook(quota, each, run.now_us) for quota, each in zip(quotas, upstreams, strict=True)]
        if before:
            limits = [limit.since(earlier) for limit, earlier in zip(limits, before, strict=True)]
        enforces_quota = not any(isinstance(each, _OTHER_AMOUNTS) for each in self.upstream.behaviours)
        busiest = busiest_hour(timeline, run.record, quotas) if enforces_quota else None
        return Outlook(factor, run.record, tuple(limits), timeline, busiest, enforces_quota=enforces_quota)

    def arrivals(self) -> Iterator[Arrival]:
        """Yield all requests of a run, in order."""
        deadlines_ms = {name: lane.deadline_s * 1_000 for name, lane in self.settings.lanes.items()}
        longest_ms = {name: self.settings.deadline_max_s(name) * 1_000 for name in self.settings.lanes}
        comes = self.workload.arrivals(deadlines_ms, longest_ms)
        return comes if self.requests_max is None else _so_many(comes, self.requests_max, self.lead_in_ms)

    def _played(self, quota: Quota) -> UpstreamSettings:
        """Return the settings of the simulated OpenAI of one limit."""
        played = self.upstream.behaviours
        if len(quota.models) > 1:
            played = (SharedLimit(quota.limit, quota.models), *played)
        if quota.tokens_per_day is not None:
            played = (PerDay(tokens=quota.tokens_per_day), *played)
        return replace(
            self.upstream,
            tokens_per_minute=quota.tokens_per_minute,
            requests_per_minute=quota.requests_per_minute,
            requests_per_day=quota.requests_per_day,
            behaviours=played,
        )

    def _settings_on(self, quotas: list[Quota]) -> Settings:
        """Return the settings of an operator with equal knowledge of these quotas: the stated limits are scaled too."""
        limits = dict(self.settings.limits)
        for quota in quotas:
            believed = limits.get(quota.limit)
            if believed is not None:
                known = {
                    name: getattr(quota, name)
                    for name in ("tokens_per_minute", "requests_per_minute", "tokens_per_day", "requests_per_day")
                    if getattr(believed, name) is not None
                }
                limits[quota.limit] = believed.model_copy(update=known)
        return self.settings.model_copy(update={"limits": limits})


def quotas_for(
    settings: Settings,
    workload: Workload,
    *,
    tokens_per_minute: int | None,
    requests_per_minute: int | None,
    server: DrawnServer | None = None,
) -> tuple[Quota, ...]:
    """Return the quota of each limit that the workload draws on.

    It is as given for all, else as the settings state it, else as the `server` that is played was drawn.

    Raises:
        WorkloadError: The tokens of a limit are not given anywhere.
    """
    models: dict[str, dict[str, None]] = {}
    for stream in workload.streams:
        models.setdefault(settings.limit_for(stream.model), {})[stream.model] = None
    quotas = []
    for limit, drawing in models.items():
        known = settings.limits.get(limit)
        tokens = tokens_per_minute or (known and known.tokens_per_minute) or (server and server.tokens_per_minute)
        requests = (
            requests_per_minute or (known and known.requests_per_minute) or (server and server.requests_per_minute)
        )
        if not tokens:
            raise WorkloadError(
                f"the tokens per minute of {limit} are not known: give --tokens-per-minute, or a --config with "
                f'tokens_per_minute under [limits."{limit}"]'
            )
        days = (None, None) if known is None else (known.tokens_per_day, known.requests_per_day)
        quotas.append(Quota(limit, tuple(drawing), tokens, requests or REQUESTS_UNLIMITED, *days))
    return tuple(quotas)


def busiest_hour(timeline: Timeline, record: RunRecord, quotas: Sequence[Quota]) -> float | None:
    """Return the busiest hour's part of the tokens that come in an hour; None if the run was shorter."""
    if record.ended_ms < HOUR_MS:
        return None
    return timeline.charged_most(HOUR_MS) / (60 * sum(quota.tokens_per_minute for quota in quotas))


def _so_many(comes: Iterator[Arrival], count: int, after_ms: int) -> Iterator[Arrival]:
    """Yield the arrivals before an instant, and `count` from then on."""
    for arrival in comes:
        if arrival.at_ms >= after_ms:
            count -= 1
        if count < 0:
            return
        yield arrival


def _outlook(quota: Quota, upstream: VirtualUpstream, now_us: int) -> LimitOutlook:
    books = upstream.books(now_us)
    nothing = dict.fromkeys((Metric.TOKENS, Metric.REQUESTS), Tally(0, 0))
    tallies = next(iter(books.accounts.values()), nothing)
    return LimitOutlook(
        quota,
        books.calls,
        books.throttled,
        tallies[Metric.TOKENS],
        tallies[Metric.REQUESTS],
        books.last_admitted_ms,
        tallies.get(Metric.INPUT_TOKENS),
    )


def _scaled(amount: int, factor: float) -> int:
    return max(1, round(amount * factor))
