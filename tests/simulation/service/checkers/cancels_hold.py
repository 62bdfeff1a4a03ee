"""A cancel that was taken holds, also if its request comes later; and no request is cancelled without one.

It is taken in the transaction that stores it as done. From then on its request has been answered, or will be answered
`cancelled`: whatever ends its leader. Replays are looked at only for calls in spite of it: it may speak of another run.
Nor can it end what tells of a conflict of ids: that was sent under another id, and is not called.
"""

from collections.abc import Iterator

from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.ports import TopicPartition
from headrace.schemas import topics
from headrace.schemas.ids import id_hash
from tests.progress_seen import done_of
from tests.simulation.service.history import History
from tests.simulation.service.scenario import PREFIX

CONTROL = TopicPartition(topics.control_topic(PREFIX), 0)


def check(history: History) -> Iterator[str]:
    """A cancel that was not sent, a call in spite of one that was waiting for its request, one that was lost."""
    wished = {each.id: each.at_s for each in reversed(history.sent) if each.is_cancel}
    answered: dict[bytes, float] = {}
    for at_s, outcome in history.outcomes():
        answered.setdefault(id_hash(outcome["id"]), at_s)
        if outcome.get("reason") == "cancelled" and wished.get(outcome["id"], at_s + 1) > at_s:
            yield f"{outcome['id']} was cancelled at {at_s:.3f} s, and no cancel of it had been sent"
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
    yield from _lost(history)


def _lost(history: History) -> Iterator[str]:
    """Requests that were answered otherwise after their cancel had been taken."""
    taken = _taken(history)
    for at_s, outcome in history.outcomes():
        since_s = taken.get(outcome["id"], at_s)
        if outcome.get("submitted_id") is not None:
            continue
        if outcome["run"] == 0 and since_s < at_s and outcome.get("reason") != "cancelled":
            told = outcome.get("reason") or outcome["status"]
            yield f"{outcome['id']} is {told} at {at_s:.3f} s; its cancel was taken at {since_s:.3f} s"


def _taken(history: History) -> dict[str, float]:
    """When the first cancel of each id was stored as done."""
    left = {each.offset: each.id for each in history.sent if each.is_cancel and each.id is not None}
    found: dict[str, float] = {}
    for commit in history.commits:
        place = commit.offsets.get(CONTROL)
        if place is not None and left:
            progress = PartitionProgress.restore(place.offset, place.metadata)
            for offset in done_of(progress, left):
                found.setdefault(left.pop(offset), commit.at_s)
    return found
