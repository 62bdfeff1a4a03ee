"""Capacity of one metric of one limit, and where it went."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.broker.simulator.admission import Metric


@dataclass(frozen=True, slots=True)
class Tally:
    """Units since the limit was first drawn from. A benchmark takes two tallies and the difference between them.

    Attributes:
        offered: The most that a client with full knowledge could have been charged: the initial level and the refill
            until now, under exactly the behaviour in effect and by its tightest limit, less what foreigners took.
            Charges after the fact beyond the level are lent, and count as offered. None where no limit counts these
            units.
        charged: Charges of admitted calls, settlements at their end included.
        foreign: Units that foreigners took.
        refused: Calls that this metric refused.
        wasted: Units that those refusals took.
    """

    offered: int | None
    charged: int
    foreign: int = 0
    refused: int = 0
    wasted: int = 0

    @property
    def share(self) -> float | None:
        """Charged of offered; None when nothing was offered, or no limit counts these units."""
        return self.charged / self.offered if self.offered is not None and self.offered > 0 else None

    def since(self, earlier: "Tally") -> "Tally":
        """Return the difference to an `earlier` tally."""
        return Tally(
            None if self.offered is None or earlier.offered is None else self.offered - earlier.offered,
            self.charged - earlier.charged,
            self.foreign - earlier.foreign,
            self.refused - earlier.refused,
            self.wasted - earlier.wasted,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the fields by name, with the share."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"share": self.share}


def tokens_of(tallies: Mapping[Metric, Tally]) -> Tally:
    """Return the tally of what a limit counts of tokens: all of them, or, where no limit does, those of the input."""
    tokens = tallies[Metric.TOKENS]
    return tokens if tokens.offered is not None else tallies.get(Metric.INPUT_TOKENS, tokens)
