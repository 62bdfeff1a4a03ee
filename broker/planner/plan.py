"""A workload against a quota, played to its end; and against other quotas, to see what they would buy."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from broker.planner.arrivals import Arrival
from broker.planner.engine import VirtualRun
from broker.planner.record import Record
from broker.planner.stage import Stage, Times
from broker.planner.timeline import Timeline
from broker.planner.workload import HOUR_MS, Workload
from broker.planner.workload_file import WorkloadError
from broker.settings.whole import Settings
from broker.simulator.admission import Metric
from broker.simulator.behaviours.enforcement import PerDay, SharedLimit
from broker.simulator.settings import UpstreamSettings
from broker.simulator.tally import Tally
from broker.simulator.virtual import VirtualUpstream

REQUESTS_UNLIMITED: Final = 1_000_000
"""Requests a minute of a limit that nobody has told us of: none will run into it."""
_STRETCHES: Final = 240  # of the time in which requests come, on a plot
_STRETCH_MIN_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Quota:
    """What an account may spend on one limit, and the models of the workload that draw on it."""

    limit: str
    models: tuple[str, ...]
    tokens_per_minute: int
    requests_per_minute: int = REQUESTS_UNLIMITED
    tokens_per_day: int | None = None
    requests_per_day: int | None = None

    def times(self, factor: float) -> "Quota":
        """A larger or smaller one."""
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
    """How one limit fares, by the simulator's own books. `last_admitted_ms` is None if nothing was."""

    quota: Quota
    calls: int
    throttled: int
    tokens: Tally
    requests: Tally
    last_admitted_ms: float | None

    @property
    def used(self) -> float:
        """The share of the tokens that came, from the start to the last outcome, which was spent."""
        return self.tokens.share or 0.0

    def since(self, earlier: "LimitOutlook") -> "LimitOutlook":
        """What came after `earlier` was taken."""
        return replace(
            self,
            calls=self.calls - earlier.calls,
            throttled=self.throttled - earlier.throttled,
            tokens=self.tokens.since(earlier.tokens),
            requests=self.requests.since(earlier.requests),
        )


@dataclass(frozen=True, slots=True)
class Outlook:
    """One run, or the parts of one (`parts`).

    Attributes:
        factor: Of the quota.
        busiest_hour: The share of the quota that its busiest hour took; None for runs without an hour.
        parts: In how many it was played.
        wait_within_ms: By so much a lane's mean wait may be wrong, with 95 % confidence; of parts alone.
    """

    factor: float
    record: Record
    limits: tuple[LimitOutlook, ...]
    timeline: Timeline
    busiest_hour: float | None
    parts: int = 1
    wait_within_ms: Mapping[str, float] = field(default_factory=dict)

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
        """Requests that failed for another reason than their deadline."""
        lanes = self.record.lanes.values()
        return sum(lane.outcome_ms.count - lane.completed - (lane.missed - lane.late) for lane in lanes)


@dataclass(frozen=True, slots=True)
class Plan:
    """A question: this workload, with these settings, on these quotas.

    Attributes:
        settings: The dispatcher's.
        workload: What comes.
        quotas: What the account may spend; those of `quotas_for`.
        upstream: The manners of OpenAI: latency, law, behaviours, seed. Its limits are the quotas'.
        times: What is taken for granted around the dispatcher.
        requests_max: So many requests and no more.
        stretch_ms: How wide the stretches of its timeline are; None: as the workload's span wants.
        lead_in_ms: What comes in so long at first is played and not counted.
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
        """About how many requests a run has; None: nobody knows."""
        known = [each for each in (self.workload.expected(), self.requests_max) if each is not None]
        return round(min(known)) if known else None

    @property
    def stretch_width_ms(self) -> int:
        """How wide the stretches of its timeline are."""
        if self.stretch_ms is not None:
            return self.stretch_ms
        return max(_STRETCH_MIN_MS, (self.workload.span_ms or HOUR_MS) // _STRETCHES)

    def play(self, factor: float = 1.0, heed: Callable[[int], None] = lambda _: None) -> Outlook:
        """Play it on so many times the quota; `heed` hears now and then how many outcomes there are."""
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
            heed(run.record.settled)
        limits = [_outlook(quota, each, run.now_us) for quota, each in zip(quotas, upstreams, strict=True)]
        if before:
            limits = [limit.since(earlier) for limit, earlier in zip(limits, before, strict=True)]
        return Outlook(factor, run.record, tuple(limits), timeline, busiest_hour(timeline, run.record, quotas))

    def arrivals(self) -> Iterator[Arrival]:
        """All requests of a run, in order."""
        deadlines_ms = {name: lane.deadline_s * 1_000 for name, lane in self.settings.lanes.items()}
        longest_ms = {name: self.settings.deadline_max_s(name) * 1_000 for name in self.settings.lanes}
        comes = self.workload.arrivals(deadlines_ms, longest_ms)
        return comes if self.requests_max is None else _so_many(comes, self.requests_max, self.lead_in_ms)

    def _played(self, quota: Quota) -> UpstreamSettings:
        """The simulated OpenAI of one limit."""
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
        """The settings of an operator who knows the quota as well as this one did: what was believed is scaled."""
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
    settings: Settings, workload: Workload, *, tokens_per_minute: int | None, requests_per_minute: int | None
) -> tuple[Quota, ...]:
    """The quota of each limit that the workload draws on: as given for all, else as the settings believe.

    Raises:
        WorkloadError: Nobody says how many tokens a limit has.
    """
    models: dict[str, dict[str, None]] = {}
    for stream in workload.streams:
        models.setdefault(settings.limit_for(stream.model), {})[stream.model] = None
    quotas = []
    for limit, drawing in models.items():
        known = settings.limits.get(limit)
        tokens = tokens_per_minute or (known and known.tokens_per_minute)
        requests = requests_per_minute or (known and known.requests_per_minute)
        if not tokens:
            raise WorkloadError(
                f"it is not said how many tokens a minute {limit} has: give --tokens-per-minute, or a --config with "
                f'tokens_per_minute under [limits."{limit}"]'
            )
        days = (None, None) if known is None else (known.tokens_per_day, known.requests_per_day)
        quotas.append(Quota(limit, tuple(drawing), tokens, requests or REQUESTS_UNLIMITED, *days))
    return tuple(quotas)


def busiest_hour(timeline: Timeline, record: Record, quotas: Sequence[Quota]) -> float | None:
    """What the busiest hour took of the tokens that come in an hour; None if the run was shorter."""
    if record.ended_ms < HOUR_MS:
        return None
    return timeline.charged_most(HOUR_MS) / (60 * sum(quota.tokens_per_minute for quota in quotas))


def _so_many(comes: Iterator[Arrival], count: int, after_ms: int) -> Iterator[Arrival]:
    """Those that come before an instant, and so many from then on."""
    for arrival in comes:
        if arrival.at_ms >= after_ms:
            count -= 1
        if count < 0:
            return
        yield arrival


def _outlook(quota: Quota, upstream: VirtualUpstream, now_us: int) -> LimitOutlook:
    books = upstream.books(now_us)
    nothing = dict.fromkeys(Metric, Tally(0, 0))
    tallies = next(iter(books.accounts.values()), nothing)
    return LimitOutlook(
        quota,
        books.calls,
        books.throttled,
        tallies[Metric.TOKENS],
        tallies[Metric.REQUESTS],
        books.last_admitted_ms,
    )


def _scaled(amount: int, factor: float) -> int:
    return max(1, round(amount * factor))
