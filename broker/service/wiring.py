"""Assembly of one dispatcher from its doors, real ones or doubles in memory."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from headrace.broker import ports
from headrace.broker.adapters.openai.address import OPENAI_URL
from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.clock import WallClock
from headrace.broker.core.answers.base_url import Addressee
from headrace.broker.core.config import LEADING
from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.ticket import CONTROL
from headrace.broker.errors import SettingsError
from headrace.broker.on_demand_ports import OnDemandLog
from headrace.broker.price_ports import PriceList
from headrace.broker.service.calls.base_url_proof import Proof
from headrace.broker.service.calls.caller import Calling
from headrace.broker.service.calls.foreign_server import Strangers, shown
from headrace.broker.service.calls.models_call import Greeting
from headrace.broker.service.calls.streaming import Streaming
from headrace.broker.service.core_config import budget_maker, dispatch_rules
from headrace.broker.service.dispatcher import Dispatcher, Doors
from headrace.broker.service.driver import Driver
from headrace.broker.service.health import Health
from headrace.broker.service.intake.control import ControlReader
from headrace.broker.service.intake.grants import Grants
from headrace.broker.service.intake.lane_intake import LaneIntake
from headrace.broker.service.intake.pricer import Pricer, input_limits
from headrace.broker.service.leadership.clock_check import Timekeeper
from headrace.broker.service.leadership.leadership import Leadership, Parts
from headrace.broker.service.leadership.ledger_follower import LedgerFollower
from headrace.broker.service.leadership.promotion import Promotion
from headrace.broker.service.metrics.at_start import show_dispatcher
from headrace.broker.service.metrics.outcome_costs import OutcomeCosts
from headrace.broker.service.metrics.telemetry import Telemetry
from headrace.broker.service.offload import Offload, at_once
from headrace.broker.service.payloads import PayloadStore
from headrace.broker.service.publishing.costing import Costing
from headrace.broker.service.publishing.ledger_steps import LedgerSteps
from headrace.broker.service.publishing.outcome_counts import OutcomeCounts
from headrace.broker.service.publishing.outcomes import apart_hash
from headrace.broker.service.publishing.publication import Publication
from headrace.broker.service.publishing.records import SettlementRecords
from headrace.broker.service.publishing.reply_topics import Replies
from headrace.broker.service.publishing.short_forms import ShortForms
from headrace.broker.service.spending.bookkeeping import Bookkeeping
from headrace.broker.service.spending.follower import SpendingFollower
from headrace.broker.service.spending.shown import SpendingShown
from headrace.broker.service.spending.totals_topic import TotalsTopic
from headrace.broker.service.status.lags import Lags
from headrace.broker.service.status.request_status import RequestStatus
from headrace.broker.service.status.status import Status
from headrace.broker.service.tracing.observers import TracedObserver
from headrace.broker.service.tracing.tracer import RequestTracer, TracerRules
from headrace.broker.settings.topics import DAY_S
from headrace.broker.settings.whole import Settings
from headrace.broker.span_ports import Spans
from headrace.broker.spending.book import SpendingBook
from headrace.broker.status_ports import StatusBoard, TotalsLog
from headrace.schemas import topics


def dispatcher_name(settings: Settings) -> str:
    """Return the transactional id, offsets group and end of the lease key of all dispatchers of a prefix."""
    return f"{settings.kafka.topic_prefix}.dispatcher"


@dataclass(frozen=True, slots=True)
class DispatcherDoors:
    """Doors of a dispatcher to the outside.

    Attributes:
        lane: Makes the reader of a topic: one for each lane, one for the control topic.
        make_producer: Makes a fresh transactional producer under `dispatcher_name`.
        chunks: Takes the deltas of streamed answers.
        replies: Checks producers' own reply topics, and the totals topic.
        offload: Reads large records; in the loop itself unless another is given.
        board: What other processes have left in Redis for people; None: the page shows this process alone.
        spans: Exports the spans of requests; None: nothing is traced.
        prices: Says what calls cost; None: no outcome has a cost.
        totals: Reads the sums over outcomes for `/status`; None: it shows none.
    """

    upstream: ports.UpstreamApi
    lease: ports.Lease
    ledger: ports.LedgerLog
    coordinators: ports.Coordinators
    offsets: ports.OffsetStore
    lane: Callable[[str], OnDemandLog]
    make_producer: Callable[[], ports.TransactionLog]
    chunks: ports.ChunkLog
    replies: ports.ReplyTopics
    counter: ports.TokenCounter
    offload: Offload = at_once
    board: StatusBoard | None = None
    spans: Spans | None = None
    prices: PriceList | None = None
    totals: TotalsLog | None = None


@dataclass(frozen=True, slots=True)
class Assembly:
    """A dispatcher and those of its parts that a caller may want to inspect."""

    dispatcher: Dispatcher
    core: Dispatch
    driver: Driver
    hold: PayloadStore
    intakes: dict[str, LaneIntake]
    follower: LedgerFollower
    promotion: Promotion
    leadership: Leadership
    meter: Meter
    telemetry: Telemetry
    status: Status
    whereabouts: RequestStatus

    @property
    def health(self) -> Health:
        """Health as the probes show it."""
        return self.leadership.health


@dataclass(frozen=True, slots=True)
class _Given:
    """Inputs of the assembly."""

    settings: Settings
    doors: DispatcherDoors
    clock: WallClock
    owner: str
    dice: Callable[[], float]
    proved: bool

    @property
    def prefix(self) -> str:
        return self.settings.kafka.topic_prefix

    @property
    def base_url(self) -> str:
        return self.settings.openai.base_url or OPENAI_URL


@dataclass(frozen=True, slots=True)
class _SpendingParts:
    """Parts that sum up outcomes, and read the sums."""

    topic: TotalsTopic
    bookkeeping: Bookkeeping
    follower: SpendingFollower | None


@dataclass(frozen=True, slots=True)
class _Callers:
    """Parts that decide and call."""

    core: Dispatch
    hold: PayloadStore
    meter: Meter
    telemetry: Telemetry
    driver: Driver
    health: Health
    greeting: Greeting
    proof: Proof
    spending: _SpendingParts


@dataclass(frozen=True, slots=True)
class _Readers:
    """Readers of lanes, the control topic and dead letters."""

    letters: ports.LaneLog
    grants: Grants
    intakes: dict[str, LaneIntake]


def assemble(  # noqa: PLR0913 — all but two keyword-only
    settings: Settings,
    doors: DispatcherDoors,
    *,
    clock: WallClock,
    owner: str,
    dice: Callable[[], float],
    from_start: frozenset[str] = frozenset(),
    secret: Callable[[int], bytes] = secrets.token_bytes,
    proved: bool = False,
) -> Assembly:
    """Assemble one dispatcher; nothing is connected yet. Call it inside the running event loop.

    Args:
        settings: Checked.
        doors: Not opened.
        clock: Anchored to the running loop.
        owner: This process's random token, in the lease and in the ledger.
        dice: Random numbers from 0 to 1, for pauses that must not coincide.
        from_start: Lanes whose missing offsets the operator allows to read as zero.
        secret: Random bytes, as many as asked for, that cannot be guessed.
        proved: The upstream is the API for certain, before any call was answered.

    Raises:
        SettingsError: `from_start` names a lane that is not configured.
    """
    for lane in from_start - settings.lanes.keys() - {CONTROL}:
        raise SettingsError(f"--from-start names lane {lane!r}, which is not among {', '.join(settings.lanes)}.")
    given = _Given(settings, doors, clock, owner, dice, proved)
    callers = _callers(given)
    replies = Replies(doors.replies, settings.replies.allow, meter=callers.meter, clock=clock)
    readers = _readers(given, callers, secret)
    spending = callers.spending
    leadership, parts = _leadership(given, callers, readers, replies, from_start)
    core, hold, telemetry, health = callers.core, callers.hold, callers.telemetry, leadership.health
    lags = Lags({lane: intake for lane, intake in readers.intakes.items() if lane != CONTROL}, clock)
    status = Status(
        settings,
        core,
        health,
        telemetry,
        replies,
        lags=lags,
        outcome_counts=parts.follower.outcome_counts,
        spending=SpendingShown(spending.follower, spending.bookkeeping, clock, costs_enabled=doors.prices is not None),
        owner=owner,
        clock=clock,
    )
    whereabouts = RequestStatus(core, hold, health=health, telemetry=telemetry, clock=clock, topic_prefix=given.prefix)
    logs = (readers.letters, *(intake.log for intake in readers.intakes.values()))
    dispatcher = Dispatcher(
        settings,
        driver=callers.driver,
        leadership=leadership,
        doors=Doors(doors.upstream, doors.lease, doors.chunks, logs, board=doors.board, spans=doors.spans),
        telemetry=telemetry,
        replies=replies,
        totals_topic=spending.topic,
        spending_follower=spending.follower,
        lags=lags,
        status=status,
        whereabouts=whereabouts,
    )
    return Assembly(
        dispatcher=dispatcher,
        core=core,
        driver=callers.driver,
        hold=hold,
        intakes=readers.intakes,
        follower=parts.follower,
        promotion=parts.promotion,
        leadership=leadership,
        meter=callers.meter,
        telemetry=telemetry,
        status=status,
        whereabouts=whereabouts,
    )


def _callers(given: _Given) -> _Callers:
    clock, doors = given.clock, given.doors
    hold, meter = PayloadStore(), Meter()
    core = Dispatch(
        dispatch_rules(given.settings),
        make_budget=budget_maker(given.settings),
        dice=given.dice,
        apart=lambda number, nth: apart_hash(hold[number], nth),
    )
    show_dispatcher(meter, given.settings)
    objectives_s = {name: lane.objective_s for name, lane in given.settings.lanes.items() if lane.objective_s}
    telemetry = Telemetry(meter, hold, clock, objectives_s=objectives_s)
    streaming = Streaming(
        doors.chunks, clock, lambda: core.term if core.role is LEADING else None, contained=telemetry.contained
    )
    addressee = Addressee(proved=given.proved)
    health, url = Health(), shown(given.base_url)
    greeting = Greeting(doors.upstream, health, url=url, contained=telemetry.contained)
    strangers = Strangers(addressee, url=url, answered=greeting.record_answer)
    tracer = None if doors.spans is None else _tracer(given, doors.spans, hold, telemetry)
    calling = Calling(doors.upstream, clock, telemetry, streaming, strangers, tracer)
    watcher = telemetry if tracer is None else TracedObserver(tracer, telemetry)
    driver = Driver(core, hold, clock, caller=calling.call, watcher=watcher)
    proof = Proof(addressee, given.base_url, clock, window_ms=dispatch_rules(given.settings).dedupe_window_ms)
    spending = _spending(given, meter, telemetry)
    return _Callers(core, hold, meter, telemetry, driver, health, greeting, proof, spending)


def _tracer(given: _Given, spans: Spans, hold: PayloadStore, telemetry: Telemetry) -> RequestTracer:
    server = urlsplit(given.base_url)
    rules = TracerRules(
        topic_prefix=given.prefix,
        owner=given.owner,
        server_address=server.hostname or "",
        server_port=server.port or (80 if server.scheme == "http" else 443),
        content=given.settings.tracing.content,
    )
    return RequestTracer(spans, hold, given.clock, rules=rules, containment=telemetry.containment)


def _readers(given: _Given, callers: _Callers, secret: Callable[[int], bytes]) -> _Readers:
    settings, doors, prefix = given.settings, given.doors, given.prefix
    letters = doors.lane(topics.dead_letters_topic(prefix))
    grants = Grants(
        letters,
        given.clock,
        retention_ms=(settings.topics.dead_letters.retention_s + DAY_S) * 1_000,
        window_ms=dispatch_rules(settings).dedupe_window_ms,
        secret=secret,
        knows=callers.core.identities.knows_run,
    )
    pricer, control = Pricer(settings, doors.counter, given.clock, grants), ControlReader(input_limits(settings))
    read = {CONTROL: topics.control_topic(prefix)} | {
        lane: topics.requests_topic(prefix, lane) for lane in settings.lanes
    }
    intakes = {
        lane: LaneIntake(
            lane,
            topic,
            doors.lane(topic),
            callers.driver,
            control if lane == CONTROL else pricer,
            offload=doors.offload,
        )
        for lane, topic in read.items()
    }
    return _Readers(letters, grants, intakes)


def _spending(given: _Given, meter: Meter, telemetry: Telemetry) -> _SpendingParts:
    """Assemble the sums over outcomes; their series are named by chance, so that no two ever share a name."""
    clock, doors, observed = given.clock, given.doors, telemetry.containment.observed
    topic = TotalsTopic(doors.replies, topics.totals_topic(given.prefix), clock, observed)
    book = SpendingBook(lambda: secrets.token_hex(8))
    costs = OutcomeCosts(meter, telemetry.containment, given.settings.metrics)
    bookkeeping = Bookkeeping(book, topic, counted=costs.count, observed=observed)
    follower = None if doors.totals is None else SpendingFollower(doors.totals, clock, observed)
    return _SpendingParts(topic, bookkeeping, follower)


def _publication(
    given: _Given, callers: _Callers, replies: Replies, grants: Grants, counts: OutcomeCounts
) -> Publication:
    """Assemble what makes the records of a transaction."""
    settings, clock, telemetry = given.settings, given.clock, callers.telemetry
    costing = Costing(given.doors.prices, telemetry.containment.observed)
    settlements = SettlementRecords(settings, clock, replies, grants=grants, costing=costing)
    return Publication(
        callers.hold,
        clock,
        settlements=settlements,
        short_forms=ShortForms(given.prefix, telemetry.contained, settlements.dead_letter, costing),
        steps=LedgerSteps(settings, clock, owner=given.owner, grants=grants, counts=counts, proof=callers.proof),
        bookkeeping=callers.spending.bookkeeping,
    )


def _leadership(
    given: _Given, callers: _Callers, readers: _Readers, replies: Replies, from_start: frozenset[str]
) -> tuple[Leadership, Parts]:
    clock, doors, owner, grants = given.clock, given.doors, given.owner, readers.grants
    rules, ledger_topic = dispatch_rules(given.settings), topics.ledger_topic(given.prefix)
    follower = LedgerFollower(
        doors.ledger,
        doors.coordinators,
        callers.driver,
        clock,
        window_ms=rules.dedupe_window_ms,
        grants=grants,
        proof=callers.proof,
    )
    promotion = Promotion(
        owner=owner,
        ledger_topic=ledger_topic,
        follower=follower,
        offsets=doors.offsets,
        intakes=readers.intakes,
        from_start=from_start | {CONTROL},  # a cancel that is read again has the same effect
        utc_ms=clock.utc_ms,
        timekeeper=Timekeeper(clock, doors.lease),
        grants=grants,
        proof=callers.proof,
    )
    parts = Parts(
        driver=callers.driver,
        lease=doors.lease,
        follower=follower,
        promotion=promotion,
        publication=_publication(given, callers, replies, grants, follower.outcome_counts),
        replies=replies,
        bookkeeping=callers.spending.bookkeeping,
        greeting=callers.greeting,
        proof=callers.proof,
        intakes=readers.intakes,
        make_producer=doors.make_producer,
        clock=clock,
        dice=given.dice,
        transacted=callers.meter.transaction,
    )
    return Leadership(parts, owner=owner, times=rules.lease, ledger_topic=ledger_topic, health=callers.health), parts
