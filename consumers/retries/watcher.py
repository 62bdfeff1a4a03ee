"""Observer of a retrier's counts; the metrics are the service's."""

from typing import Protocol


class RetryCounter(Protocol):
    """Counter of a retrier's actions."""

    def put_back(self, lane: str) -> None:
        """Count a request that is on its lane again."""

    def dead_letter(self, reason: str) -> None:
        """Count a dead letter."""

    def transaction(self, result: str, seconds: float) -> None:
        """Count a transaction with its result (`committed`, `unknown`) and its duration in `seconds`."""

    def contained(self, step: str) -> None:
        """Count an exception in our own code at that step: one failure became a dead letter, and nothing else ended."""
