"""What a leader writes of a limit's money into the ledger, and a successor may believe of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from broker.core.answers.rate_limit_headers import MINUTE_MS
from broker.core.budget.bucket_set import LevelBounds
from broker.core.pricing.laws import Law


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a successor may believe of a limit: the lower ends, with everything in flight paid.

    Attributes:
        limit: The limit's name.
        at_ms: The writer's clock.
        levels: Each metric's level.
        charged_last_minute: What an own cap must still count.
        pause_ms: How long nobody may pay, from `at_ms`.
        markup_ppm: The server's charges over ours.
        laws: The charge law that was believed, by endpoint.
        borne_tokens: What has been spent at once beyond the rate without a refusal.
        ceiling_tokens: What must not be, where a refusal has shown it.
    """

    limit: str
    at_ms: int
    levels: tuple[LevelBounds, ...]
    charged_last_minute: int
    pause_ms: int
    markup_ppm: int
    laws: Mapping[str, Law] = field(default_factory=dict)
    borne_tokens: int = 0
    ceiling_tokens: int | None = None

    def aged(self, now_ms: int) -> "Checkpoint":
        """The same, on the writer's clock, for a reader at `now_ms`.

        Of the time since, one period is not credited, or a minute of a longer one: nobody knows how much of it another
        term has spent. A bucket that nobody led for longer has refilled.
        """
        age_ms = max(0, now_ms - self.at_ms)
        levels = tuple(level.refilled(max(0, age_ms - min(level.period_ms, MINUTE_MS))) for level in self.levels)
        charged = self.charged_last_minute if age_ms < MINUTE_MS else 0
        pause_ms = max(0, self.pause_ms - age_ms)
        return replace(self, at_ms=now_ms, levels=levels, charged_last_minute=charged, pause_ms=pause_ms)
