"""What a measurement found: a figure beside its bound, in one line a person can read."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.arena import Arena
from tests.chaos.traffic import verdicts

DRAINED_WITHIN_S = 120.0


@dataclass(frozen=True)
class Figure:
    """`bound` is the most that is promised, or the least where `at_least`; `short` names it where lines are long."""

    what: str
    value: float
    bound: float
    unit: str = "s"
    at_least: bool = False
    short: str = ""

    @property
    def is_kept(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def line(self) -> str:
        word = "at least" if self.at_least else "at most"
        kept = "kept" if self.is_kept else "BROKEN"
        return f"{kept:<7} {self.what}: {self.value:.2f} {self.unit} ({word} {self.bound:g} promised)"


def spread(values: Sequence[float]) -> str:
    """Every value, in the order of measuring."""
    return " ".join(f"{value:.2f}" for value in values)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


async def settled(scene: Arena, *, users_may_see: bool = False) -> list[Figure]:
    """Lets everything be answered, and says whether anything was lost, doubled, stuck or told to a user.

    `users_may_see`: while no node of Kafka answers, a plain producer is told so by its own library, and sends again.
    """
    await scene.traffic.stop()
    stuck = 0
    try:
        await scene.traffic.answered(DRAINED_WITHIN_S)
    except TimeoutError:
        stuck = scene.traffic.unanswered
    wrong = verdicts(scene.traffic)
    wrong["ended by themselves"] = scene.ended_by_themselves()
    wrong["bad lines in logs"] = scene.bad_lines()
    if not users_may_see:
        wrong["exceptions at users"] = [*scene.traffic.troubles, *scene.outcomes.troubles]
    told = {what: found[:3] for what, found in wrong.items() if found}
    whole = sum(len(found) for found in wrong.values()) + stuck
    about = f"of {len(scene.traffic.acknowledged)} requests lost, doubled, stuck or wrong {told or ''}".strip()
    return [Figure(about, whole, 0, "cases")]
