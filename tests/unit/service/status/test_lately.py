"""What is counted of the last fifteen minutes, how long it is kept, and how a successor goes on from it."""

import json
from datetime import UTC, datetime
from typing import Any

from headrace.broker.clock import WallClock
from headrace.broker.core.answers.rate_limit_headers import LimitMetric, Reading
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.service.status.lately import NAMES_MAX, SERIES, SHOWN_MAX, SLOT_S, SLOTS, TERMS_MAX, Lately

START = datetime(2026, 12, 1, 9, tzinfo=UTC)


class World:
    """Leaders of one wall time."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.clock = WallClock(lambda: self.now_s, lambda: START)

    def leader(self) -> Lately:
        return Lately(self.clock)


def ended(meaning: Meaning, *readings: Reading) -> Verdict:
    return Verdict(
        meaning,
        retryable=False,
        wait_ms=None,
        readings=readings,
        snapshot=None,
        counts_as_attempt=False,
        sentence="",
    )


OK, REFUSED = ended(Meaning.OK), ended(Meaning.RATE_LIMITED)


def test_tokens_and_429s_stand_in_the_slots_in_which_they_came() -> None:
    world = World()
    lately = world.leader()
    lately.count_call("a", OK, 300)
    world.now_s = SLOT_S
    lately.count_call("a", OK, 20)
    lately.count_call("a", REFUSED, 999)
    shown = lately.shown()
    assert shown["limits"]["a"] == {"charged": [0] * (SLOTS - 2) + [300, 20], "refused": [0] * (SLOTS - 1) + [1]}
    assert shown["refused"] == {"minute": 1, "quarter": 1}
    assert shown["until"] == "2026-12-01T09:00:30.000Z"


def test_what_is_older_than_fifteen_minutes_is_forgotten() -> None:
    world = World()
    lately = world.leader()
    lately.count_call("a", REFUSED, 0)
    world.now_s = SLOT_S * (SLOTS - 1)
    assert lately.shown()["refused"] == {"minute": 0, "quarter": 1}
    world.now_s = SLOT_S * SLOTS
    shown = lately.shown()
    assert (shown["refused"]["quarter"], shown["limits"]) == (0, {})
    assert shown["since"] == "2026-12-01T09:00:15.000Z"


def test_rates_are_over_the_time_that_is_known() -> None:
    world = World()
    lately = world.leader()
    lately.note_term(1)
    world.now_s = 10
    for _ in range(20):
        lately.count_call("a", OK, 1)
    assert lately.shown()["calls_per_second"] == {"ok": 2.0}
    world.now_s = 70
    assert lately.shown()["calls_per_second"] == {"ok": round(20 / 70, 3)}
    world.now_s = 75
    assert lately.shown()["calls_per_second"] == {}
    world.now_s = 190
    lately.count_call("a", OK, 1)
    world.now_s = 200
    assert lately.shown()["calls_per_second"] == {"ok": round(1 / 65, 3)}, "over whole slots: since 135 s"


def test_a_process_that_stood_by_does_not_know_what_was_before() -> None:
    world = World()
    lately = world.leader()
    world.now_s = 3_600
    assert lately.shown()["since"] == "2026-12-01T10:00:00.000Z"
    lately.note_term(2)
    world.now_s = 3_610
    for _ in range(20):
        lately.count_call("a", OK, 1)
    shown = lately.shown()
    assert (shown["since"], shown["calls_per_second"]) == ("2026-12-01T10:00:00.000Z", {"ok": 2.0})
    without_a_term = world.leader()
    without_a_term.count_taken("bulk")
    world.now_s = 3_620
    assert without_a_term.shown()["since"] == "2026-12-01T10:00:10.000Z"


def test_the_share_of_429s_is_unknown_without_calls() -> None:
    world = World()
    lately = world.leader()
    assert lately.shown()["refused_share"] is None
    for verdict in (OK, OK, OK, REFUSED):
        lately.count_call("a", verdict, 1)
    assert lately.shown()["refused_share"] == 0.25
    world.now_s = 315
    assert lately.shown()["refused_share"] is None, "five minutes later"


def test_a_successor_goes_on_from_what_was_left_and_counts_its_own_beside() -> None:
    world = World()
    first = world.leader()
    first.note_term(3)
    first.note_term(3)
    first.count_taken("bulk")
    first.count_ended("bulk")
    first.count_call("a", OK, 500)
    left = json.loads(json.dumps(first.shown()))
    world.now_s = 40
    second = world.leader()
    second.inherit(left)
    second.note_term(4)
    second.count_call("a", OK, 7)
    shown = second.shown()
    assert shown["limits"]["a"]["charged"][-3:] == [500, 0, 7]
    assert shown["lanes"]["bulk"]["taken"][-3:] == [1, 0, 0]
    assert shown["since"] == "2026-12-01T09:00:00.000Z"
    assert [each["term"] for each in shown["terms"]] == [3, 4]


def test_what_comes_back_to_the_process_that_counted_it_is_not_counted_twice() -> None:
    world = World()
    first, second = world.leader(), world.leader()
    first.count_call("a", OK, 500)
    second.inherit(first.shown())
    assert second.shown()["limits"]["a"]["charged"][-1] == 500
    first.inherit(second.shown())
    assert first.shown()["limits"]["a"]["charged"][-1] == 500


def test_what_was_counted_here_before_stays_known_beside_what_is_inherited() -> None:
    world = World()
    first = world.leader()
    first.note_term(1)
    world.now_s = 100
    second = world.leader()
    second.note_term(2)
    first.inherit(second.shown())
    assert first.shown()["since"] == "2026-12-01T09:00:00.000Z"


def test_terms_are_bounded_in_number_and_in_age() -> None:
    world = World()
    lately = world.leader()
    for term in range(3 * TERMS_MAX):
        lately.note_term(term)
    left = lately.shown()
    assert [each["term"] for each in left["terms"]] == list(range(2 * TERMS_MAX, 3 * TERMS_MAX))
    world.now_s = SLOT_S
    lately.note_term(99)
    other = world.leader()
    other.inherit(left | {"terms": [*left["terms"], *lately.shown()["terms"], {"at": left["until"], "term": 100}]})
    assert [each["term"] for each in other.shown()["terms"]][-2:] == [99, 100]
    assert len(other.shown()["terms"]) == TERMS_MAX
    world.now_s = SLOT_S * SLOTS
    assert [each["term"] for each in lately.shown()["terms"]] == [99]


def test_slots_are_bounded_in_number_though_none_is_shown_and_the_clock_jumps() -> None:
    world = World()
    lately = world.leader()
    for number in range(10 * SLOTS):
        world.now_s = SLOT_S * number
        lately.count_taken("bulk")
    assert len(lately._slots) <= 2 * SLOTS
    world.now_s = 0
    assert lately.shown()["lanes"] == {}, "slots of the future are those of a wrong clock"
    assert len(lately._slots) <= 2


def test_a_count_out_of_bounds_is_cut() -> None:
    lately = World().leader()
    lately.count_call("a", OK, -5)
    lately.count_call("b", OK, 10**18)
    limits = lately.shown()["limits"]
    assert (limits["a"]["charged"][-1], limits["b"]["charged"][-1]) == (0, 10**15)


def test_nothing_that_was_left_in_another_form_raises_or_is_believed() -> None:
    world = World()
    whole = world.leader().shown()
    others: list[Any] = [
        None,
        3,
        [],
        {},
        {"slot_s": 10},
        whole | {"until": "yesterday"},
        whole | {"until": "2027-01-01T00:00:00.000Z"},
        whole | {"since": 3},
        whole | {"limits": {"a": {"charged": [1]}, "b": 3, "c": {"charged": ["x"] * SLOTS}}, "terms": [3, {"at": 1}]},
        whole | {"limits": {"a": {"charged": [-1] * SLOTS, "refused": [True] * SLOTS}}, "terms": {}},
    ]
    for left in others:
        lately = world.leader()
        lately.inherit(left)
        assert (lately.shown()["limits"], lately.shown()["terms"]) == ({}, [])


def test_names_are_bounded_in_number_however_many_producers_invent() -> None:
    world = World()
    lately = world.leader()
    for number in range(10 * NAMES_MAX):
        lately.count_call(f"m{number}", OK, number)
    assert len(lately.shown()["limits"]) == SHOWN_MAX
    lately.count_call("last", REFUSED, 0)
    lately.count_ended("bulk")
    assert max(len(slot) for slot in lately._slots.values()) <= 5 * NAMES_MAX
    assert lately.shown()["lanes"]["bulk"]["ended"][-1] == 1, "invented models crowd out neither lanes nor meanings"
    assert lately.shown()["refused"]["minute"] == 1
    assert len(lately._stated) <= NAMES_MAX


def test_what_the_server_stated_last_of_a_bucket_is_known_by_its_size() -> None:
    world = World()
    lately = world.leader()

    def reading(capacity: int, remaining: int) -> Any:
        return Reading(LimitMetric.TOKENS, capacity, remaining, 60_000)

    lately.count_call("a", ended(Meaning.OK, reading(1_000, 700), reading(90_000, 80_000)), 1)
    world.now_s = 2
    lately.count_call("a", ended(Meaning.OK, reading(1_000, 650)), 1)
    stated = lately.stated("a", "tokens", 1_000)
    assert stated is not None
    assert (stated.remaining, stated.at_ms) == (650, 2_000)
    other = lately.stated("a", "tokens", 90_000)
    assert other is not None
    assert other.at_ms == 0
    assert lately.stated("a", "tokens", 5) is None
    assert lately.stated("b", "tokens", 1_000) is None
    for capacity in range(100):
        lately.count_call("a", ended(Meaning.OK, reading(capacity, 0)), 1)
    assert len(lately._stated["a"]) == 8
    lately.count_call("a", ended(Meaning.OK, reading(92, 1)), 1)
    lately.count_call("a", ended(Meaning.OK, reading(7, 0)), 1)
    assert lately.stated("a", "tokens", 93) is None, "the one that was stated longest ago"
    assert lately.stated("a", "tokens", 92) is not None


def test_names_that_producers_choose_take_no_room_from_lanes_and_meanings() -> None:
    leader = World().leader()
    for number in range(20 * NAMES_MAX):
        leader.count_call(f"model-{number}", OK, 1)
        leader.count_call(f"model-{number}", REFUSED, 0)
    leader.count_ended("bulk")
    shown = leader.shown()
    assert shown["lanes"]["bulk"]["ended"][-1] == 1
    assert len(shown["limits"]) == SHOWN_MAX


def test_limits_of_many_names_count_no_more_than_their_bound() -> None:
    leader = World().leader()
    for number in range(20 * NAMES_MAX):
        leader.count_call(f"model-{number}", OK, 1)
    assert sum(map(len, leader._slots.values())) <= len(SERIES["limits"]) * NAMES_MAX + 1
