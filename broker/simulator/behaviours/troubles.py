"""Faults. A call that was admitted keeps its charge: no refund was ever recorded."""

import math
from dataclasses import dataclass
from enum import StrEnum

from headrace.broker.simulator.behaviours.bounds import Behaviour, between, bounded, share


@dataclass(frozen=True, slots=True)
class ErrorStorm(Behaviour):
    """A period in which a share of calls soon ends in a 5xx.

    Evidence: 500, 502 (a page) and 503 are recorded (the facts' §4.3); that they come in storms is common experience.
    """

    from_s: float = bounded(30.0, 0.0, math.inf)
    to_s: float = bounded(60.0, "from_s", math.inf)
    rate: float = share(0.5)
    statuses: tuple[int, ...] = (500, 502, 503)
    delay_s: float = bounded(0.1, 0.0, 3_600.0)

    def __post_init__(self) -> None:
        Behaviour.__post_init__(self)
        if not self.statuses or not all(500 <= status <= 599 for status in self.statuses):
            raise ValueError("the statuses of a storm are between 500 and 599")


class AccountTroubleKind(StrEnum):
    """The `code` of the 429."""

    SLOW_DOWN = "slow_down"
    INSUFFICIENT_QUOTA = "insufficient_quota"


@dataclass(frozen=True, slots=True)
class AccountTrouble(Behaviour):
    """A period in which a share of calls is refused, free of charge, with a 429 that no limit explains.

    Evidence: `slow_down` since 2026, a 503 before, and `insufficient_quota` (the facts' §4.1). That they come without
    limit headers is inferred.
    """

    kind: AccountTroubleKind = AccountTroubleKind.SLOW_DOWN
    from_s: float = bounded(30.0, 0.0, math.inf)
    to_s: float = bounded(60.0, "from_s", math.inf)
    rate: float = share(1.0)


@dataclass(frozen=True, slots=True)
class RefusedTier(Behaviour):
    """A service tier without capacity: a share of its calls is refused, free of charge, and other tiers are served.

    Evidence: "429 Resource Unavailable" of OpenAI's flex tier is documented, its code is inferred from that; 498
    `capacity_exceeded` is Groq's; a `status` of 400 refuses a tier that the model does not have (the facts' §8).
    """

    tier: str = "flex"
    rate: float = share(1.0)
    from_s: float = bounded(0.0, 0.0, math.inf)
    to_s: float = bounded(math.inf, "from_s", math.inf)
    status: int = 429

    def __post_init__(self) -> None:
        Behaviour.__post_init__(self)
        if self.status not in {400, 429, 498}:
            raise ValueError("the status of a refused tier is 429, 498 or 400")


@dataclass(frozen=True, slots=True)
class DroppedConnections(Behaviour):
    """A share of calls loses its connection on the way, before any answer. Common experience; the SDK retries it."""

    rate: float = share(0.02)


@dataclass(frozen=True, slots=True)
class SilentCalls(Behaviour):
    """A share of calls without an answer for `seconds`; then the connection ends. The SDK's time-out is 600 s (§5)."""

    rate: float = share(0.01)
    seconds: float = bounded(900.0, 0.0, 86_400.0)


@dataclass(frozen=True, slots=True)
class SlowStreams(Behaviour):
    """A share of streams that take `factor` times their latency. Inferred."""

    rate: float = share(0.05)
    factor: float = bounded(10.0, 1.0, 1_000.0)


@dataclass(frozen=True, slots=True)
class BrokenStreams(Behaviour):
    """A share of streams is cut, another ends in an error: the same as the rates in `UpstreamSettings`, added to them.

    Evidence: errors inside 200 streams (openai/codex#43337 and others, the facts' §4.3).
    """

    cut_rate: float = share(0.02)
    error_rate: float = share(0.02)

    def __post_init__(self) -> None:
        Behaviour.__post_init__(self)
        between("cut_rate and error_rate together", self.cut_rate + self.error_rate, 0.0, 1.0)
