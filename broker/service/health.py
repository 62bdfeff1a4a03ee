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
    trouble: str | None = None
