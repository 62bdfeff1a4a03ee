"""The settings of the machine and the roles it plays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from broker.core.bounds import CANCEL_PATIENCE_MS, COPY_WITHIN_MS, OUTCOME_BYTES_MAX
from broker.core.units import PPM


class Role(Enum):
    """What this process may do."""

    FOLLOWING = "following"
    LEADING = "leading"
    SUSPENDED = "suspended"


LEADING: Final = Role.LEADING  # a name of its own for what is asked of every event: before Python 3.12 it costs less


class Pause(Enum):
    """Why a process starts no call, whatever the limits could pay."""

    SUSPENDED = "suspended"  # its producer is gone, or it does not lead
    UNPROVED = "unproved"  # nothing of late proves that it still leads, or a commit hangs
    LEAVING = "leaving"  # no call would end before it has to be gone


@dataclass(frozen=True, slots=True)
class LaneRule:
    """How one lane shares.

    Attributes:
        name: The lane's name.
        order: Preference; the smallest is served first.
        reserve_ppm: Share of each limit's capacity that lanes after this one may not touch.
        floor_ppm: Share of the tokens admitted while it waits that it gets at least.
        ceiling_ppm: Share of the tokens admitted while others wait that it gets at most.
        lift_ppm: Share of what lanes above are served that its requests with near deadlines may take beside them.
        buffer_max: Records of this lane held in memory, all limits together.
        buffer_bytes_max: The same in bytes of memory, as they are decoded.
        serial: Of one ordering key one request at a time, to its end; nothing is parked.
    """

    name: str
    order: int
    reserve_ppm: int
    floor_ppm: int
    buffer_max: int
    buffer_bytes_max: int
    ceiling_ppm: int = PPM
    serial: bool = False
    lift_ppm: int = 0


WEIGHT_ONE: Final = 1_000
"""Weights are whole thousandths."""


@dataclass(frozen=True, slots=True)
class TenantRule:
    """How one tenant shares.

    Attributes:
        weight: Its share against the others', in thousandths of the usual one.
        cap_tokens: Tokens in any minute, all lanes and limits together; None: no cap.
        inflight_max: Calls in flight, likewise.
    """

    weight: int = WEIGHT_ONE
    cap_tokens: int | None = None
    inflight_max: int | None = None

    @property
    def capped(self) -> bool:
        """Whether anything bounds it."""
        return self.cap_tokens is not None or self.inflight_max is not None


USUAL: Final = TenantRule()
"""Of who has no rule."""


REDIS_ANSWERS_WITHIN_MS: Final = 1_000
"""A command to Redis has failed after so long, with the making of a connection; the door to it goes by this bound."""


LEASE_MS_MAX: Final = 60_000
"""The longest life of a lease in the settings: what would live longer was not set by a dispatcher."""


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """The times of an election; their relations are asserted, so change them together."""

    ttl_ms: int = 2_000  # of the key; a standby waits for it
    renew_every_ms: int = 400
    poll_every_ms: int = 200  # of a standby
    margin_ms: int = 400  # a leader stops trusting this long before its key expires: clocks drift, calls take off
    proof_ms: int = 1_500  # how long a transaction proves, from its beginning, that nobody has fenced us
    silence_ms: int = 500  # looks of a standby further apart: what happened to the key in between is not known
    answer_ms: int = REDIS_ANSWERS_WITHIN_MS

    @property
    def reclaim_ms(self) -> int:
        """How long a living leader may take to set its key again, from when Redis answers all.

        A renewal that was under way by then fails after `answer_ms` at the latest, and the next one follows at once;
        where none was under way it follows within `renew_every_ms`. The margin is for its own way, and for a busy loop.
        It is less than the life of a key, as below, so a killed leader is replaced when its key runs out, and no later.
        """
        return max(self.renew_every_ms, self.answer_ms) + self.margin_ms

    def __post_init__(self) -> None:
        assert 0 < self.poll_every_ms < self.silence_ms, "a standby that looks as often as it should hears no silence"
        assert self.renew_every_ms > 0, "a leader renews"
        assert self.renew_every_ms + self.answer_ms < self.ttl_ms - self.margin_ms, "one lost renewal costs no trust"
        assert 0 < self.margin_ms < self.ttl_ms, "trust ends before the key"
        assert 0 < self.proof_ms <= self.ttl_ms - self.margin_ms, "a proof is not trusted longer than a lease"


@dataclass(frozen=True, slots=True)
class RetryRules:
    """`in_place_max_ms`: the longest wait that is sat out here. `attempts_max`: failed attempts before giving up."""

    in_place_max_ms: int
    attempts_max: int


@dataclass(frozen=True, slots=True)
class DispatchRules:
    """Settings of the machine.

    Attributes:
        lanes: The lanes, in any order.
        retry: Bounds of retrying in place.
        lease: The lease's times.
        inflight_max: Calls in flight at once, all limits together.
        held_bytes_max: Bytes of answers in memory, with a reserve for each call in flight.
        parked_bytes_max: A heavier record is not parked: its RetryableFailure would not fit its topic.
        dedupe_window_ms: How long an answered id is remembered.
        dedupe_ids_max: How many are remembered at most.
        outcome_bytes_max: A heavier outcome does not fit the results topic.
        tenants: Rules of single tenants, by name.
        other_tenants: The rule of each one without.
        cancel_patience_ms: How long a cancel waits for its request: the longest deadline that any lane allows.
        copy_within_ms: How long after its deadline the copy of a parked request can still come, as topics retain.
    """

    lanes: Sequence[LaneRule]
    retry: RetryRules
    lease: LeaseTimes
    inflight_max: int
    held_bytes_max: int
    parked_bytes_max: int
    dedupe_window_ms: int
    dedupe_ids_max: int
    outcome_bytes_max: int = OUTCOME_BYTES_MAX
    cancel_patience_ms: int = CANCEL_PATIENCE_MS
    copy_within_ms: int = COPY_WITHIN_MS
    tenants: Mapping[str, TenantRule] = field(default_factory=dict)
    other_tenants: TenantRule = USUAL

    def is_serial(self, lane: str) -> bool:
        """Whether the requests of that lane are never parked."""
        return any(rule.serial for rule in self.lanes if rule.name == lane)

    @property
    def first_lane(self) -> str:
        """The lane that everybody gives way to."""
        return min(self.lanes, key=lambda lane: lane.order).name
