"""Where one id was sent for two requests, one is answered, and each record of the other is told of the conflict.

It has a dead letter that says so, and in the same transaction one outcome under an identity of its own, made of the id
and of its place, which names its own tenant and content and nothing of the other request. Where a producer has chosen
that very id for a request, it is another one.

Whatever is replayed or cancelled, all outcomes of an id are those of one request. Which record must be told is looked
at where nothing else decides: ids that were completed, and not sent as garbage. A leader that dies before it has
answered leaves it to its successor which request comes first, so a record of the answered one may have been told of a
conflict by another leader (seed 85).
"""

from collections.abc import Iterator
from typing import Any

from headrace.schemas import headers as names
from headrace.schemas.dead_letter import Origin
from headrace.schemas.ids import request_digest
from headrace.schemas.record import Record
from headrace.schemas.replay_codec import new_id_of
from headrace.schemas.request_codec import DecodedRequest, Undecodable, decode_request
from tests.simulation.service.checkers.answers_belong_to_their_requests import number_of
from tests.simulation.service.history import DEAD_LETTERS, Commit, History
from tests.simulation.service.producers import Sent

CONFLICT = b"id_conflict"
Asked = tuple[str | None, str | None]
"""Tenant and body."""


def check(history: History) -> Iterator[str]:
    """A conflict without its dead letter or outcome, or told to another record or of another request."""
    for commit in history.commits:
        yield from _differences(commit)
    yield from _two_requests(history)
    if history.trimmed:
        return  # what was removed before it was taken has one letter for all of it
    told = told_of_conflict(history)
    answered = _answered(history)
    leaders = len(history.claims())
    for name, records in _by_id(history).items():
        if name not in answered or any(each.body is None and not each.is_cancel for each in records):
            continue
        for each in records:
            if each.run or each.is_cancel:
                continue
            place, same = f"{each.topic}/{each.partition}/{each.offset}", asked_in(history, each) == answered[name]
            if not same and place not in told:
                yield f"{place} is another request than the one answered as {name}, and no dead letter says so"
            if same and place in told and leaders == 1:
                yield f"{place} is the request that was answered as {name}, and is told of a conflict"


def _differences(commit: Commit) -> Iterator[str]:
    """Conflicts of one transaction whose letters and outcomes do not fit each other."""
    outcomes = {each["id"]: each for each in commit.outcomes if each.get("submitted_id") is not None}
    for letter in _letters(commit):
        topic, partition, offset = dict(letter.headers)[names.ORIGIN].decode().split("/")
        place = Origin(topic, int(partition), int(offset))
        decoded = decode_request(letter.value, letter.headers)
        name = decoded.request_id if isinstance(decoded, Undecodable) else decoded.request.id
        own = [new_id_of(str(name), each) for each in (place, place._replace(topic=f"{topic}#2"))]
        outcome = outcomes.pop(own[0], None) or outcomes.pop(own[1], None)
        if outcome is None:
            yield f"{place} has the id {name} of another request, and no outcome of its own says so"
        elif (outcome["run"], outcome["status"], outcome["submitted_id"]) != (0, "failed", name):
            yield f"{place} has the id {name} of another request, and its outcome says something else"
        elif isinstance(decoded, DecodedRequest) and not _is_of(outcome, decoded):
            yield f"{place} has the id {name} of another request, and its outcome tells of another one"
    for own in sorted(outcomes):
        yield f"{own} tells of a conflict, and there is no dead letter of it"


def _two_requests(history: History) -> Iterator[str]:
    """Ids whose outcomes are of more than one request, as far as these say what was asked for."""
    first: dict[str, tuple[str | None, str]] = {}
    for at_s, outcome in history.outcomes():
        if outcome.get("submitted_id") is None and outcome.get("request_digest") is not None:
            asked = outcome["tenant"], outcome["request_digest"]
            if first.setdefault(outcome["id"], asked) != asked:
                yield f"{outcome['id']}/{outcome['run']} at {at_s:.3f} s is the outcome of another request of this id"


def told_of_conflict(history: History) -> set[str]:
    """Where the records stand whose dead letters tell of a conflict."""
    return {dict(record.headers)[names.ORIGIN].decode() for commit in history.commits for record in _letters(commit)}


def _is_of(outcome: dict[str, Any], decoded: DecodedRequest) -> bool:
    request = decoded.request
    expected = request.tenant, request_digest(request.endpoint, request.body)
    return (outcome["tenant"], outcome["request_digest"]) == expected and outcome["reason"] == CONFLICT.decode()


def _letters(commit: Commit) -> list[Record]:
    letters = commit.records.get(DEAD_LETTERS, ())
    return [record for record in letters if dict(record.headers)[names.REASON] == CONFLICT]


def _answered(history: History) -> dict[str, Asked]:
    """What was asked for under each id that was completed: whose, and what went to OpenAI."""
    found: dict[str, Asked] = {}
    for _, outcome in history.outcomes():
        if outcome["run"] == 0 and outcome["status"] == "completed" and (number := number_of(outcome)) is not None:
            found[outcome["id"]] = outcome["tenant"], history.calls[number - 1].body
    return found


def asked_in(history: History, sent: Sent) -> Asked:
    """Whose a record is, and its body."""
    record = history.kafka.logs(sent.topic)[sent.partition].slots[sent.offset].record
    decoded = None if record is None else decode_request(record.value, record.headers)
    return (decoded.request.tenant if isinstance(decoded, DecodedRequest) else None), sent.body


def _by_id(history: History) -> dict[str, list[Sent]]:
    """Every record of each id, its cancels too."""
    found: dict[str, list[Sent]] = {}
    for each in history.sent:
        if each.id is not None:
            found.setdefault(each.id, []).append(each)
    return found
