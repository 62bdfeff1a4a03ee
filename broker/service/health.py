"""Health of a process, as probes and status page show it: written by leadership, read by the web server."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

GAUGES_EVERY_S = 1.0
"""Interval at which a process measures its levels, and a leader leaves its status in Redis."""
_WORKING = frozenset({"leader", "standby"})
_HOLDING_THE_LEASE = frozenset({"promoting", "leader", "suspended"})


@dataclass(slots=True)
class Health:
    """Health of a process: `holder` is the lease's owner token; `leading_since` is the start of the present term.

    `unpromoted` is why the lease's holder does not lead yet, though both services answer; `denied` is what an operator
    must repair before anything is published. It outlives the promotions in between, each of which succeeds, and
    transactions that write elsewhere: `denied_for` are the topics that have not been written to since. `openai` is the
    fault that the first call to OpenAI has found, until a request's call is answered.
    """

    role: str = "starting"
    term: int = 0
    kafka_ready: bool = False
    redis_ready: bool = False
    holder: str | None = None
    kafka_trouble: str | None = None
    redis_trouble: str | None = None
    unpromoted: str | None = None
    denied: str | None = None
    denied_for: frozenset[str] = frozenset()
    openai: str | None = None
    leading_since: datetime | None = None

    @property
    def holds_the_lease(self) -> bool:
        """Whether other processes must see this one's status: that of a leader in trouble above all."""
        return self.role in _HOLDING_THE_LEASE

    @property
    def trouble(self) -> str | None:
        """Fault description for a person; None if there is no fault."""
        kafka = None if self.kafka_trouble == self.denied else self.kafka_trouble
        return " ".join(filter(None, (self.denied, kafka, self.redis_trouble, self.unpromoted, self.openai))) or None

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Whether this process does its part, and what `/readyz` says of it."""
        ready = self.kafka_ready and self.role in _WORKING
        told = {"ready": ready, "role": self.role, "kafka": self.kafka_ready, "redis": self.redis_ready}
        return ready, {**told, "trouble": self.trouble} if self.trouble else told

    def kafka(self, trouble: str | None) -> None:
        """Set Kafka's trouble; None: it answers."""
        self.kafka_ready, self.kafka_trouble = trouble is None, trouble

    def deny(self, trouble: str, topics: Iterable[str]) -> None:
        """Note that a transaction was denied which wrote to these topics, or to others as well."""
        self.denied, self.denied_for = trouble, frozenset(topics)

    def record_commit(self, topics: Iterable[str]) -> None:
        """Note a committed transaction that wrote to these topics: for them nothing is denied any more."""
        self.denied_for = self.denied_for.difference(topics)
        if not self.denied_for:
            self.denied = None

    def redis(self, trouble: str | None) -> None:
        """Set Redis' trouble; None: it answers."""
        self.redis_ready, self.redis_trouble = trouble is None, trouble
