"""Where one id was sent with two bodies, one is answered, and each record of the other has a dead letter that says so.

Looked at where nothing else decides: ids that were neither cancelled nor sent as garbage, and that were completed. A
leader that dies before it has answered leaves it to its successor which body comes first, so a record of the answered
body may have been told of a conflict by another leader (seed 85).
"""

from collections.abc import Iterator

from schemas import headers as names
from tests.simulation.service.checkers.answers_belong_to_their_requests import number_of
from tests.simulation.service.history import DEAD_LETTERS, History
from tests.simulation.service.producers import Sent

CONFLICT = b"id_conflict"


def check(history: History) -> Iterator[str]:
    """A conflicting record without its dead letter, or the dead letter for the wrong record."""
    if history.trimmed:
        return  # what was removed before it was taken has one letter for all of it
    leaders = len(history.claims())
    told = {
        dict(record.headers)[names.ORIGIN].decode()
        for commit in history.commits
        for record in commit.records.get(DEAD_LETTERS, ())
        if dict(record.headers)[names.REASON] == CONFLICT
    }
    answered = {
        outcome["id"]: history.calls[number - 1].body
        for _, outcome in history.outcomes()
        if outcome["run"] == 0 and outcome["status"] == "completed" and (number := number_of(outcome)) is not None
    }
    for name, records in _by_id(history).items():
        if name not in answered or any(each.body is None for each in records):
            continue
        for each in records:
            if each.run == 0 and each.body != answered[name] and _position(each) not in told:
                yield f"{_position(each)} has another body than {name}, and no dead letter says so"
            if each.run == 0 and each.body == answered[name] and _position(each) in told and leaders == 1:
                yield f"{_position(each)} has the body that {name} was answered for, and is told of a conflict"


def _by_id(history: History) -> dict[str, list[Sent]]:
    """Every record of each id, its cancels too."""
    found: dict[str, list[Sent]] = {}
    for each in history.sent:
        if each.id is not None:
            found.setdefault(each.id, []).append(each)
    return found


def _position(sent: Sent) -> str:
    return f"{sent.topic}/{sent.partition}/{sent.offset}"
