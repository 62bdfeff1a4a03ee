"""One dispatcher put together from its doors, whatever stands behind them: real ones, or doubles in memory."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from broker.adapters.prometheus_meter import Meter
from broker.clock import WallClock
from broker.core.dispatch import Dispatch
from broker.core.rules import LEADING
from broker.core.ticket import CONTROL
from broker.errors import SettingsError
from broker.ports import (
    ChunkLog,
    Coordinators,
    LaneLog,
    Lease,
    LedgerLog,
    OffsetStore,
    ReplyTopics,
    TokenCounter,
    TransactionLog,
    Upstream,
)
from broker.service.calling import Calling
from broker.service.cargo import Hold
from broker.service.control import ControlReader
from broker.service.dispatcher import Dispatcher, Doors
from broker.service.driver import Driver
from broker.service.grants import Grants
from broker.service.health import Health
from broker.service.intake import LaneIntake
from broker.service.leadership import Leadership, Parts
from broker.service.ledger_follower import LedgerFollower
from broker.service.offload import Offload, at_once
from broker.service.pricing import Pricer, input_limits
from broker.service.promotion import Promotion
from broker.service.publication import Publication
from broker.service.replies import Replies
from broker.service.rules import budget_maker, dispatch_rules
from broker.service.status import Status
from broker.service.streaming import Streaming
from broker.service.telemetry import Telemetry
from broker.service.timekeeping import Timekeeper
from broker.service.whereabouts import Whereabouts
from broker.settings.topics import DAY_S
from broker.settings.whole import Settings
from schemas import topics


def dispatcher_name(settings: Settings) -> str:
    """The transactional id, the offsets group and the end of the lease key of all dispatchers of a prefix."""
    return f"{settings.kafka.topic_prefix}.dispatcher"


@dataclass(frozen=True, slots=True)
class DispatcherDoors:
    """What a dispatcher meets the world by.

    Attributes:
        lane: Makes the reader of a topic: one for each lane, one for the control topic.
        make_producer: Makes a fresh transactional producer under `dispatcher_name`.
        chunks: Takes what is streamed.
        replies: Looks at topics of producers' own.
        offload: Reads large records; in the loop itself unless another is given.
    """

    upstream: Upstream
    lease: Lease
    ledger: LedgerLog
    coordinators: Coordinators
    offsets: OffsetStore
    lane: Callable[[str], LaneLog]
    make_producer: Callable[[], TransactionLog]
    chunks: ChunkLog
    replies: ReplyTopics
    counter: TokenCounter
    offload: Offload = at_once


@dataclass(frozen=True, slots=True)
class Assembly:
    """A dispatcher and the parts of it that somebody may want to look at."""

    dispatcher: Dispatcher
    core: Dispatch
    driver: Driver
    hold: Hold
    intakes: dict[str, LaneIntake]
    follower: LedgerFollower
    promotion: Promotion
    leadership: Leadership
    meter: Meter
    telemetry: Telemetry
    status: Status
    whereabouts: Whereabouts

    @property
    def health(self) -> Health:
        """What the probes say."""
        return self.leadership.health


def assemble(  # noqa: PLR0913 — all but two keyword-only
    settings: Settings,
    doors: DispatcherDoors,
    *,
    clock: WallClock,
    owner: str,
    dice: Callable[[], float],
    from_start: frozenset[str] = frozenset(),
    secret: Callable[[int], bytes] = secrets.token_bytes,
) -> Assembly:
    """One dispatcher; nothing is connected yet. Call it inside the running event loop.

    Args:
        settings: Checked.
        doors: Not opened.
        clock: Anchored to the running loop.
        owner: This process's random token, in the lease and in the ledger.
        dice: Random numbers from 0 to 1, for pauses that must not coincide.
        from_start: Lanes whose missing offsets the operator allows to read as zero.
        secret: Random bytes, as many as asked for, that cannot be guessed.

    Raises:
        SettingsError: `from_start` names a lane that is not configured.
    """
    for lane in from_start - settings.lanes.keys() - {CONTROL}:
        raise SettingsError(f"--from-start names lane {lane!r}, which is not among {', '.join(settings.lanes)}.")
    hold, meter, health = Hold(), Meter(), Health()
    prefix = settings.kafka.topic_prefix
    rules = dispatch_rules(settings)
    core = Dispatch(rules, make_budget=budget_maker(settings), dice=dice)
    telemetry = Telemetry(meter, hold, clock)
    replies = Replies(doors.replies, settings.replies.allow, meter=meter, clock=clock)
    streaming = Streaming(
        doors.chunks, clock, lambda: core.term if core.role is LEADING else None, contained=telemetry.contained
    )
    calling = Calling(doors.upstream, clock, telemetry, streaming)
    driver = Driver(core, hold, clock, caller=calling.call, watcher=telemetry)
    letters = doors.lane(topics.dead_letters_topic(prefix))
    grants = Grants(
        letters,
        clock,
        retention_ms=(settings.topics.dead_letters.retention_s + DAY_S) * 1_000,
        window_ms=rules.dedupe_window_ms,
        secret=secret,
        knows=core.identities.knows_run,
    )
    pricer, control = Pricer(settings, doors.counter, clock, grants), ControlReader(input_limits(settings))
    read = {CONTROL: topics.control_topic(prefix)} | {
        lane: topics.requests_topic(prefix, lane) for lane in settings.lanes
    }
    intakes = {
        lane: LaneIntake(
            lane, topic, doors.lane(topic), driver, control if lane == CONTROL else pricer, offload=doors.offload
        )
        for lane, topic in read.items()
    }
    ledger_topic = topics.ledger_topic(prefix)
    follower = LedgerFollower(
        doors.ledger, doors.coordinators, driver, clock, window_ms=rules.dedupe_window_ms, grants=grants
    )
    promotion = Promotion(
        owner=owner,
        ledger_topic=ledger_topic,
        follower=follower,
        offsets=doors.offsets,
        intakes=intakes,
        from_start=from_start | {CONTROL},  # a cancel that is read again does what it did
        utc_ms=clock.utc_ms,
        timekeeper=Timekeeper(clock, doors.lease),
        grants=grants,
    )
    parts = Parts(
        driver=driver,
        lease=doors.lease,
        follower=follower,
        promotion=promotion,
        publication=Publication(
            settings, hold, clock, replies, owner=owner, contained=telemetry.contained, grants=grants
        ),
        replies=replies,
        intakes=intakes,
        make_producer=doors.make_producer,
        clock=clock,
        dice=dice,
        transacted=meter.transaction,
    )
    leadership = Leadership(parts, owner=owner, times=rules.lease, ledger_topic=ledger_topic, health=health)
    status = Status(settings, core, health, telemetry, replies, owner=owner, clock=clock)
    whereabouts = Whereabouts(core, hold, health=health, telemetry=telemetry, clock=clock, topic_prefix=prefix)
    dispatcher = Dispatcher(
        settings,
        driver=driver,
        leadership=leadership,
        doors=Doors(doors.upstream, doors.lease, doors.chunks, (letters, *(intake.log for intake in intakes.values()))),
        telemetry=telemetry,
        replies=replies,
        status=status,
        whereabouts=whereabouts,
    )
    return Assembly(
        dispatcher, core, driver, hold, intakes, follower, promotion, leadership, meter, telemetry, status, whereabouts
    )
