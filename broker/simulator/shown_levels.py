"""The levels and numbers that a server states, where several limits of one metric are enforced."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from headrace.broker.simulator.admission import MINUTE_US, SECOND_US, HeaderTriple, Refusal
from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.profiles import (
    ShownLevels,
    ShownWindow,
    StatedNumbers,
    StatedRefusals,
    StatedWait,
)
from headrace.broker.simulator.rules import Meter


class ShownLimit(NamedTuple):
    """The limit of a metric that headers show: `meters` are all those that may be, the longest period first."""

    meters: Sequence[Meter]
    window: ShownWindow

    def meter(self) -> Meter:
        """Return the meter whose numbers a message may state in place of another's."""
        match self.window:
            case ShownWindow.SHORTEST:
                return self.meters[-1]
            case ShownWindow.TIGHTEST:
                return min(self.meters, key=lambda meter: meter.room() / meter.limit)
            case _:
                return self.meters[0]

    def level(self) -> HeaderTriple:
        """Return the numbers for headers."""
        level = self.meter().level()
        if self.window is not ShownWindow.MIXED:
            return level
        shortest = self.meters[-1].level()
        return HeaderTriple(level.limit, min(level.limit, shortest.remaining), shortest.reset_ms)


@dataclass(frozen=True, slots=True)
class Statements:
    """What answers state of limits."""

    shown: ShownLevels
    refusals: StatedRefusals

    @classmethod
    def of(cls, behaviours: Sequence[Behaviour]) -> "Statements":
        """Return the last of each kind."""
        shown, refusals = ShownLevels(), StatedRefusals()
        for played in behaviours:
            if isinstance(played, ShownLevels):
                shown = played
            elif isinstance(played, StatedRefusals):
                refusals = played
        return cls(shown, refusals)

    def limit(self, meters: Sequence[Meter]) -> Meter | ShownLimit:
        """Return what headers show of these meters of one metric, in the order of their rules."""
        if len(meters) == 1 or self.shown.window is ShownWindow.LONGEST:
            return max(reversed(meters), key=lambda meter: meter.period_us)  # the last of equals
        return ShownLimit(sorted(meters, key=lambda meter: -meter.period_us), self.shown.window)

    def told(self, refused: Refusal, shown: Meter | ShownLimit | None) -> Refusal:
        """Return a refusal with the numbers and the wait that the server states."""
        if refused.wait_ms is not None:
            refused = self._waiting(refused)
        match self.refusals.numbers:
            case StatedNumbers.REFUSING:
                return refused
            case StatedNumbers.NONE:
                return refused._replace(numbers_stated=False)
            case StatedNumbers.MINUTE:
                limit = refused.limit * MINUTE_US // refused.period_us
                used = refused.used * MINUTE_US // refused.period_us
                return refused._replace(limit=limit, used=min(limit, used), period_us=MINUTE_US)
            case StatedNumbers.SHOWN if shown is not None:
                meter = shown.meter() if isinstance(shown, ShownLimit) else shown
                return refused._replace(limit=meter.limit, used=meter.used(), period_us=meter.period_us)
            case _:
                return refused

    def _waiting(self, refused: Refusal) -> Refusal:
        match self.refusals.wait:
            case StatedWait.SECONDS:
                seconds = -(-(refused.wait_ms or 1) // 1_000)
                return refused._replace(wait_ms=seconds * 1_000)
            case StatedWait.MINUTE:
                return refused._replace(wait_ms=MINUTE_US // (SECOND_US // 1_000))
            case StatedWait.NONE:
                return refused._replace(wait_stated=False)
            case _:
                return refused
