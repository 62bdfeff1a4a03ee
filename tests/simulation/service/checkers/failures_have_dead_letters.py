"""Each Failed has a dead letter in its own transaction: same reason, same run, and the record of that very id.

A cancelled request has none, since nothing of it is to be replayed. What tells of a conflict of ids is no run of its
id, whatever run its record names: where that stands, `conflicts_are_told` looks at.
"""

from collections import Counter
from collections.abc import Iterator

from headrace.schemas import headers as names
from headrace.schemas.outcome import FailureReason
from headrace.schemas.record import Record
from tests.simulation.service.history import DEAD_LETTERS, Commit, History
from tests.simulation.service.troubles import named_in


def check(history: History) -> Iterator[str]:
    """A Failed without its dead letter."""
    for commit in history.commits:
        letters = _letters(history, commit)
        for outcome in commit.outcomes:
            if outcome["status"] == "completed" or outcome["reason"] == "cancelled":
                continue
            wanted = outcome.get("submitted_id") or outcome["id"], outcome["run"], outcome["reason"]
            if not letters[wanted]:
                yield f"{wanted} failed at {commit.at_s:.3f} s without a dead letter"
            letters[wanted] -= 1


def _letters(history: History, commit: Commit) -> Counter[tuple[str | None, int, str]]:
    """Id, run and reason of each dead letter; the id is that of the record at its origin."""
    found: Counter[tuple[str | None, int, str]] = Counter()
    for record in commit.records.get(DEAD_LETTERS, ()):
        told = dict(record.headers)
        topic, number, offset = told[names.ORIGIN].decode().split("/")
        source = history.kafka.logs(topic)[int(number)].slots[int(offset)].record
        reason = told[names.REASON].decode()
        run = 0 if reason == FailureReason.ID_CONFLICT else int(told.get(names.RUN, b"0"))
        found[_id_of(source), run, reason] += 1
    return found


def _id_of(record: Record | None) -> str | None:
    if record is None:
        return None
    return named_in(record)
