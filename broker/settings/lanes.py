"""The lanes: their order, the shares each is sure of, and the time its requests may wait."""

from typing import Any, Self

from pydantic import ByteSize, Field, model_validator

from headrace.broker.settings.group import LIFETIME_MAX_S, Contradiction, ContradictionsError, Group, Share, Size


class LaneSettings(Group):
    """One priority level, with the requests topic `<prefix>.requests.<lane>`.

    `order` 1 goes first. `reserve` is the part of every bucket that lower lanes cannot touch, `floor` what this lane is
    sure of however busy the others are, `ceiling` what it never exceeds while others wait: parts of the token budget.
    No tokens are left unused: while no other lane has waiting requests, a lane may have all. A request in the last part
    of its time may go in the turn of the lane above; `lift` bounds what those of this lane take, as a part of what
    lanes above are served. `deadline_s` is given to requests without one; none may ask for more than `deadline_max_s`,
    by default all but a day of what the topic retains. `objective_s` is a promise that is measured and alerted on, and
    decides nothing about requests. The look-ahead is bounded by `buffer_max` requests and
    `buffer_bytes_max` bytes.
    """

    order: int = Field(ge=1)
    floor: Share = 0.0
    reserve: Share = 0.0
    ceiling: Share = 1.0
    lift: Share = 0.05
    deadline_s: int = Field(86_400, ge=1, le=LIFETIME_MAX_S)
    deadline_max_s: int | None = Field(None, ge=1, le=LIFETIME_MAX_S)
    objective_s: int | None = Field(None, ge=1, le=LIFETIME_MAX_S)
    buffer_max: int = Field(2_000, ge=1, le=100_000)
    buffer_bytes_max: Size = ByteSize(32 * 1024 * 1024)
    serial: bool = False

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        if self.ceiling == 0:
            raise ContradictionsError(
                Contradiction("ceiling must be above 0, or the lane never moves", (("ceiling",),))
            )
        if self.floor > self.ceiling:
            sentence = f"floor {self.floor:g} is above its ceiling {self.ceiling:g}"
            raise ContradictionsError(Contradiction(sentence, (("floor",), ("ceiling",))))
        return self


LANE_DEFAULTS: dict[str, dict[str, Any]] = {
    "urgent": {"order": 1, "reserve": 0.05, "deadline_s": 3_600, "objective_s": 60},
    "standard": {"order": 2, "floor": 0.10, "deadline_s": 86_400, "objective_s": 1_800},
    "bulk": {"order": 3, "floor": 0.05, "deadline_s": 432_000, "objective_s": 86_400},
}
"""Defaults below the operator's settings: naming a lane changes or adds it, `bulk = false` removes it."""
