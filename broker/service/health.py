"""What the probes and the page say of this process: written by leadership, read by the web."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

GAUGES_EVERY_S = 1.0
"""How often a process measures its levels, and a leader leaves its status in Redis."""
_HOLDING_THE_LEASE = frozenset({"promoting", "leader", "suspended"})


@dataclass(slots=True)
class Health:
    """`holder` is the owner token in the lease; `leading_since` is when this term began, while it lasts.

    `unpromoted` is why who holds the lease does not lead yet, though both services answer; `denied` is what an operator
    must mend before anything is published. It outlives the promotions in between, each of which succeeds, and
    transactions that write elsewhere: `denied_for` are the topics that have not been written to since. `openai` is what
    the first question to OpenAI has found wrong, until a call is answered.
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
        """Whether others must see the status of this process: a leader in trouble above all."""
        return self.role in _HOLDING_THE_LEASE

    @property
    def trouble(self) -> str | None:
        """What is wrong now, for a person; None if nothing is."""
        kafka = None if self.kafka_trouble == self.denied else self.kafka_trouble
        return " ".join(filter(None, (self.denied, kafka, self.redis_trouble, self.unpromoted, self.openai))) or None

    def kafka(self, trouble: str | None) -> None:
        """Kafka answers (None), or what it does instead."""
        self.kafka_ready, self.kafka_trouble = trouble is None, trouble

    def deny(self, trouble: str, topics: Iterable[str]) -> None:
        """A transaction was denied that wrote to these topics, or to others as well."""
        self.denied, self.denied_for = trouble, frozenset(topics)

    def wrote(self, topics: Iterable[str]) -> None:
        """A transaction that wrote to these was committed: nothing is denied for them any more."""
        self.denied_for = self.denied_for.difference(topics)
        if not self.denied_for:
            self.denied = None

    def redis(self, trouble: str | None) -> None:
        """Redis answers (None), or what it does instead."""
        self.redis_ready, self.redis_trouble = trouble is None, trouble
