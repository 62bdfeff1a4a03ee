"""Checkers of trust, kept answers, parked requests, lost records, defects, deaths, mistakes and logs: each can fail."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from headrace.broker.core.requests.triage import CALLS_KILL
from headrace.schemas import topics
from headrace.schemas.ledger import LedgerKind, LedgerRecord
from headrace.schemas.spending import decode_total, encode_total
from tests.simulation.service.checkers import (
    answers_are_kept,
    calls_start_in_trust,
    cancels_hold,
    deadlines_are_true,
    deaths_are_few,
    defects_cost_one_request,
    keys_keep_their_order,
    lost_records_have_a_letter,
    nothing_private_is_logged,
    nothing_stops_a_call,
    operators_mistakes_fail_no_request,
    parked_are_left_alone,
    repeats_are_counted,
    sums_are_true,
    tiers_fail_no_request,
)
from tests.simulation.service.history import DEAD_LETTERS, TOTALS, Commit, Deadly, History, Removed
from tests.simulation.service.openai import Arrival
from tests.simulation.service.run import copied, run
from tests.simulation.service.scenario import PREFIX, Faults, Scenario
from tests.simulation.service.world import SummingWorld

Check = Callable[[History], Iterator[str]]
LATER_S = 1_000.0
CALM = Faults.of_a_forgetful_redis()


def seed_with(wanted: Callable[[Scenario], bool]) -> Scenario:
    return next(scenario for seed in range(2_000) if wanted(scenario := Scenario.drawn(seed)))


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    """No crash, some garbage."""
    calm = replace(CALM, garbage=0.2, cancel=0.3, redis_emptied=0.0)
    return replace(seed_with(lambda each: each.settings.lanes["standard"].serial), faults=calm, requests=40, span_s=4.0)


@pytest.fixture(scope="module")
def kept(scenario: Scenario) -> History:
    """A run of it, in which every promise is kept."""
    return run(scenario)


def after(history: History, call: Arrival, at_s: float = LATER_S, process: str = "") -> None:
    history.calls.append(replace(call, sent_s=at_s, at_s=at_s, process=process or call.process))


def mistrusted(history: History) -> None:
    history.calls[3].trusted_s = history.calls[3].sent_s


def overconfident(history: History) -> None:
    history.calls[3].believed_s = history.calls[3].trusted_s + 0.1


def asked_again(history: History) -> None:
    after(history, next(each for each in history.calls if each.status == 200))


def crashed_for_nothing(history: History) -> None:
    place, commit = next(each for each in enumerate(history.commits) if each[1].outcomes)
    outcome = commit.outcomes[0] | {"status": "failed", "reason": "crashed", "message": "A defect."}
    history.commits[place] = replace(commit, outcomes=(outcome,))


def crashed_again(history: History) -> None:
    history.flawed += [(LATER_S, "dispatcher-1", "id-0")] * 3


def blamed(history: History) -> None:
    place, commit = next(each for each in enumerate(history.commits) if each[1].outcomes)
    error = {"status": 401, "code": "invalid_api_key"}
    outcome = commit.outcomes[0] | {"status": "failed", "reason": "rejected", "error": error}
    history.commits[place] = replace(commit, outcomes=(outcome,))


def refused_by_its_tier(history: History) -> None:
    place, commit = next(each for each in enumerate(history.commits) if each[1].outcomes)
    error = {"status": 429, "code": "resource_unavailable"}
    outcome = commit.outcomes[0] | {"status": "failed", "reason": "exhausted", "error": error}
    history.commits[place] = replace(commit, outcomes=(outcome,))


def logged(history: History) -> None:
    history.logged.append("{'event': 'word word'}")


def many_deaths_by_one_record(history: History) -> None:
    history.killed += [(Deadly.DECODED, "id-0")] * 30


def many_deaths_by_one_call(history: History) -> None:
    history.killed += [(Deadly.CALLED, "id-0")] * 30


def removed_without_a_word(history: History) -> None:
    history.removed.append(Removed("s.requests.bulk", 0, 10**6, "id-that-was-lost"))


def serial_and_parked(history: History) -> None:
    parked = ({"id": "id-0", "run": 0, "lane": "standard", "attempt": 1},)
    history.commits.append(Commit(LATER_S, f"{PREFIX}.dispatcher", {}, (), parked, ()))


def answered_in_spite_of_its_cancel(history: History) -> None:
    cancel = next(each for each in history.sent if each.is_cancel)
    stored = next(each for each in reversed(history.commits) if cancels_hold.CONTROL in each.offsets)
    history.commits.append(replace(stored, at_s=LATER_S))
    outcome = {"id": cancel.id, "run": 0, "status": "completed"}
    history.commits.append(Commit(LATER_S + 1, f"{PREFIX}.dispatcher", {}, (outcome,), (), ()))


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (mistrusted, calls_start_in_trust.check),
        (overconfident, calls_start_in_trust.check),
        (asked_again, answers_are_kept.check),
        (crashed_for_nothing, defects_cost_one_request.check),
        (crashed_again, defects_cost_one_request.check),
        (blamed, operators_mistakes_fail_no_request.check),
        (refused_by_its_tier, tiers_fail_no_request.check),
        (logged, nothing_private_is_logged.check),
        (many_deaths_by_one_record, deaths_are_few.check),
        (many_deaths_by_one_call, deaths_are_few.check),
        (removed_without_a_word, lost_records_have_a_letter.check),
        (serial_and_parked, keys_keep_their_order.check),
        (answered_in_spite_of_its_cancel, cancels_hold.check),
    ],
)
def test_a_broken_promise_is_found_out(kept: History, spoil: Callable[[History], None], check: Check) -> None:
    history = copied(kept)
    assert list(check(history)) == []
    spoil(history)
    assert list(check(history)) != []


def claimed(history: History, at_s: float, term: int, owner: str) -> None:
    line = LedgerRecord(LedgerKind.CLAIM, term, owner)
    history.commits.append(Commit(at_s, f"{PREFIX}.dispatcher", {}, (), (), (line,)))


def under_way(history: History, sent_s: float, heard_s: float) -> str:
    """An answer that was under way for long; its caller."""
    call = next(each for each in history.calls if each.status == 200)
    history.calls.append(replace(call, id="slow", sent_s=sent_s, at_s=sent_s, heard_s=heard_s))
    return call.process


def asked_slowly_again(history: History, at_s: float) -> None:
    history.calls.append(replace(history.calls[-1], sent_s=at_s, at_s=at_s, heard_s=None))


def test_an_answer_is_not_kept_by_a_process_that_has_stepped_down_or_was_replaced(kept: History) -> None:
    history = copied(kept)
    asked_again(history)
    owner = history.calls[-1].process
    history.stepped_down.append((LATER_S - 1, owner))
    assert list(answers_are_kept.check(history)) == []
    history.stepped_down.clear()
    claimed(history, LATER_S - 1, 1_000, "another")
    assert list(answers_are_kept.check(history)) == []


def test_nor_is_one_that_comes_to_a_process_after_its_replacement(kept: History) -> None:
    history = copied(kept)
    owner = under_way(history, 100.0, 110.0)
    claimed(history, 105.0, 1_000, "another")
    claimed(history, 120.0, 1_001, owner)
    asked_slowly_again(history, 130.0)
    assert list(answers_are_kept.check(history)) == []


def test_nor_one_whose_call_was_given_up(kept: History) -> None:
    history = copied(kept)
    owner = under_way(history, 100.0, 110.0)
    history.stepped_down.append((105.0, owner))
    claimed(history, 106.0, 1_000, owner)
    asked_slowly_again(history, 130.0)
    assert list(answers_are_kept.check(history)) == []


def test_an_answer_is_kept_by_a_process_that_leads_again_when_it_comes_unless_it_was_parked(kept: History) -> None:
    history = copied(kept)
    owner = under_way(history, 100.0, 110.0)
    claimed(history, 102.0, 1_000, "another")
    claimed(history, 104.0, 1_001, owner)
    asked_slowly_again(history, 130.0)
    assert len(list(answers_are_kept.check(history))) == 1
    parked = Commit(103.0, f"{PREFIX}.dispatcher", {}, (), ({"id": "slow", "run": 0},), ())
    history.commits.append(parked)
    assert list(answers_are_kept.check(history)) == []
    history.commits[-1] = replace(parked, at_s=105.0)
    assert len(list(answers_are_kept.check(history))) == 1


def test_a_later_answer_is_kept_though_the_first_was_not(kept: History) -> None:
    history = copied(kept)
    owner = under_way(history, 100.0, 101.0)
    history.stepped_down.append((102.0, owner))
    claimed(history, 103.0, 1_000, owner)
    under_way(history, 104.0, 105.0)
    asked_slowly_again(history, 130.0)
    assert len(list(answers_are_kept.check(history))) == 1


def test_a_replay_is_called_anew_and_once(kept: History) -> None:
    history = copied(kept)
    under_way(history, 100.0, 101.0)
    history.sent.append(replace(history.sent[0], at_s=102.0, id="slow", run=1))
    under_way(history, 104.0, 105.0)
    assert list(answers_are_kept.check(history)) == []
    asked_slowly_again(history, 130.0)
    assert len(list(answers_are_kept.check(history))) == 1


def test_a_flawed_request_that_is_answered_is_found_out(scenario: Scenario) -> None:
    history = run(replace(scenario, faults=replace(scenario.faults, flaw=0.5)))
    assert any(outcome.get("reason") == "crashed" for _, outcome in history.outcomes())
    assert list(defects_cost_one_request.check(history)) == []
    history.commits = [
        replace(
            commit,
            outcomes=[each | {"status": "completed", "reason": None} for each in commit.outcomes],
        )
        for commit in history.commits
    ]
    assert any("must crash" in each for each in defects_cost_one_request.check(history))


def test_a_call_that_ends_its_dispatcher_is_failed_after_three_deaths_or_four(scenario: Scenario) -> None:
    history = run(replace(scenario, faults=replace(scenario.faults, deadly=1.0)))
    assert 3 <= history.killed.count((Deadly.CALLED, "deadly")) <= 4
    assert [each["reason"] for _, each in history.outcomes() if each["id"] == "deadly"] == ["crashed"]
    assert list(deaths_are_few.check(history)) == []
    history.commits.append(
        Commit(LATER_S, f"{PREFIX}.dispatcher", {}, ({"id": "deadly", "run": 1, "status": "completed"},), (), ())
    )
    assert any("ends its dispatcher" in each for each in defects_cost_one_request.check(history))


def test_innocent_requests_that_crash_without_deaths_are_found_out(kept: History) -> None:
    history = copied(kept)
    place, commit = next(each for each in enumerate(history.commits) if each[1].outcomes)
    message = CALLS_KILL.sentence
    outcome = commit.outcomes[0] | {"status": "failed", "reason": "crashed", "message": message}
    history.commits[place] = replace(commit, outcomes=(outcome,))
    assert any("innocent" in each for each in defects_cost_one_request.check(history))


def test_a_parked_request_that_is_called_is_found_out(scenario: Scenario) -> None:
    history = run(replace(scenario, faults=replace(scenario.faults, call_refused_for_long=0.5)))
    assert list(parked_are_left_alone.check(history)) == []
    parked_s, failure = next((each.at_s, each.parked[0]) for each in history.commits if each.parked)
    call = next(each for each in history.calls if each.id == failure["id"])
    after(history, call, parked_s + 1)
    assert list(parked_are_left_alone.check(history)) != []


def test_a_range_that_was_lost_has_one_letter_for_all_of_it(kept: History) -> None:
    history = copied(kept)
    letter = next(record for commit in history.commits for record in commit.records.get(DEAD_LETTERS, ()))
    topic = topics.requests_topic(PREFIX, "bulk")
    told = dict(letter.headers) | {"headrace-reason": b"lost_by_retention", "headrace-origin": f"{topic}/0/7".encode()}
    lost = replace(letter, headers=tuple(told.items()))
    history.commits.append(Commit(LATER_S, f"{PREFIX}.dispatcher", {DEAD_LETTERS: [lost]}, (), (), ()))
    history.removed.append(Removed(topic, 0, 8, "id-that-was-lost"))
    assert list(lost_records_have_a_letter.check(history)) == []
    history.removed.append(Removed(topic, 0, 6, "id-that-was-lost"))
    assert list(lost_records_have_a_letter.check(history)) != []


@pytest.mark.parametrize("scarce", [0.0, 0.5, 1.0])
def test_a_request_that_waits_while_nothing_is_in_its_way_is_found_out(scarce: float) -> None:
    history = run(seed_with(lambda each: each.is_roomy and each.requests > 10 and each.faults.scarce == scarce))
    assert any(call.scarce for call in history.calls) is bool(scarce)
    assert list(nothing_stops_a_call.check(history)) == []
    for each in history.calls:
        each.sent_s += 1.6
    assert list(nothing_stops_a_call.check(history)) != []


def test_of_a_key_a_request_whose_record_was_removed_has_no_place_and_all_others_have(scenario: Scenario) -> None:
    history = run(replace(scenario, requests=120))
    for each in history.calls:
        each.sent_s = -each.sent_s
    found = [(each.split()[2], each.split()[7]) for each in keys_keep_their_order.check(history)]
    removed = found[0][1]
    history.excused.add(removed)
    left = [each.split() for each in keys_keep_their_order.check(history)]
    assert {(each[2], each[7]) for each in left} >= {pair for pair in found if removed not in pair} != set()
    assert not any(removed in words for words in left)


@pytest.mark.parametrize("seed", [9155, 13_000_049])
def test_a_leader_that_leads_again_may_count_its_own_former_calls(seed: int) -> None:
    """In the second of these a defect ends a call before it leaves, in both of its terms."""
    history = run(Scenario.drawn(seed))
    assert list(repeats_are_counted.check(history)) == []
    assert sum(each.repeated for each in history.lived) > 0


def test_a_model_refused_in_a_row_rests_for_longer_than_it_was_told_and_what_falls_due_fails() -> None:
    """The last refusal told to wait for 4 s, and its dispatcher called no more for 13.5 s."""
    history = run(Scenario.drawn(12_009_852))
    assert list(deadlines_are_true.check(history)) == []


@pytest.mark.parametrize(
    ("until_s", "heard"),
    [
        (5.0, [(0, 1, "a", 429)]),
        (15.0, [(0, 1, "a", 429), (2, 3, "a", 429)]),
        (21.0, [(0, 1, "a", 429), (2, 3, "a", 429), (4, 5, "a", 429)]),
        (15.0, [(0, 1, "a", 429), (2, 3, "a", 429), (4, 11, "a", 429)]),
        (7.0, [(0, 1, "a", 429), (2, 3, "b", 429)]),
        (7.0, [(0, 1, "a", 429), (0.5, 3, "a", 429)]),
        (7.0, [(0, 1, "a", 429), (1.5, 1.8, "a", 200), (2, 3, "a", 429)]),
        (15.0, [(0, 1, "a", 429), (0.5, 1.8, "a", 200), (2, 3, "a", 429)]),
    ],
)
def test_only_refusals_of_one_process_one_after_the_other_and_without_an_answer_between_them_are_a_row(
    until_s: float, heard: list[tuple[float, float, str, int]]
) -> None:
    calls = [
        Arrival(sent_s, sent_s, process, "id", "", status, heard_s=heard_s)
        for sent_s, heard_s, process, status in heard
    ]
    calls.append(replace(calls[0], heard_s=None))
    assert max(deadlines_are_true._backs_off_until_s(calls, 10.0)) == until_s


def test_a_call_that_never_left_is_repeated_by_the_next_term_of_its_leader_and_not_by_the_same(
    kept: History,
) -> None:
    history = copied(kept)
    leader = history.calls[-1].process
    history.begun += [(LATER_S, leader, "never left"), (LATER_S + 2, leader, "never left")]
    history.lived = [replace(each, repeated=each.repeated + (each.name == leader)) for each in history.lived]
    assert len(list(repeats_are_counted.check(history))) == 1
    history.starts.append(replace(history.starts[-1], at_s=LATER_S + 1, process=leader))
    assert list(repeats_are_counted.check(history)) == []


def test_a_process_that_leads_again_keeps_the_order_of_each_of_its_terms(scenario: Scenario) -> None:
    history = run(replace(scenario, requests=120))
    called = {each.id: each for each in history.calls}
    rows = (row for lane, row in keys_keep_their_order._rows(history) if scenario.settings.lanes[lane].serial)
    front, behind = next(pair for row in rows for pair in pairwise(row) if called.keys() >= set(pair))
    claims = (claim_of(1_000, "another"), claim_of(1_001, called[front].process))
    history.commits.append(replace(history.commits[-1], at_s=LATER_S, outcomes=(), parked=(), lines=claims))
    after(history, called[front], LATER_S + 1)
    after(history, called[behind], LATER_S + 2)
    assert list(keys_keep_their_order.check(history)) == [], "both were called in both terms"
    history.calls[-1].sent_s = LATER_S
    assert list(keys_keep_their_order.check(history)) != []


def claim_of(term: int, owner: str) -> LedgerRecord:
    return LedgerRecord(LedgerKind.CLAIM, term, owner)


def counted_twice(history: History) -> None:
    """As a book that goes on with its sums after a commit that it took for lost."""
    at, commit = next((at, each) for at, each in enumerate(history.commits) if each.records.get(TOTALS))
    key, series, total = decode_total(commit.records[TOTALS][0])
    more = encode_total(key, series, total.model_copy(update={"outcomes": total.outcomes + 1}))
    last = max(number for number, each in enumerate(history.commits) if each.records.get(TOTALS))
    spoilt = {**history.commits[last].records, TOTALS: [*history.commits[last].records[TOTALS], more]}
    assert at <= last
    history.commits[last] = replace(history.commits[last], records=spoilt)
    history.commits[last + 1 :] = []


def left_out(history: History) -> None:
    """As a transaction of outcomes whose sums were made of others."""
    last = max(at for at, each in enumerate(history.commits) if each.records.get(TOTALS) and each.outcomes)
    history.commits[last] = replace(history.commits[last], outcomes=[*history.commits[last].outcomes] * 2)


@pytest.mark.parametrize("spoil", [counted_twice, left_out])
def test_sums_that_count_too_much_or_too_little_are_found(scenario: Scenario, spoil: Callable[[History], None]) -> None:
    history = SummingWorld(scenario).run()
    assert list(sums_are_true.check(history)) == []
    spoil(history)
    assert len(list(sums_are_true.check(history))) == 1
