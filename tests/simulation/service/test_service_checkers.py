"""Every checker can fail: a history that is spoilt in one way is found out by the checker of that promise."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from headrace.schemas.ids import id_hash
from headrace.schemas.ledger import LedgerKind, LedgerRecord, WaitingCancel
from tests.simulation.service.checkers import (
    answers_belong_to_their_requests,
    calls_are_needed,
    cancels_hold,
    conflicts_are_told,
    costs_are_of_the_last_call,
    dead_letters_once,
    deadlines_are_true,
    failures_have_dead_letters,
    it_ends,
    keys_keep_their_order,
    leaders_are_left_alone,
    ledger_agrees,
    memory_empties,
    nobody_starts_without_the_lease,
    nothing_comes_back_early,
    one_leader_calls,
    one_outcome,
    parked_come_back_once,
    readers_see_what_was_committed,
    refusals_are_few,
    repeats_are_counted,
    terms_rise,
    whoever_left_calls_no_more,
)
from tests.simulation.service.history import DEAD_LETTERS, RETRIER, Commit, History
from tests.simulation.service.openai import Arrival
from tests.simulation.service.run import copied, run
from tests.simulation.service.scenario import Faults, Scenario
from tests.simulation.service.wires import Start

Check = Callable[[History], Iterator[str]]
LATER_S = 1_000.0


def defect(history: History) -> None:
    history.defects.append("it broke")


def stuck(history: History) -> None:
    history.quiet_s = None


def lost_outcome(history: History) -> None:
    history.commits = [replace(commit, outcomes=()) for commit in history.commits]


def second_outcome(history: History) -> None:
    history.commits.append(next(commit for commit in history.commits if commit.outcomes))


def unread_outcome(history: History) -> None:
    second_outcome(history)


def stranger(history: History) -> None:
    name = next(commit.outcomes[0]["id"] for commit in history.commits if commit.outcomes)
    history.sent = [each for each in history.sent if each.id != name]


def silent_ledger(history: History) -> None:
    history.commits = [
        replace(commit, lines=[replace(line, settled=()) for line in commit.lines]) for commit in history.commits
    ]


def parked_in_silence(history: History) -> None:
    with_lines = next(at for at, commit in enumerate(history.commits) if commit.lines)
    history.commits[with_lines] = replace(history.commits[with_lines], parked=({"id": "nobody"},))


def call(history: History, process: str, request_id: str, at_s: float = LATER_S) -> None:
    history.calls.append(Arrival(at_s, at_s, process, request_id, "{}", 200))


def call_in_vain(history: History) -> None:
    call(history, history.claims()[-1][2], history.calls[0].id)


def call_without_a_claim(history: History) -> None:
    call(history, "somebody", history.calls[0].id)


def claim(history: History, term: int, owner: str) -> None:
    line = LedgerRecord(LedgerKind.CLAIM, term, owner)
    last_s = history.commits[-1].at_s
    history.commits.append(Commit(last_s, "s.dispatcher", {}, (), (), (line,)))


def call_after_it_left(history: History) -> None:
    _, term, owner = history.claims()[-1]
    line = LedgerRecord(LedgerKind.LEFT, term, owner)
    history.commits.append(Commit(LATER_S - 1, "s.dispatcher", {}, (), (), (line,)))
    call(history, owner, history.calls[0].id)


def call_after_it_was_replaced(history: History) -> None:
    call(history, history.claims()[-1][2], history.calls[0].id)
    claim(history, 1_000, "another")


def call_long_after_redis_gave_it_back(history: History) -> None:
    call(history, history.claims()[-1][2], history.calls[0].id)
    claim(history, 1_000, "another")
    history.calls[-1].held_s = LATER_S - 0.1


def old_term(history: History) -> None:
    claim(history, 0, "another")


def step_of_another(history: History) -> None:
    last = history.commits[-1]
    line = LedgerRecord(LedgerKind.STEP, history.claims()[-1][1], "another")
    history.commits.append(replace(last, lines=(line,)))


def second_leader(history: History) -> None:
    claim(history, 1_000, "another")


def cancelled_unasked(history: History) -> None:
    history.sent = [each for each in history.sent if not each.is_cancel]
    at = next(at for at, commit in enumerate(history.commits) if commit.outcomes)
    outcome = history.commits[at].outcomes[0] | {"reason": "cancelled"}
    history.commits[at] = replace(history.commits[at], outcomes=(outcome,))


def call_in_spite_of_a_cancel(history: History) -> None:
    name = history.calls[-1].id
    line = LedgerRecord(LedgerKind.STEP, 1, "a", cancels=(WaitingCancel(id_hash(name), 0),))
    history.commits.insert(0, Commit(0.0, "s.dispatcher", {}, (), (), (line,)))


def second_dead_letter(history: History) -> None:
    history.commits.append(next(commit for commit in history.commits if commit.records.get(DEAD_LETTERS)))


def forgotten_garbage(history: History) -> None:
    history.commits = [replace(commit, records={}) for commit in history.commits]


def leftover(history: History) -> None:
    history.remains = {"tickets": 1}


def heard_after_its_deadline(history: History) -> None:
    history.calls[0].heard_s = history.calls[0].at_s + 10_000


def refused(history: History) -> None:
    for each in history.calls:
        each.status = 429


def start_without_the_lease(history: History) -> None:
    history.starts.append(Start(LATER_S, "s.retrier", "retrier-9", since_mine_s=3.0))


def answered(history: History) -> tuple[int, Commit]:
    """A commit that completes a request, and its place."""
    found = ((place, each) for place, each in enumerate(history.commits) if each.outcomes)
    return next(each for each in found if each[1].outcomes[0]["status"] == "completed")


def told(history: History, text: str) -> None:
    """The first answer says this."""
    place, commit = answered(history)
    response = {"choices": [{"message": {"content": text}}]}
    outcomes = ({**commit.outcomes[0], "response": response}, *commit.outcomes[1:])
    history.commits[place] = replace(commit, outcomes=outcomes)


def answer_of_another(history: History) -> None:
    name = answered(history)[1].outcomes[0]["id"]
    told(history, f"Answer {1 + next(at for at, each in enumerate(history.calls) if each.id != name)}.")


def answer_of_nobody(history: History) -> None:
    told(history, "Answer 1000000.")


def answer_to_another_body(history: History) -> None:
    for each in history.sent:
        each.body = each.body and each.body + " "


def answer_twice(history: History) -> None:
    _, commit = answered(history)
    history.commits.append(replace(commit, outcomes=({**commit.outcomes[0], "run": 1},)))
    again = [replace(each, run=1) for each in history.sent if each.id == commit.outcomes[0]["id"]]
    history.sent = [*history.sent, *again]


def answer_that_failed(history: History) -> None:
    for each in history.calls:
        each.status = 500


def unpriced(history: History) -> None:
    told_otherwise(history, cost=None)


def priced_by_another_list(history: History) -> None:
    told_otherwise(history, cost={"micro_usd": 0.5})


def told_otherwise(history: History, **fields: Any) -> None:
    history.commits = [
        replace(commit, outcomes=tuple({**outcome, **fields} for outcome in commit.outcomes))
        for commit in history.commits
    ]


def billed_without_an_answer(history: History) -> None:
    answer_that_failed(history)


def failure_without_a_letter(history: History) -> None:
    history.commits = [
        replace(commit, records={topic: each for topic, each in commit.records.items() if topic != DEAD_LETTERS})
        for commit in history.commits
    ]


def uncounted(history: History) -> None:
    history.lived = [replace(each, repeated=0) for each in history.lived]


def overcounted(history: History) -> None:
    history.lived = [replace(each, repeated=each.repeated + 100) for each in history.lived]


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    """No crash, much garbage, and all that the checkers speak of."""
    quiet = Faults.of_a_forgetful_redis()
    return replace(Scenario.drawn(1), faults=replace(quiet, garbage=0.5, conflict=0.0), span_s=4.0, requests=30)


@pytest.fixture(scope="module")
def kept(scenario: Scenario) -> History:
    """A run of it, in which every promise is kept."""
    return run(scenario)


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (defect, it_ends.check),
        (stuck, it_ends.check),
        (lost_outcome, one_outcome.check),
        (second_outcome, one_outcome.check),
        (stranger, one_outcome.check),
        (unread_outcome, readers_see_what_was_committed.check),
        (silent_ledger, ledger_agrees.check),
        (parked_in_silence, ledger_agrees.check),
        (call_in_vain, calls_are_needed.check),
        (call_without_a_claim, one_leader_calls.check),
        (call_after_it_was_replaced, one_leader_calls.check),
        (call_long_after_redis_gave_it_back, one_leader_calls.check),
        (call_after_it_left, whoever_left_calls_no_more.check),
        (old_term, terms_rise.check),
        (step_of_another, terms_rise.check),
        (cancelled_unasked, cancels_hold.check),
        (call_in_spite_of_a_cancel, cancels_hold.check),
        (second_dead_letter, dead_letters_once.check),
        (forgotten_garbage, dead_letters_once.check),
        (leftover, memory_empties.check),
        (heard_after_its_deadline, deadlines_are_true.check),
        (refused, refusals_are_few.check),
        (start_without_the_lease, nobody_starts_without_the_lease.check),
        (answer_of_another, answers_belong_to_their_requests.check),
        (answer_of_nobody, answers_belong_to_their_requests.check),
        (answer_to_another_body, answers_belong_to_their_requests.check),
        (answer_twice, answers_belong_to_their_requests.check),
        (answer_that_failed, answers_belong_to_their_requests.check),
        (failure_without_a_letter, failures_have_dead_letters.check),
        (overcounted, repeats_are_counted.check),
        (unpriced, costs_are_of_the_last_call.check),
        (priced_by_another_list, costs_are_of_the_last_call.check),
        (billed_without_an_answer, costs_are_of_the_last_call.check),
    ],
)
def test_a_broken_promise_is_found_out(kept: History, spoil: Callable[[History], None], check: Check) -> None:
    history = copied(kept)
    assert list(check(history)) == []
    spoil(history)
    assert list(check(history)) != []


def test_whom_redis_gives_the_lease_back_may_call_until_its_commit_has_taken_too_long(scenario: Scenario) -> None:
    history = run(scenario)
    assert not history.scenario.faults.redis_restored
    owner = history.claims()[-1][2]
    claim(history, 1_000, "another")
    claimed_s = history.commits[-1].at_s
    call(history, owner, history.calls[0].id, claimed_s + 6)
    assert list(one_leader_calls.check(history)) != []
    history.calls[-1].held_s = claimed_s + 1
    assert list(one_leader_calls.check(history)) != []
    history.scenario = replace(scenario, faults=replace(scenario.faults, redis_restored=0.1))
    assert list(one_leader_calls.check(history)) == []
    history.calls[-1].held_s = claimed_s - 1
    assert list(one_leader_calls.check(history)) != []


@pytest.mark.parametrize("faults", [Faults.of_a_forgetful_redis(), Faults.of_an_absent_redis()])
def test_a_second_leader_is_found_out_where_nothing_but_redis_forgets_or_is_away(
    scenario: Scenario, faults: Faults
) -> None:
    history = run(replace(scenario, faults=faults))
    assert list(leaders_are_left_alone.check(history)) == []
    second_leader(history)
    assert list(leaders_are_left_alone.check(history)) != []


def test_what_comes_back_too_soon_is_found_out(scenario: Scenario) -> None:
    refused = replace(scenario.faults, call_refused_for_long=0.5)
    history = run(replace(scenario, faults=refused))
    assert list(nothing_comes_back_early.check(history)) == []
    history.commits = [
        replace(commit, at_s=commit.at_s - 10) if commit.group == RETRIER else commit for commit in history.commits
    ]
    assert list(nothing_comes_back_early.check(history)) != []


def test_who_fails_for_a_deadline_long_before_it_is_found_out_unless_told_to_wait_longer(scenario: Scenario) -> None:
    history = run(scenario)
    assert list(deadlines_are_true.check(history)) == []
    done = [(place, commit) for place, commit in enumerate(history.commits) if commit.outcomes]
    place, told = next(each for each in done if each[1].outcomes[0]["status"] == "completed")
    [sent, *_] = [each for each in history.sent if each.id == told.outcomes[0]["id"]]
    deadline_s = scenario.settings.lanes[sent.topic.rpartition(".")[2]].deadline_s

    def complaints(message: str | None) -> list[str]:
        error = None if message is None else {"status": 429, "message": message}
        failed = {**told.outcomes[0], "reason": "deadline_exceeded", "error": error}
        history.commits[place] = replace(told, at_s=sent.at_s, outcomes=(failed,))
        return list(deadlines_are_true.check(history))

    for message in (None, "It is overloaded.", f"Please try again in {deadline_s - 6}s.", "Please try again in 900ms."):
        assert len(complaints(message)) == 1
    for wait in (f"{deadline_s}s", f"{deadline_s * 1_000}ms", "6m0s"):
        assert complaints(f"Limit 6000, Used 5623, Requested 1254. Please try again in {wait}. Visit us.") == []


def test_a_parked_request_that_never_or_twice_comes_back_is_found_out(scenario: Scenario) -> None:
    history = run(replace(scenario, faults=replace(scenario.faults, call_refused_for_long=0.5)))
    assert list(parked_come_back_once.check(history)) == []
    back = [commit for commit in history.commits if commit.group == RETRIER and commit.records]
    history.commits.append(back[-1])
    assert "was put back 2 times" in " ".join(parked_come_back_once.check(history))
    history.commits = [commit for commit in history.commits if commit not in back]
    assert "was parked and never put back" in " ".join(parked_come_back_once.check(history))


def test_a_conflict_that_is_not_told_is_found_out(scenario: Scenario) -> None:
    history = run(replace(scenario, faults=replace(scenario.faults, conflict=0.5, garbage=0.0)))
    assert list(conflicts_are_told.check(history)) == []
    failure_without_a_letter(history)
    assert list(conflicts_are_told.check(history)) != []


def test_repetitions_that_are_not_counted_are_found_out(scenario: Scenario) -> None:
    crashes = replace(scenario.faults, redis_emptied=0.0, crash=0.8)
    history = run(replace(scenario, faults=crashes, span_s=24.0, latency_s=(1.0, 8.0)))
    assert list(repeats_are_counted.check(history)) == []
    uncounted(history)
    assert list(repeats_are_counted.check(history)) != []


def test_a_request_that_starts_before_the_one_in_front_of_its_key_is_found_out(scenario: Scenario) -> None:
    history = run(replace(scenario, faults=replace(scenario.faults, garbage=0.0), requests=120))
    assert list(keys_keep_their_order.check(history)) == []
    for each in history.calls:
        each.sent_s = -each.sent_s
    assert list(keys_keep_their_order.check(history)) != []
    history.excused = {each.id for each in history.sent if each.id is not None}
    assert list(keys_keep_their_order.check(history)) == [], "the record in front may be the one that was lost"


def test_a_parked_request_that_comes_back_on_another_lane_is_found_out(scenario: Scenario) -> None:
    history = run(replace(scenario, faults=replace(scenario.faults, call_refused_for_long=0.5)))
    place, commit = next(each for each in enumerate(history.commits) if each[1].group == RETRIER and each[1].records)
    topic, records = next(iter(commit.records.items()))
    lane = topic.rpartition(".")[2]
    other = topic.removesuffix(lane) + ("bulk" if lane == "urgent" else "urgent")
    history.commits[place] = replace(commit, records={other: records})
    assert f"of the lane {lane} was put back on {other}" in " ".join(parked_come_back_once.check(history))
