"""A record that Kafka refuses each time costs its own request: Failed `unpublishable`, and no other fails so."""

from collections.abc import Iterator

from headrace.schemas.outcome import FailureReason
from tests.simulation.service.history import History


def check(history: History) -> Iterator[str]:
    """A request that is unpublishable though Kafka takes its outcome, or one that was published in spite of Kafka."""
    for at_s, outcome in history.outcomes():
        is_refused = outcome["id"] in history.refused
        if outcome.get("reason") == FailureReason.UNPUBLISHABLE and not is_refused:
            yield f"{outcome['id']} is unpublishable at {at_s:.3f} s, and Kafka refuses nothing of it"
        if outcome["status"] == "completed" and is_refused:
            yield f"{outcome['id']} is completed at {at_s:.3f} s, and Kafka refuses its answer"
