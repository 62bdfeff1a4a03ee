"""The requests that are played: as many, as large and as random as the rows say, and charged what they say."""

from dataclasses import replace
from itertools import pairwise

import pytest

from benchmarks.lanes.crowd import WEIGHTS, size, ticket, weights
from benchmarks.lanes.played import ONE_LANE, play, settings_of
from benchmarks.lanes.shares import Market, spread_of
from benchmarks.lanes.traffic import BULK, URGENT, Mix, Request, tokens_of
from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.laws import charge
from headrace.broker.simulator.pricing import ChatLaw as PlayedLaw
from headrace.broker.simulator.pricing import Endpoint, charge_at


@pytest.mark.parametrize("tokens", [2, 3, 100, 57_000])
def test_a_request_is_charged_its_tokens_by_the_core_and_by_the_simulated_openai(tokens: int) -> None:
    size_, asked = Request(0, BULK, tokens).sizes()
    assert charge(Law.CHAT_2025, size_) == tokens
    assert charge_at(Endpoint.CHAT, asked, PlayedLaw.CHAT_2025) == tokens


def test_over_http_the_prompt_has_as_many_bytes() -> None:
    request = Request(0, BULK, 123)
    (message,) = request.body()["messages"]
    assert len(message["content"].encode()) == request.text_bytes == 4 * 121


def test_urgent_requests_ask_for_their_part_at_random_instants_and_bulk_for_more_than_there_is() -> None:
    mix = Mix(span_ms=100 * 60_000)
    requests = mix.requests()
    urgent = [request for request in requests if request.lane == URGENT]
    bulk = requests[: len(requests) - len(urgent)]
    assert tokens_of(urgent) == pytest.approx(600_000, rel=0.05)
    assert tokens_of(bulk) > 101 * 60_000
    assert {request.at_ms for request in bulk} == {0}
    gaps = [later.at_ms - one.at_ms for one, later in pairwise(urgent)]
    assert min(gaps) >= 0
    assert sum(gap < 2_000 for gap in gaps) / len(gaps) == pytest.approx(0.632, abs=0.02)


def test_another_seed_is_other_requests_and_the_same_seed_the_same() -> None:
    assert Mix(seed=3).requests() == Mix(seed=3).requests() != Mix(seed=4).requests()


def test_who_was_never_called_has_waited_to_the_end() -> None:
    requests = [Request(0, BULK, 50_000), Request(0, BULK, 50_000), Request(9_000, URGENT, 40_000)]
    run = play(requests, settings_of(60_000), 10_000)
    assert run.waits_ms(BULK) == [pytest.approx(8, abs=8), 10_000]
    assert run.waits_ms(URGENT) == [1_000]
    assert run.tokens(BULK) == 50_000


def test_in_a_single_lane_urgent_requests_wait_behind_what_came_before() -> None:
    mix = replace(Mix(), span_ms=20_000)
    lanes, queue = (
        play(mix.requests(), settings, mix.span_ms)
        for settings in (settings_of(60_000), settings_of(60_000, lanes=ONE_LANE))
    )
    assert max(lanes.waits_ms(URGENT)) < 2_000 < min(queue.waits_ms(URGENT)[:3])


def test_weights_are_spread_evenly() -> None:
    assert list(weights(10).values()) == [*WEIGHTS, *WEIGHTS]


def test_a_ticket_waits_for_what_it_is_charged() -> None:
    made = ticket(7, "tenant", 300)
    assert (made.number, made.charge, made.candidate.tenant, made.queued) == (7, 300, "tenant", False)


def test_who_is_served_in_a_market_has_another_one_waiting() -> None:
    market = Market(1)
    before = len(market.lanes.queue(BULK))
    served = [market.serve() for _ in range(20)]
    assert len(market.lanes.queue(BULK)) == before
    assert sum(market.got.values()) == sum(each.charge for each in served)
    assert all(50 <= size(market.chance) <= 4_000 for _ in range(200))


def test_a_spread_is_none_where_all_have_what_their_weights_say() -> None:
    weighed = {"a": 1, "b": 3}
    assert spread_of({"a": 100, "b": 300}, weighed) == (0.0, 1.0)
    apart, jain = spread_of({"a": 200, "b": 200}, weighed)
    assert apart == pytest.approx(1.0)
    assert jain == pytest.approx(0.8)
