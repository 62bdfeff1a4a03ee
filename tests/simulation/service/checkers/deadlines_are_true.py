"""No request fails for a deadline that has not passed, however wrong the clock that a process began with, and no call
goes on after it.

Where Redis does not answer, a wrong clock cannot be told from a right one. A refusal that told to wait until after the
deadline ends a request as soon as it has come: its own, or one of its model, for which all of that model wait. So does
one of several in a row that makes its model wait longer than it told (docs/design/budget.md, Refusals).

A leader that does not know what became of its transaction is suspended, and cuts off no call until it has claimed its
lead again: calls in flight are paid.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

from headrace.schemas.ledger import LedgerKind
from headrace.schemas.request import deadline_of
from headrace.schemas.request_codec import DecodedRequest, decode_request
from tests.simulation.service.history import History
from tests.simulation.service.openai import Arrival
from tests.simulation.service.producers import Sent
from tests.simulation.service.scenario import MODELS, WALL

ADMITTED, TOO_MANY = 200, 429
SLACK_S = 5.5
"""Clocks that differ by less than five seconds are left as they are."""
CUT_OFF_WITHIN_S = 0.5
BACKS_OFF_FIRST_S = 4.0
BACKS_OFF_GROWS_BY = 3
BACKS_OFF_MAX_S = 16.0
"""How long a model rests after a refusal, at most: after the first of a row, each further one, and any."""
TOLD_TO_WAIT = re.compile(r"Please try again in (?:(\d+)m)?([\d.]+)(ms|s)\.")


def check(history: History) -> Iterator[str]:
    """What failed too soon, and what was called for too long."""
    faults = history.scenario.faults
    if not (faults.redis_away or faults.cut_from_redis or faults.lease_lost):
        yield from _failed_too_soon(history)
    if not (faults.stall or faults.freeze or faults.wrong_clock):
        yield from _heard_too_late(history)


def _failed_too_soon(history: History) -> Iterator[str]:
    """Outcomes that give the deadline as their reason, and came before it."""
    sent: dict[tuple[str, int], list[Sent]] = {}
    for each in history.sent:
        if each.id is not None and not each.is_cancel:
            sent.setdefault((each.id, each.run), []).append(each)
    for at_s, outcome in history.outcomes():
        if outcome.get("reason") == "deadline_exceeded":
            until_s = min((_deadline_s(history, each) for each in sent[outcome["id"], outcome["run"]]), default=at_s)
            told_s = max(at_s + _told_to_wait_s(outcome), _shut_until_s(history, outcome["model"], at_s))
            if told_s < until_s - SLACK_S:
                yield f"{outcome['id']} failed at {at_s:.3f} s for its deadline, which was at {until_s:.3f} s"


def _heard_too_late(history: History) -> Iterator[str]:
    """Answers that were waited for when their request's deadline had passed: its call is cut off then."""
    until_s: dict[str, float] = {}
    for each in history.sent:
        if each.id is not None and not each.is_cancel:
            until_s[each.id] = max(until_s.get(each.id, 0.0), _deadline_s(history, each))
    for call in history.calls:
        late = call.heard_s is not None and call.heard_s > until_s[call.id] + CUT_OFF_WITHIN_S
        if late and not _is_claimed_next(history, until_s[call.id]):
            times = f"at {call.heard_s:.3f} s, and its deadline was at {until_s[call.id]:.3f} s"
            yield f"{call.id} had its answer {times}"


def _is_claimed_next(history: History, at_s: float) -> bool:
    """Whether a dispatcher's first commit after that instant is a claim: until then its leader was suspended."""
    for commit in history.commits:
        if commit.at_s > at_s and commit.lines:
            return any(line.kind is LedgerKind.CLAIM for line in commit.lines)
    return False


def _deadline_s(history: History, sent: Sent) -> float:
    """When a record's time is over, in the world's seconds; now for what is no request."""
    slot = history.kafka.logs(sent.topic)[sent.partition].slots[sent.offset]
    assert slot.record is not None
    decoded = decode_request(slot.record.value, slot.record.headers)
    if not isinstance(decoded, DecodedRequest):
        return 0.0
    asked = deadline_of(decoded.request, decoded.deadline_override)
    if asked is not None:
        return (asked - WALL).total_seconds()
    lane = sent.topic.rpartition(".")[2]
    return sent.at_s + history.scenario.settings.lanes[lane].deadline_s


def _told_to_wait_s(outcome: Mapping[str, Any]) -> float:
    """How long OpenAI's last refusal told to wait."""
    told = TOLD_TO_WAIT.search((outcome.get("error") or {}).get("message", ""))
    if told is None:
        return 0.0
    minutes, amount, unit = told.groups()
    return 60 * int(minutes or 0) + float(amount) / (1_000 if unit == "ms" else 1)


def _shut_until_s(history: History, model: str | None, at_s: float) -> float:
    """Until when refusals that came by then shut this model: as they said, or longer for their number in a row."""
    scenario = history.scenario
    told_s = (model == MODELS[-1] and scenario.last_model_refused_for_s) or scenario.refused_for_s
    calls = [call for call in history.calls if call.at_s <= at_s and json.loads(call.body)["model"] == model]
    told = (call.at_s + told_s for call in calls if call.status == TOO_MANY)
    return max((*told, *_backs_off_until_s(calls, at_s)), default=0.0)


def _backs_off_until_s(calls: Iterable[Arrival], at_s: float) -> Iterator[float]:
    """Until when each refusal that was heard by then makes its caller rest, at most; calls of one model."""
    rows: dict[str, tuple[int, float]] = {}
    heard = [(call.heard_s, call) for call in calls if call.heard_s is not None and call.heard_s <= at_s]
    for heard_s, call in sorted(heard, key=itemgetter(0)):
        row, since_s = rows.get(call.process, (0, -math.inf))
        is_new = call.sent_s > since_s  # else it was under way with the one refused last
        if call.status == TOO_MANY:
            row, since_s = (row + 1, heard_s) if is_new else (row, since_s)
            yield heard_s + min(BACKS_OFF_MAX_S, BACKS_OFF_FIRST_S * BACKS_OFF_GROWS_BY ** (row - 1))
        elif call.status == ADMITTED and is_new:
            row = 0
        rows[call.process] = row, since_s
