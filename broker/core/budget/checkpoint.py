"""Record of a limit's state that a leader writes into the ledger for its successor."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.endpoints import Law


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State of a limit that a successor may believe: the lower ends, with everything in flight paid.

    Attributes:
        limit: The limit's name.
        at_ms: The writer's clock.
        levels: The level bounds of each mirror of tokens and requests.
        charged_last_minute: Tokens that the operator's cap must still count.
        pause_ms: How long no call may be paid, from `at_ms`.
        markup_ppm: The ratio of the server's charges to ours, in millionths.
        laws: The believed charge law, by endpoint.
        tolerated_burst_tokens: The largest burst beyond the rate that was spent without a refusal.
        burst_ceiling_tokens: The burst that the server does not tolerate, where a refusal has shown it.
        measured_tokens_per_minute: Tokens a minute that were measured, where the mirrors are not followed.
        unshown: Tokens of input that a body does not show, by the kind of its reference.
        factors: The server's charges over the believed law's, in millionths, by endpoint.
        sides: The level bounds of limits of input tokens and of images.
    """

    limit: str
    at_ms: int
    levels: tuple[LevelBounds, ...]
    charged_last_minute: int
    pause_ms: int
    markup_ppm: int
    laws: Mapping[str, Law] = field(default_factory=dict)
    tolerated_burst_tokens: int = 0
    burst_ceiling_tokens: int | None = None
    measured_tokens_per_minute: int | None = None
    unshown: Mapping[str, int] = field(default_factory=dict)
    factors: Mapping[str, int] = field(default_factory=dict)
    sides: tuple[LevelBounds, ...] = ()

    def aged(self, now_ms: int) -> "Checkpoint":
        """Return the checkpoint as of `now_ms` on the writer's clock, for a reader at that time.

        Of the time since, one period is not credited, or one minute of a longer period: how much of it another term has
        spent is unknown. The bucket of a limit that had no leader for longer has refilled.
        """
        age_ms = max(0, now_ms - self.at_ms)
        levels, sides = (
            tuple(level.refilled(max(0, age_ms - min(level.period_ms, MINUTE_MS))) for level in several)
            for several in (self.levels, self.sides)
        )
        charged = self.charged_last_minute if age_ms < MINUTE_MS else 0
        pause_ms = max(0, self.pause_ms - age_ms)
        return replace(self, at_ms=now_ms, levels=levels, sides=sides, charged_last_minute=charged, pause_ms=pause_ms)
