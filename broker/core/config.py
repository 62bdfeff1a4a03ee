"""Settings of the dispatcher's state machine, and the roles of a process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from headrace.broker.core.bounds import CANCEL_PATIENCE_MS, COPY_WITHIN_MS, OUTCOME_BYTES_MAX
from headrace.broker.core.units import PPM


class Role(Enum):
    """What this process may do."""

    FOLLOWING = "following"
    LEADING = "leading"
    SUSPENDED = "suspended"


LEADING: Final = Role.LEADING  # a module name, as every event compares it: cheaper before Python 3.12


class Pause(Enum):
    """Why a process starts no call, whatever the limits could pay."""

    SUSPENDED = "suspended"  # its producer is gone, or it does not lead
    UNPROVED = "unproved"  # no recent proof that it still leads, or a commit hangs
    LEAVING = "leaving"  # no call would end before the process must have left


@dataclass(frozen=True, slots=True)
class LaneRule:
    """A lane's share of each limit.

    Attributes:
        name: The lane's name.
        order: Preference; the smallest is served first.
        reserve_ppm: Share of each limit's capacity that lanes after this one must leave untouched.
        floor_ppm: Share of the tokens admitted while it waits that it gets at least.
        ceiling_ppm: Share of the tokens admitted while others wait that it gets at most.
        lift_ppm: Share of the tokens served to lanes above that its requests with near deadlines may take in addition.
        buffer_max: Records of this lane held in memory, all limits together.
        buffer_bytes_max: The same in bytes of memory, as they are decoded.
        serial: Requests of one ordering key are handled one at a time, to the end; none is parked.
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
"""The weight 1: weights are whole thousandths."""


@dataclass(frozen=True, slots=True)
class TenantRule:
    """A tenant's weight and caps.

    Attributes:
        weight: Its share relative to other tenants', in thousandths of the usual one.
        cap_tokens: Tokens in any minute, all lanes and limits together; None: no cap.
        inflight_max: Calls in flight, all lanes and limits together; None: no cap.
    """

    weight: int = WEIGHT_ONE
    cap_tokens: int | None = None
    inflight_max: int | None = None

    @property
    def capped(self) -> bool:
        """Whether it has a cap."""
        return self.cap_tokens is not None or self.inflight_max is not None


USUAL: Final = TenantRule()
"""The rule of a tenant that has none of its own."""


REDIS_ANSWERS_WITHIN_MS: Final = 1_000
"""Time-out of a Redis command, connecting included; the Redis adapter uses this bound."""


LEASE_MS_MAX: Final = 60_000
"""The longest life of a lease that the settings allow: a key with a longer one was not set by a dispatcher."""


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """The times of an election; their relations are asserted, so change them together."""

    ttl_ms: int = 2_000  # of the key; a standby waits until it expires
    renew_every_ms: int = 400
    poll_every_ms: int = 200  # of a standby
    margin_ms: int = 400  # trust ends this long before the key expires: clocks drift, and calls take time to leave
    proof_ms: int = 1_500  # how long a transaction proves, from its beginning, that this producer is not fenced
    silence_ms: int = 500  # if a standby's looks are further apart, what happened to the key in between is unknown
    answer_ms: int = REDIS_ANSWERS_WITHIN_MS

    @property
    def reclaim_ms(self) -> int:
        """Return how long a living leader may take to set its key again, from when Redis answers every client.

        A renewal that was under way by then fails after `answer_ms` at the latest, and the next one follows at once; if
        none was under way, one follows within `renew_every_ms`. The margin is for that renewal's own round trip, and
        for a busy event loop. The result is less than the life of a key, as asserted below, so a killed leader is
        replaced when its key expires, and no later.
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
    """Bounds of retrying in place.

    `in_place_max_ms`: the longest wait spent in memory, without parking. `attempts_max`: failed attempts before giving
    up.
    """

    in_place_max_ms: int
    attempts_max: int


@dataclass(frozen=True, slots=True)
class DispatchRules:
    """Settings of the state machine.

    Attributes:
        lanes: The lanes, in any order.
        retry: Bounds of retrying in place.
        lease: The lease's times.
        inflight_max: Calls in flight at once, all limits together.
        held_bytes_max: Bytes of answers in memory, with a reserve for each call in flight.
        parked_bytes_max: A larger record is not parked: its RetryableFailure would not fit its topic.
        dedupe_window_ms: How long an answered id is remembered.
        dedupe_ids_max: The number of ids remembered at most.
        outcome_bytes_max: A larger outcome does not fit the results topic.
        tenants: Rules of single tenants, by name.
        other_tenants: The rule of every tenant without one.
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
        """Whether requests of that lane are never parked."""
        return any(rule.serial for rule in self.lanes if rule.name == lane)

    @property
    def first_lane(self) -> str:
        """The lane with the highest preference."""
        return min(self.lanes, key=lambda lane: lane.order).name
