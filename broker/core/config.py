"""The settings of the machine and the roles it plays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from broker.core.bounds import CANCEL_PATIENCE_MS, COPY_WITHIN_MS, OUTCOME_BYTES_MAX
from broker.core.lanes.lanes import LaneRule
from broker.core.lanes.tenants import USUAL, TenantRule
from broker.core.lease import LeaseTimes
from broker.core.requests.retry import RetryRules


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
