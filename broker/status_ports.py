"""Protocols of what is shown to people: what processes leave beside their leases in Redis, and the totals topic."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from headrace.schemas.record import Record


@dataclass(frozen=True, slots=True)
class Reported:
    """Result of one look below one lease key.

    Attributes:
        lease_key: The lease key.
        status: The JSON that was left, or None.
        age_s: Age of the status.
        holder: Content of the lease: a token, `released`, or None.
        standbys: Number of processes that note that they could take over; None if their index cannot be read.
        spoilt: For each key of another type than Headrace writes, a sentence that says so and gives the remedy.
    """

    lease_key: str
    status: str | None
    age_s: float | None
    holder: str | None
    standbys: int | None
    spoilt: tuple[str, ...] = ()


class StatusBoard(Protocol):
    """What the holders of the dispatchers' and the retriers' lease have left for people, and the number of standbys.

    Every method but `close` raises `headrace.broker.errors.LeaseUnavailable` when Redis does not answer, or refuses.
    """

    async def dispatcher(self) -> Reported:
        """Read what is below the dispatchers' lease."""

    async def retrier(self) -> Reported:
        """Read what is below the retriers' lease."""

    async def close(self) -> None:
        """Close the connection."""


class TotalsLog(Protocol):
    """The totals topic, followed from an instant on: committed records in the order of each partition."""

    async def open(self, from_wall_ms: int) -> None:
        """Begin with the first record that Kafka has stamped with that wall time or later.

        Raises:
            headrace.broker.errors.MissingTopic: There is none that this user may see.
            headrace.broker.errors.LogUnavailable: Kafka does not answer.
        """

    async def read(self, timeout_ms: int) -> Sequence[Record]:
        """Return the next records, a bounded number; wait for one at most that long.

        Raises:
            headrace.broker.errors.LogUnavailable: Kafka does not answer, or does not hold what comes next: open anew.
        """

    async def is_at_end(self) -> bool:
        """Whether the last read has left nothing, by what Kafka said last; False if it has been silent for seconds."""

    async def close(self) -> None:
        """Close the connection; `open` begins anew."""
