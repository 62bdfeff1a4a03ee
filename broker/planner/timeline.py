"""A run over time: the waits and the spending in each stretch.

A wait belongs to the stretch in which the request is *called*: the requests of a batch, which come at once, are thus
spread over time.
"""

from dataclasses import dataclass, field
from typing import Final

from headrace.broker.core.commands import Decision

STRETCHES_MAX: Final = 2_000


@dataclass(slots=True)
class Stretch:
    """Figures of one lane in one stretch of time."""

    called: int = 0
    waited_ms: int = 0
    waited_most_ms: int = 0
    charged: int = 0

    def take_in(self, other: "Stretch") -> None:
        """Add the figures of the other one."""
        self.called += other.called
        self.waited_ms += other.waited_ms
        self.waited_most_ms = max(self.waited_most_ms, other.waited_most_ms)
        self.charged += other.charged


@dataclass(slots=True)
class Timeline:
    """Stretches by lane and number. The width doubles whenever there would be too many."""

    width_ms: int
    lanes: dict[str, dict[int, Stretch]] = field(default_factory=dict)

    def arrived(self, lane: str, now_ms: int) -> None:
        """See `RunObserver`."""

    def called(self, lane: str, charge: int, waited_ms: int | None, now_ms: int) -> None:
        """See `RunObserver`."""
        stretch = self._at(lane, now_ms)
        stretch.charged += charge
        if waited_ms is not None:
            stretch.called += 1
            stretch.waited_ms += waited_ms
            if waited_ms > stretch.waited_most_ms:  # noqa: PLR1730 — for every call
                stretch.waited_most_ms = waited_ms

    def settled(self, number: int, decision: Decision, now_ms: int) -> None:
        """See `RunObserver`."""

    def take_in(self, other: "Timeline", shift_ms: int) -> None:
        """Add the other timeline, which began `shift_ms` later and is no wider."""
        for lane, stretches in other.lanes.items():
            for number, stretch in stretches.items():
                self._at(lane, shift_ms + number * other.width_ms).take_in(stretch)

    def charged_most(self, span_ms: int) -> int:
        """Return the tokens paid in the busiest consecutive stretches of `span_ms`, or a little less, together."""
        whole: dict[int, int] = {}
        for stretches in self.lanes.values():
            for number, stretch in stretches.items():
                whole[number] = whole.get(number, 0) + stretch.charged
        wide = max(1, span_ms // self.width_ms)
        return max((sum(whole.get(number + step, 0) for step in range(wide)) for number in whole), default=0)

    def _at(self, lane: str, at_ms: int) -> Stretch:
        while (number := at_ms // self.width_ms) >= STRETCHES_MAX:
            self._widen()
        stretches = self.lanes.get(lane)
        if stretches is None:
            stretches = self.lanes[lane] = {}
        stretch = stretches.get(number)
        if stretch is None:
            stretch = stretches[number] = Stretch()
        return stretch

    def _widen(self) -> None:
        self.width_ms *= 2
        for lane, stretches in self.lanes.items():
            wider: dict[int, Stretch] = {}
            for number, stretch in stretches.items():
                wider.setdefault(number // 2, Stretch()).take_in(stretch)
            self.lanes[lane] = wider
