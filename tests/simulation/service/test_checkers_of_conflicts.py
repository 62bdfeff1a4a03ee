"""The checkers of conflicts can fail: each spoilt history is found out, and the true one is not."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from headrace.schemas import topics
from headrace.schemas.record import Record
from tests.simulation.service.checkers import (
    calls_are_needed,
    cancels_hold,
    conflicts_are_told,
    dead_letters_once,
    failures_have_dead_letters,
    it_ends,
    nobody_is_handed_anothers,
    one_outcome,
)
from tests.simulation.service.checkers.conflicts_are_told import told_of_conflict
from tests.simulation.service.history import DEAD_LETTERS, RESULTS, Commit, History
from tests.simulation.service.run import copied, run
from tests.simulation.service.scenario import PREFIX, Faults, Scenario

Outcome = dict[str, Any]
CHECKS = (conflicts_are_told.check, nobody_is_handed_anothers.check, one_outcome.check)
ALL = (*CHECKS, cancels_hold.check, failures_have_dead_letters.check, calls_are_needed.check, dead_letters_once.check)
CONFLICTING = replace(
    Faults.of_a_forgetful_redis(), conflict=0.6, garbage=0.0, redis_emptied=0.0, replay=0.0, cancel=0.0
)


@pytest.fixture(scope="module")
def kept() -> History:
    """Two requests of one id, often, and no other trouble."""
    made = run(replace(Scenario.drawn(1), faults=CONFLICTING, requests=30, span_s=4.0))
    assert list(it_ends.check(made)) == []
    return made


@pytest.fixture
def history(kept: History) -> History:
    """A copy to be spoilt."""
    made = copied(kept)
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


def test_an_id_that_is_answered_for_two_requests_is_found_out(history: History) -> None:
    first = next(each for _, each in history.outcomes() if each["status"] == "completed")
    again = replace(history.commits[-1], records={}, outcomes=[first | {"run": 1, "request_digest": "0" * 32}])
    history.commits.append(again)
    assert "is the outcome of another request of this id" in " ".join(conflicts_are_told.check(history))


def test_a_reader_that_takes_a_later_run_of_another_for_its_own_is_found_out(history: History) -> None:
    """The first outcome is its own; that it reads on is no matter of the client that waits."""
    for sent in history.sent:
        sent.run = 1

    def unproven(outcome: Outcome) -> Outcome:
        return outcome | {"tenant": None, "request_digest": None, "endpoint": None}

    rewritten(history, unproven)
    assert "a reader that expects the outcome of" in " ".join(nobody_is_handed_anothers.check(history))


def test_who_cancels_as_one_tenant_and_is_handed_the_answer_of_another_is_found_out(history: History) -> None:
    tenants = {(each["submitted_id"], each["tenant"]) for _, each in history.outcomes() if is_conflict(each)}
    answered = next(
        each
        for _, each in history.outcomes()
        if each["status"] == "completed"
        and any(name == each["id"] and tenant not in {None, each["tenant"]} for name, tenant in tenants)
    )
    sent = next(each for each in history.sent if each.id == answered["id"])
    history.sent.append(replace(sent, at_s=sent.at_s + 100, topic=topics.control_topic(PREFIX), body=None))
    assert list(nobody_is_handed_anothers.check(history)) == []

    def of_nobody(outcome: Outcome) -> Outcome:
        return outcome | {"tenant": None, "request_digest": None} if outcome["id"] == answered["id"] else outcome

    rewritten(history, of_nobody)
    assert "the sender that cancels" in " ".join(nobody_is_handed_anothers.check(history))


@pytest.mark.parametrize("troubled", [{"cancel": 0.2}, {"call_fails": 0.6, "replay": 1.0}])
def test_conflicts_are_cancelled_and_replayed_too(troubled: dict[str, float]) -> None:
    """What producers do, and that no checker takes it for a broken promise."""
    faults = replace(CONFLICTING, **troubled)
    made = run(replace(Scenario.drawn(1), faults=faults, requests=60, span_s=4.0))
    assert list(it_ends.check(made)) == []
    assert [list(check(made)) for check in ALL] == [[]] * len(ALL)
    told = {each["submitted_id"]: each["id"] for _, each in made.outcomes() if is_conflict(each)}
    if "cancel" in troubled:
        cancelled = {each.id for each in made.sent if each.is_cancel}
        assert cancelled & told.keys()
        assert cancelled & set(told.values())
        return
    replayed = [each for each in made.sent if each.run]
    assert {str(each.id) for each in replayed} & told.keys()
    places = told_of_conflict(made)
    assert any(f"{each.topic}/{each.partition}/{each.offset}" in places for each in replayed)
    assert any("~" in str(each.id) and each.body for each in made.sent)
