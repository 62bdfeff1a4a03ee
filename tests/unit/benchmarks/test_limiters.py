"""The omniscient dispatcher with two lanes, and what the benchmark promises of a run."""

import json

import pytest

from benchmarks.limiters.ideal import Charge, CountedLimit, Ideal
from benchmarks.limiters.paced import REFUSED_MAX, Pace, best_pace
from benchmarks.limiters.play import Played, calls_of, end_of, limits_of, price_of
from benchmarks.limiters.report import HEAD, as_json, beside_pace, line, promises, worst
from benchmarks.limits.oracle import Burst, Kind, Limit
from headrace.broker.simulator.behaviours.enforcement import ChargeLaw
from headrace.broker.simulator.drawn_server import drawn_server

SECOND_US = 1_000_000


def limit(kind: Kind = Kind.BUCKET, counts: str = "tokens", per_minute: int = 60_000) -> CountedLimit:
    return CountedLimit(Limit(kind, counts, per_minute), 1.0)


def bulk(_number: int, _now_us: int) -> Charge:
    return Charge(1_000, 1_000)


def small(_now_us: int) -> Charge:
    return Charge(500, 500)


def test_a_full_bucket_and_its_refill_are_all_that_can_be_charged() -> None:
    charged, waits = Ideal([limit()], 0).serve(bulk, [], 60 * SECOND_US)
    assert (charged, waits) == (120_000, [])


def test_an_urgent_call_is_next_in_line_and_waits_for_what_it_needs() -> None:
    """The bucket is empty at once; half a second refills 500 tokens, and bulk has waited for 1,000."""
    _, waits = Ideal([limit()], 0).serve(bulk, [(10 * SECOND_US + 100_000, small)], 20 * SECOND_US)
    assert waits == [400_000]


def test_an_urgent_call_that_is_not_served_has_waited_to_the_end() -> None:
    _, waits = Ideal([limit(Kind.FIXED)], 0).serve(bulk, [(SECOND_US, small)], 11 * SECOND_US)
    assert waits == [10 * SECOND_US]


def test_what_others_take_is_gone() -> None:
    burst = Burst(30 * SECOND_US, 10_000, 0, insists=True)
    assert Ideal([limit()], 0, [burst]).serve(bulk, [], 60 * SECOND_US)[0] == 110_000


@pytest.mark.parametrize("insists", [False, True])
def test_others_get_all_they_ask_although_bulk_has_taken_all_before(insists: bool) -> None:  # noqa: FBT001
    """The bucket is empty when they come: it is in debt then, and bulk waits for that too."""
    burst = Burst(30 * SECOND_US + 1, 10_000, 0, insists=insists)
    assert Ideal([limit()], 0, [burst]).serve(bulk, [], 60 * SECOND_US)[0] == 110_000


@pytest.mark.parametrize(("insists", "charged"), [(False, 190_000 - 60_000), (True, 190_000 - 90_000)])
def test_a_client_that_does_not_insist_takes_no_more_than_a_full_window(insists: bool, charged: int) -> None:  # noqa: FBT001
    burst = Burst(10 * SECOND_US, 90_000, 0, insists=insists)
    assert Ideal([limit()], 0, [burst]).serve(bulk, [], 130 * SECOND_US)[0] == charged


def test_of_a_counter_others_take_their_part_from_its_beginning() -> None:
    """Bulk would have taken all of the second minute before they come in it."""
    burst = Burst(100 * SECOND_US, 10_000, 0, insists=False)
    ideal = Ideal([limit(Kind.FIXED)], 0, [burst])
    assert ideal.serve(bulk, [], 59 * SECOND_US)[0] == 60_000
    assert ideal.serve(bulk, [], 119 * SECOND_US)[0] == 50_000
    assert ideal.serve(bulk, [], 179 * SECOND_US)[0] == 60_000


def test_of_the_counter_that_is_open_when_it_begins_they_take_it_from_then_on() -> None:
    opened_us = 30 * SECOND_US
    ideal = Ideal([limit(Kind.FIXED)], opened_us, [Burst(40 * SECOND_US, 10_000, 0, insists=False)])
    assert ideal.serve(bulk, [], 59 * SECOND_US)[0] == 50_000


def test_others_take_of_each_limit_what_it_counts() -> None:
    limits = [limit(), limit(Kind.FIXED, "requests", 100), limit(Kind.FIXED, "input-tokens", 50_000)]
    burst = Burst(10 * SECOND_US, 10_000, 70, insists=False)
    assert Ideal(limits, 0, [burst]).serve(bulk, [], 59 * SECOND_US)[0] == 30_000
    burst = Burst(10 * SECOND_US, 10_000, 0, insists=False)
    assert Ideal(limits, 0, [burst]).serve(bulk, [], 59 * SECOND_US)[0] == 40_000


@pytest.mark.parametrize("seed", [117, 145, 251])
def test_bulk_never_ends_although_calls_become_cheaper(seed: int) -> None:
    server = drawn_server(seed)
    assert any(isinstance(each, ChargeLaw) and each.from_s for each in server.behaviours)
    calls = calls_of(server)
    price, numbers = price_of(server, calls), [0]

    def priced(number: int, now_us: int) -> Charge:
        numbers[0] = number
        return price(number, now_us)

    Ideal(limits_of(server), 0).serve(priced, [], end_of(server))
    assert 0 < numbers[0] < sum(call.lane == "bulk" for call in calls)


@pytest.mark.parametrize(("counts", "uncached", "charged"), [("requests", 1.0, 20_000), ("input-tokens", 0.5, 40_000)])
def test_every_limit_counts_what_it_counts(counts: str, uncached: float, charged: int) -> None:
    limits = [limit(), CountedLimit(Limit(Kind.FIXED, counts, 20 if counts == "requests" else 20_000), uncached)]
    assert Ideal(limits, 0).serve(bulk, [], 59 * SECOND_US)[0] == charged


def test_it_goes_on_from_what_another_client_was_charged() -> None:
    ideal = Ideal([limit()], 0)
    ideal.replay(SECOND_US, Charge(60_000, 60_000))
    assert ideal.serve(bulk, [], 11 * SECOND_US)[0] == 10_000


def played(seed: int, share: float = 0.99, refused: int = 0, urgent_s: float = 0.1) -> Played:
    return Played(seed, share, refused, 1_000, 0, urgent_s, 0.1, tells_all=True)


def test_a_promise_is_kept_or_missed_by_its_figure() -> None:
    assert all(promise.kept for promise in promises([played(seed) for seed in range(20)]))
    missed = [played(seed) for seed in range(18)] + [played(18, share=0.7), played(19, refused=50, urgent_s=60.0)]
    told = {promise.sentence: promise.kept for promise in promises(missed)}
    assert [sentence.split(" (")[0] for sentence, kept in told.items() if not kept] == [
        "share of the ideal, worst",
        "429s per 1,000 calls, 95th percentile",
        "urgent p95 beyond twice the ideal's and 1 s, 95th percentile",
    ]
    assert [each.seed for each in worst(missed, 2)] == [18, 19]


@pytest.mark.slow
def test_the_best_even_pace_gets_all_of_a_bucket_and_little_of_short_windows_beside_others() -> None:
    assert best_pace(20_002).share == pytest.approx(1, abs=0.02)
    short = best_pace(20_048)
    assert 0.2 < short.share < 0.6
    assert short.refused_per_1000 <= REFUSED_MAX
    assert best_pace(20_000).of_calls, "calls are limited, and not tokens"


def test_the_worst_are_told_beside_the_best_even_pace() -> None:
    low = [Played(seed, 0.5, 0, 100, 0, 0.0, 0.0, tells_all=False) for seed in range(2)]
    fine = [Played(seed, 0.99, 0, 100, 0, 0.0, 0.0, tells_all=False) for seed in range(2, 10)]
    paces = {0: Pace(0.51, 3.0, of_calls=False), 1: Pace(0.9, 0.0, of_calls=True)}
    told = beside_pace(low + fine, paces)
    assert told.startswith("2 of 10 servers are below 93%.")
    assert "; 1 of them get" in told
    row = line(low[0], paces[0])
    assert row[HEAD.index("pace") - 1 : HEAD.index("pace") + 4] == " 51.0"
    assert json.loads(json.dumps(as_json(low, paces)))["paces"]["1"]["of_calls"]
