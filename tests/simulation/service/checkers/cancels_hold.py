"""A cancel that was taken holds, also if its request comes later; and nobody is cancelled whom nobody wished to be."""

from collections.abc import Iterator

from schemas.ids import id_hash
from tests.simulation.service.history import History


def check(history: History) -> Iterator[str]:
    """A cancel that nobody wished, and a call in spite of one that was waiting for its request."""
    wished = {each.id: each.at_s for each in reversed(history.sent) if each.is_cancel}
    answered: dict[bytes, float] = {}
    for at_s, outcome in history.outcomes():
        answered.setdefault(id_hash(outcome["id"]), at_s)
        if outcome.get("reason") == "cancelled" and wished.get(outcome["id"], at_s + 1) > at_s:
            yield f"{outcome['id']} was cancelled at {at_s:.3f} s, and nobody had wished it"
    waiting: dict[bytes, float] = {}
    for commit in history.commits:
        for line in commit.lines:
            for cancel in line.cancels:
                if answered.get(cancel.id_hash, commit.at_s + 1) > commit.at_s:
                    waiting.setdefault(cancel.id_hash, commit.at_s)
    for call in history.calls:
        since_s = waiting.get(id_hash(call.id), call.sent_s)
        if since_s < call.sent_s:
            yield f"{call.process} calls {call.id} at {call.sent_s:.3f} s; its cancel waits since {since_s:.3f} s"
