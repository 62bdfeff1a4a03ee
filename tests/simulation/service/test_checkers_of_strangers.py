"""Checkers of the books, of hostile records and of refused answers: each can fail."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.requests.triage import CALLS_KILL
from tests.hostile.records import ANSWERED, DEAD_LETTER, FAILED, Specimen
from tests.simulation.service.checkers import (
    books_agree,
    hostile_records_end_as_they_say,
    refused_records_cost_one_request,
)
from tests.simulation.service.history import Commit, History
from tests.simulation.service.run import run, simulate
from tests.simulation.service.scenario import PREFIX, Faults, Scenario
from tests.simulation.service.strangers import body_of, drawn, is_strange

CALM = Faults.of_a_forgetful_redis()
HOSTILE = next(seed for seed in range(100) if {each.fate for each in drawn(seed)} == {ANSWERED, FAILED, DEAD_LETTER})


@pytest.fixture(scope="module")
def history() -> History:
    """Hostile records and refused answers, and no other trouble."""
    calm = replace(CALM, redis_emptied=0.0, hostile=1.0, refused=0.3)
    return run(replace(Scenario.drawn(HOSTILE), faults=calm, requests=20, span_s=4.0))


def ended(history: History, name: str, reason: str) -> None:
    outcome = {"id": name, "run": 0, "status": "failed", "reason": reason}
    history.commits.append(Commit(1_000.0, f"{PREFIX}.dispatcher", {}, (outcome,), (), ()))


def of_fate(fate: str) -> Specimen:
    return next(each for each in drawn(HOSTILE) if each.fate == fate)


def answered_is_rejected(history: History) -> None:
    ended(history, of_fate(ANSWERED).id or "", "invalid_request")


def failed_is_exhausted(history: History) -> None:
    ended(history, of_fate(FAILED).id or "", "exhausted")


def crashed(history: History) -> None:
    ended(history, of_fate(FAILED).id or "", "crashed")


@pytest.mark.parametrize("spoil", [answered_is_rejected, failed_is_exhausted, crashed])
def test_a_hostile_record_that_ends_otherwise_is_found_out(history: History, spoil: Callable[[History], None]) -> None:
    assert list(hostile_records_end_as_they_say.check(history)) == []
    spoilt = replace(history, commits=list(history.commits))
    spoil(spoilt)
    assert list(hostile_records_end_as_they_say.check(spoilt)) != []


def test_a_hostile_record_may_have_a_call_that_is_blamed_for_deaths(history: History) -> None:
    answered = next(each.id for each in drawn(HOSTILE) if each.fate == ANSWERED and each.id is not None)
    spoilt = replace(history, commits=list(history.commits))
    ended(spoilt, answered, "crashed")
    spoilt.commits[-1].outcomes[0]["message"] = CALLS_KILL.sentence
    assert list(hostile_records_end_as_they_say.check(spoilt)) == []


def test_hostile_records_are_told_by_their_ids_and_say_what_they_ask_for() -> None:
    told = drawn(HOSTILE)
    assert told == drawn(HOSTILE)
    assert all(is_strange(each.id) for each in told if each.id is not None)
    assert [body_of(each) is not None for each in told] == [each.fate == ANSWERED for each in told]


def test_an_answer_that_kafka_refuses_costs_its_own_request(history: History) -> None:
    assert history.refused
    reasons = {outcome["id"]: outcome.get("reason") for _, outcome in history.outcomes()}
    assert {reasons[name] for name in history.refused} == {"unpublishable"}
    assert list(refused_records_cost_one_request.check(history)) == []
    for other in (history.refused - {min(history.refused)}, history.refused | {"odd-0"}):
        spoilt = replace(history, refused=frozenset(other), commits=list(history.commits))
        spoilt.commits.append(
            Commit(1_000.0, f"{PREFIX}.dispatcher", {}, ({"id": "odd-0", "run": 0, "status": "completed"},), (), ())
        )
        assert list(refused_records_cost_one_request.check(spoilt)) != []


def test_books_that_do_not_agree_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Dispatch._call

    def call(self: Dispatch, *rest: object) -> None:
        whole(self, *rest)  # type: ignore[arg-type] # as they came
        self.flights.held_bytes += 1

    monkeypatch.setattr("tests.simulation.service.process.AUDITED", 1.0)
    assert simulate(3).broken == ()
    monkeypatch.setattr(Dispatch, "_call", call)
    report = simulate(3)
    assert any(books_agree.__name__.rpartition(".")[2] in each for each in report.broken), report.sentence()
