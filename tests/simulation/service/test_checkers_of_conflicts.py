"""The checkers of conflicts can fail: each spoilt history is found out, and the true one is not."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from schemas.record import Record
from tests.simulation.service.checkers import conflicts_are_told, nobody_is_handed_anothers, one_outcome
from tests.simulation.service.history import DEAD_LETTERS, RESULTS, Commit, History
from tests.simulation.service.run import run
from tests.simulation.service.scenario import Faults, Scenario

Outcome = dict[str, Any]
CHECKS = (conflicts_are_told.check, nobody_is_handed_anothers.check, one_outcome.check)


@pytest.fixture
def history() -> History:
    """Two requests of one id, often, and no other trouble."""
    faults = replace(
        Faults.of_a_forgetful_redis(), conflict=0.6, garbage=0.0, redis_emptied=0.0, replay=0.0, cancel=0.0
    )
    made = run(replace(Scenario.drawn(1), faults=faults, requests=30, span_s=4.0))
    assert [list(check(made)) for check in CHECKS] == [[], [], []]
    return made


def rewritten(history: History, change: Callable[[Outcome], Outcome | None]) -> None:
    """Every outcome as it would have been; None: it is missing."""
    history.commits = [_rewritten(commit, change) for commit in history.commits]


def _rewritten(commit: Commit, change: Callable[[Outcome], Outcome | None]) -> Commit:
    records = []
    for record in commit.records.get(RESULTS, ()):
        told = change(json.loads(record.value or b"{}"))
        if told is not None:
            records.append(Record(record.key, json.dumps(told).encode(), record.headers))
    outcomes = [json.loads(record.value or b"{}") for record in records]
    return replace(commit, records={**commit.records, RESULTS: records}, outcomes=outcomes)


def is_conflict(outcome: Outcome) -> bool:
    return "submitted_id" in outcome


def untold(outcome: Outcome) -> Outcome | None:
    return None if is_conflict(outcome) else outcome


def told_of_another(outcome: Outcome) -> Outcome | None:
    return outcome | {"request_digest": "0" * 32} if is_conflict(outcome) else outcome


def told_under_its_id(outcome: Outcome) -> Outcome | None:
    return outcome | {"id": outcome["submitted_id"]} if is_conflict(outcome) else outcome


def told_as_completed(outcome: Outcome) -> Outcome | None:
    return outcome | {"status": "completed", "response": {}} if is_conflict(outcome) else outcome


@pytest.mark.parametrize("spoil", [untold, told_of_another, told_under_its_id, told_as_completed])
def test_a_conflict_that_is_told_otherwise_is_found_out(
    history: History, spoil: Callable[[Outcome], Outcome | None]
) -> None:
    rewritten(history, spoil)
    assert list(conflicts_are_told.check(history)) != []


def test_one_without_a_dead_letter_is_found_out(history: History) -> None:
    history.commits = [
        replace(commit, records={topic: each for topic, each in commit.records.items() if topic != DEAD_LETTERS})
        for commit in history.commits
    ]
    found = " ".join(conflicts_are_told.check(history))
    assert "there is no dead letter of it" in found
    assert "and no dead letter says so" in found


def test_an_outcome_under_an_id_that_nobody_chose_and_no_conflict_has_is_a_strangers(history: History) -> None:
    rewritten(history, lambda outcome: outcome | {"submitted_id": None} if is_conflict(outcome) else outcome)
    assert "was never asked for" in " ".join(one_outcome.check(history))


def test_an_answer_that_another_sender_takes_for_its_own_is_found_out(history: History) -> None:
    def nobodys(outcome: Outcome) -> Outcome | None:
        return untold(outcome) and outcome | {"tenant": None, "request_digest": None, "endpoint": None}

    rewritten(history, nobodys)
    found = " ".join(nobody_is_handed_anothers.check(history))
    assert "is handed the answer to another body" in found or "is handed the answer to a request of" in found


def test_a_sender_that_hears_nothing_is_found_out(history: History) -> None:
    rewritten(history, lambda _: None)
    assert "is neither answered nor told of a conflict" in " ".join(nobody_is_handed_anothers.check(history))


def test_a_sender_that_is_told_of_a_conflict_without_one_is_found_out(history: History) -> None:
    rewritten(history, lambda outcome: outcome | {"request_digest": "0" * 32})
    assert "is told of a conflict that there is none of" in " ".join(nobody_is_handed_anothers.check(history))
