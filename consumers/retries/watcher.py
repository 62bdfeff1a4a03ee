"""What a retrier is counted by; the metrics are the service's."""

from typing import Protocol


class Watcher(Protocol):
    """Counts what a retrier does."""

    def put_back(self, lane: str) -> None:
        """A request is on its lane again."""

    def dead_letter(self, reason: str) -> None:
        """A dead letter was written."""

    def transaction(self, result: str, seconds: float) -> None:
        """A transaction ended so (`committed`, `unknown`) after `seconds`."""

    def contained(self, step: str) -> None:
        """An exception in our own code at that step made a dead letter of one failure, and ended nothing else."""
