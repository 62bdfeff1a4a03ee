"""Counts of a run: for each lane how long its requests waited and how they ended.

A wait is the time that a team notices before anything happens: from the record's arrival to the start of its first
call. The limits' figures are in the simulator's own books.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from headrace.broker.core import commands
from headrace.broker.planner.quantiles import Quantiles

COMPLETED = "completed"
OUTCOME_KEYS: Final[Mapping[type[commands.Decision], str]] = {
    commands.Complete: COMPLETED,
    commands.Park: "park",
    commands.Withdraw: "withdraw",
    commands.DeadLetterOnly: "bury",
    commands.Discard: "discard",
    commands.Remember: "remember",
}
"""Keys of decisions in a plan's counts; that of a Fail is its reason."""
_MISSED = frozenset({"deadline_exceeded", "deadline_unreachable"})


@dataclass(slots=True)
class LaneRecord:
    """Counts of one lane.

    Attributes:
        arrived: Requests that came.
        calls: Calls made for them, repeated ones included.
        throttled: Calls that ended in a 429.
        wait_ms: From arrival to the first call, of every request that was called.
        outcome_ms: From arrival to the commit of the outcome, of every request that has one.
        outcomes: Counts of `completed` and of each reason of a failure.
        late: Answers that were committed after their deadline.
    """

    arrived: int = 0
    calls: int = 0
    throttled: int = 0
    wait_ms: Quantiles = field(default_factory=Quantiles)
    outcome_ms: Quantiles = field(default_factory=Quantiles)
    outcomes: Counter[str] = field(default_factory=Counter)
    late: int = 0

    @property
    def completed(self) -> int:
        """Requests with an answer, late ones among them."""
        return self.outcomes[COMPLETED]

    @property
    def missed(self) -> int:
        """Deadlines missed: failed for it, or answered after it."""
        return self.late + sum(self.outcomes[reason] for reason in _MISSED)

    @property
    def failed(self) -> int:
        """Requests that failed for another reason than their deadline."""
        return self.outcome_ms.count - self.completed - (self.missed - self.late)

    def take_in(self, other: "LaneRecord") -> None:
        """Add the counts of the other one."""
        self.arrived += other.arrived
        self.calls += other.calls
        self.throttled += other.throttled
        self.wait_ms.take_in(other.wait_ms)
        self.outcome_ms.take_in(other.outcome_ms)
        self.outcomes += other.outcomes
        self.late += other.late


class RunObserver(Protocol):
    """Observer of a run beside its record: a plot's timeline is one."""

    def arrived(self, lane: str, now_ms: int) -> None:
        """Note that a request has come."""

    def called(self, lane: str, charge: int, waited_ms: int | None, now_ms: int) -> None:
        """Note a call that was sent, at a charge of `charge` tokens; `waited_ms` is None for a repeated one."""

    def settled(self, number: int, decision: commands.Decision, now_ms: int) -> None:
        """Note a committed outcome, of the request that came as the `number`th, from 1."""


@dataclass(slots=True)
class RunRecord:
    """The whole run. `ended_ms` is the last commit of an outcome, 0 before the first."""

    lanes: dict[str, LaneRecord] = field(default_factory=dict)
    ended_ms: int = 0

    @property
    def arrived(self) -> int:
        """Requests that came, all lanes together."""
        return sum(lane.arrived for lane in self.lanes.values())

    @property
    def settled(self) -> int:
        """Requests that have their outcome."""
        return sum(lane.outcome_ms.count for lane in self.lanes.values())

    def settle(self, lane: LaneRecord, decision: commands.Decision, span_ms: int, *, late: bool) -> None:
        """Count a request's outcome."""
        lane.outcome_ms.add(span_ms)
        key = decision.reason if isinstance(decision, commands.Fail) else OUTCOME_KEYS[type(decision)]
        lane.outcomes[key] += 1
        lane.late += late and isinstance(decision, commands.Complete)

    def take_in(self, other: "RunRecord", shift_ms: int) -> None:
        """Add the counts of the other run, which began `shift_ms` later."""
        for name, lane in other.lanes.items():
            self.lanes[name].take_in(lane)
        self.ended_ms = max(self.ended_ms, shift_ms + other.ended_ms)
