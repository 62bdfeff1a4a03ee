"""What the report says of a run, without a run."""

import json
import random
from collections import Counter

from aiokafka import ConsumerRecord

from tests.chaos.faults import FAULTS
from tests.chaos.outcomes import Letters, Outcomes
from tests.chaos.run import Played, Report, _attribute, chosen
from tests.chaos.traffic import Traffic, blamed_innocents, verdicts
from tests.hostile.fates import Sown
from tests.hostile.records import DEAD_LETTER, FAILED
from tests.hostile.sowing import Sowing

BURIED = Sown("empty", DEAD_LETTER, None)


def ledger(said: dict[str, str], counts: dict[tuple[str, int], int] | None = None) -> Traffic:
    outcomes = Outcomes("nowhere:1", "results", 1)
    outcomes.said = {
        each: {"status": "completed", "reason": None if how == "completed" else how} for each, how in said.items()
    }
    outcomes.counts = Counter(counts or {(each, 0): 1 for each in said})
    return Traffic("nowhere:1", "chaos", outcomes, random.Random(1))


def test_a_request_without_outcome_is_lost_and_a_second_outcome_is_seen() -> None:
    traffic = ledger(
        {"plain-1": "completed", "deadline-2": "deadline_exceeded"}, {("plain-1", 0): 2, ("deadline-2", 0): 1}
    )
    traffic.acknowledged = {"plain-1": 0.0, "deadline-2": 0.0, "plain-3": 0.0}
    assert verdicts(traffic) == {"lost": ["plain-3"], "doubled": ["plain-1/0"], "unknown": [], "wrong": []}


def test_an_outcome_that_its_kind_must_not_have_is_wrong_and_so_is_one_nobody_asked_for() -> None:
    traffic = ledger({"plain-1": "exhausted", "plain-2": "cancelled", "plain-9": "completed"})
    traffic.acknowledged = {"plain-1": 0.0, "plain-2": 0.0}
    found = verdicts(traffic)
    assert found["wrong"] == ["plain-1: exhausted", "plain-2: cancelled"]
    assert found["unknown"] == ["plain-9"]


def test_an_innocent_request_may_crash_after_three_calls_and_not_before() -> None:
    traffic = ledger({"plain-1": "crashed", "failing-2": "crashed"})
    traffic.acknowledged = {"plain-1": 0.0, "failing-2": 0.0}
    calls = {"plain-1": 2, "failing-2": 3}
    assert verdicts(traffic, calls=calls)["wrong"] == ["plain-1: crashed"]
    assert blamed_innocents(traffic, calls) == ["failing-2"]


def letters(**origins: int) -> Letters:
    return Letters(
        "nowhere:1", "dead-letters", 1, origins=Counter({f"lane/{name}/0": n for name, n in origins.items()})
    )


def test_hostile_records_are_judged_by_their_kind_and_a_dead_letter_that_came_twice_is_doubled() -> None:
    traffic = ledger({})
    traffic.sowing = Sowing(1, "chaos", sown={"lane/a/0": Sown("odd", FAILED, "hostile-1"), "lane/b/0": BURIED})
    traffic.outcomes.hostile = Counter({("hostile-1", "completed"): 1, ("hostile-2", "failed"): 1})
    assert verdicts(traffic, letters(z=2)) == {
        "lost": ["empty at lane/b/0: 0 completed, 0 failed, 0 dead letters"],
        "doubled": ["lane/z/0: 2 dead letters"],
        "unknown": ["hostile-2"],
        "wrong": ["odd at lane/a/0: 1 completed, 0 failed, 0 dead letters"],
    }


def test_the_report_counts_hostile_records_by_fate() -> None:
    lines = Report(1, hostile={"answered": 5, "dead letter": 2}).summary()
    assert "7 hostile records ended once, as their kind says: 5 answered, 2 dead letter" in lines


def test_an_outcome_of_a_hostile_record_is_none_of_the_traffic_s() -> None:
    traffic = ledger({})
    outcome = {"id": "hostile-1", "run": 7, "status": "failed", "term": 1}
    traffic.outcomes.note(ConsumerRecord("results", 0, 0, 0, 0, None, json.dumps(outcome).encode(), None, 0, 0, ()))
    assert traffic.outcomes.hostile == {("hostile-1", "failed"): 1}
    assert traffic.outcomes.counts == {("hostile-1", 7): 1}
    assert (traffic.unanswered, traffic.outcomes.arrivals) == (0, [])


def test_the_longest_silence_counts_from_the_fault_and_to_the_end() -> None:
    outcomes = Outcomes("nowhere:1", "results", 1)
    outcomes.arrivals = [9.0, 10.5, 13.5, 14.0]
    assert outcomes.longest_pause(10.0, 15.0) == (3.0, 3.5)
    assert outcomes.longest_pause(14.0, 16.0) == (2.0, 2.0)


def played(fault: str, at_s: float) -> Played:
    return Played(1, fault, "dispatcher-1", at_s, 60, 0.0, 0.0, 5.0)


def test_a_repeated_call_is_told_of_the_fault_that_ended_its_leader_however_late_it_comes() -> None:
    report = Report(1, [played("standby stopped", 0), played("leader killed", 6), played("Redis emptied", 12)])
    _attribute(report, [(5.0, 30.0), (3.0, 9.0)], [8.5])
    assert [each.repeated_calls for each in report.played] == [0, 2, 0]


def test_without_another_leader_it_is_told_of_what_cut_calls_off() -> None:
    report = Report(1, [played("retrier stopped", 0), played("leader's link to OpenAI severed", 6)])
    _attribute(report, [(4.0, 9.0), (1.0, 2.0)], [])
    assert [each.repeated_calls for each in report.played] == [1, 1]


def test_every_fault_is_played_before_any_comes_again_and_a_seed_is_an_order() -> None:
    order = chosen(random.Random(3), 2 * len(FAULTS), list(FAULTS))
    assert set(order[: len(FAULTS)]) == set(order[len(FAULTS) :]) == set(FAULTS)
    assert order == chosen(random.Random(3), 2 * len(FAULTS), list(FAULTS))
    assert order != chosen(random.Random(4), 2 * len(FAULTS), list(FAULTS))
