"""What the probes and the page say of this process: written by leadership, read by the web."""

from dataclasses import dataclass


@dataclass(slots=True)
class Health:
    """`holder` is the owner token in the lease; `follows` tells whether the ledger is being read."""

    role: str = "starting"
    term: int = 0
    kafka_ready: bool = False
    redis_ready: bool = False
    follows: bool = False
    holder: str | None = None
    kafka_trouble: str | None = None
    redis_trouble: str | None = None

    @property
    def trouble(self) -> str | None:
        """What is wrong now, for a person; None if nothing is."""
        return " ".join(filter(None, (self.kafka_trouble, self.redis_trouble))) or None
