"""What one metric of one limit could have given, and where it went."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tally:
    """Units since the limit was first drawn from. A benchmark takes two and asks for what lies between.

    Attributes:
        offered: What a client that knew all of it could have been charged: what was there at the start and came
            until now, under the very behaviour that is played and by its tightest limit, less what foreigners took.
            What is charged after the fact and was not there is lent, and counts as offered.
        charged: What admitted calls were charged, settlements at their end included.
        foreign: What foreigners took.
        refused: Calls that this metric refused.
        wasted: What those refusals took.
    """

    offered: int
    charged: int
    foreign: int = 0
    refused: int = 0
    wasted: int = 0

    @property
    def share(self) -> float | None:
        """Charged of offered; None when nothing was offered."""
        return self.charged / self.offered if self.offered > 0 else None

    def since(self, earlier: "Tally") -> "Tally":
        """What came and went after `earlier` was taken."""
        return Tally(
            self.offered - earlier.offered,
            self.charged - earlier.charged,
            self.foreign - earlier.foreign,
            self.refused - earlier.refused,
            self.wasted - earlier.wasted,
        )

    def as_json(self) -> dict[str, Any]:
        """By name, with the share."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"share": self.share}
