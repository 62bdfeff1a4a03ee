import heapq
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from headrace.broker.simulator.admission import MINUTE_US, SECOND_US, Metric
from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.catalogue import NAMED, behaviour
from headrace.broker.simulator.pricing import Endpoint, Size, size_of
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.virtual import Ask, VirtualAnswer, VirtualUpstream, Visit
from headrace.broker.simulator.wording import limit_headers
from tests.unit.simulator.asking import Desk, numbered

SIZE = Size.chat(3_600)  # 902 tokens by the law of 2025


def upstream(*behaviours: Behaviour, **settings: Any) -> VirtualUpstream:
    plenty = {"tokens_per_minute": 60_000, "requests_per_minute": 6_000} | settings
    return VirtualUpstream(UpstreamSettings(behaviours=behaviours, **plenty))


def heard(server: VirtualUpstream, count: int, *, every_us: int = 100_000, **more: Any) -> list[VirtualAnswer]:
    """`count` calls at an even pace, each ended when its time has come."""
    told: list[VirtualAnswer] = []
    under_way: list[tuple[int, int, Visit]] = []
    for number in range(count):
        now_us = number * every_us
        while under_way and under_way[0][0] <= now_us:
            told.append(server.end(heapq.heappop(under_way)[2]))
        visit = server.arrive(Ask(f"lead-{number}", "gpt-4o-mini", SIZE, **more), now_us)
        heapq.heappush(under_way, (visit.ends_us, number, visit))
    while under_way:
        told.append(server.end(heapq.heappop(under_way)[2]))
    return told


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
def test_every_behaviour_can_be_played_for_ten_minutes_and_its_books_add_up(name: str) -> None:
    server = upstream(behaviour(name))
    told = heard(server, 600, every_us=SECOND_US, output_tokens=100)
    stats = server.books(10 * MINUTE_US)
    statuses = Counter(answer.status for answer in told)
    assert (stats.calls, stats.inflight) == (600, 0)
    assert (stats.completed, stats.throttled) == (statuses[200], statuses[429])
    assert stats.disconnected == statuses[None]
    for tallies in stats.accounts.values():
        for tally in tallies.values():
            assert tally.charged > 0
            assert tally.offered is None or tally.charged <= tally.offered
    tokens = [tallies[Metric.TOKENS].charged for tallies in stats.accounts.values()]
    assert sum(tokens) == stats.charged_tokens
    assert stats.share == pytest.approx(
        sum(tokens) / sum(t[Metric.TOKENS].offered or 0 for t in stats.accounts.values())
    )


def test_http_and_virtual_time_charge_and_speak_alike() -> None:
    named = (behaviour("groq"), behaviour("quantised-6s"), behaviour("law-chat-legacy"))
    desk = Desk(tokens_per_minute=600, behaviours=named)
    server = upstream(*named, tokens_per_minute=600, requests_per_minute=500)
    for number in range(5):
        body = numbered(number, max_tokens=25)
        reply = desk.ask(body)
        told = server.end(server.arrive(Ask("x", body["model"], size_of(Endpoint.CHAT, body)), 0))
        assert (told.status, dict(told.headers)) == (reply.status, dict(reply.headers))
        assert reply.status == 200 or told.body == reply.body
    assert reply.status == 429


def test_the_same_seed_plays_the_same_and_another_seed_another() -> None:
    def played(seed: int) -> list[int | None]:
        server = upstream(behaviour("dropped", rate=0.3), behaviour("latency-wide"), seed=seed)
        return [answer.status for answer in heard(server, 200)]

    assert played(1) == played(1)
    assert played(1) != played(2)


def test_a_storm_comes_and_goes() -> None:
    server = upstream(behaviour("error-storm", from_s=10, to_s=20, rate=1.0), behaviour("latency-fixed", seconds=0))
    statuses = [answer.status for answer in heard(server, 30, every_us=SECOND_US)]
    assert all(status == 200 for status in statuses[:10] + statuses[20:])
    assert set(statuses[10:20]) <= {500, 502, 503}
    assert server.books().admitted == 30


def test_an_account_in_trouble_turns_calls_away_unpaid() -> None:
    server = upstream(behaviour("quota-gone", from_s=0, to_s=1))
    told = heard(server, 1)[0]
    assert isinstance(told.body, dict)
    assert (told.status, told.body["error"]["code"], told.headers) == (429, "insufficient_quota", {})
    assert server.books().admitted == 0
    slow = heard(upstream(behaviour("slow-down", from_s=0)), 1)[0]
    assert isinstance(slow.body, dict)
    assert slow.body["error"]["code"] == "slow_down"


def test_silence_ends_in_nothing_long_after() -> None:
    server = upstream(behaviour("silence", rate=1.0, seconds=900))
    visit = server.arrive(Ask("a", "m", SIZE), 0)
    assert visit.ends_us == 900 * SECOND_US
    assert server.end(visit).status is None


def test_load_makes_later_calls_slower() -> None:
    server = upstream(behaviour("latency-load", shortest_s=1, longest_s=1, knee=10))
    ends = [server.arrive(Ask(f"{number}", "m", SIZE), 0).ends_us for number in range(10)]
    assert ends == [round(SECOND_US * (1 + number / 10)) for number in range(1, 11)]


def test_streams_are_slow_or_break_as_asked_for() -> None:
    slow = upstream(behaviour("slow-streams", rate=1.0, factor=10), behaviour("latency-fixed", seconds=2))
    assert slow.arrive(Ask("a", "m", SIZE, streamed=True), 0).ends_us == 20 * SECOND_US
    assert slow.arrive(Ask("a", "m", SIZE), 0).ends_us == 2 * SECOND_US
    broken = upstream(behaviour("broken-streams", cut_rate=0.5, error_rate=0.5), tokens_per_minute=10**7)
    statuses = Counter(answer.status for answer in heard(broken, 100, streamed=True))
    assert set(statuses) == {None, 500}
    assert broken.books().admitted == 100


def test_under_usage_an_answer_carries_the_levels_after_its_settlement() -> None:
    server = upstream(behaviour("law-usage"), behaviour("latency-fixed", seconds=1))
    visit = server.arrive(Ask("a", "m", Size(1_000), output_tokens=5_000), 0)
    assert server.end(visit).headers["x-ratelimit-remaining-tokens"] == "55000"
    streamed = server.arrive(Ask("b", "m", Size(1_000), output_tokens=5_000, streamed=True), SECOND_US)
    assert server.end(streamed).headers["x-ratelimit-remaining-tokens"] == "54000"


def test_an_upstream_may_open_at_any_instant() -> None:
    late = VirtualUpstream(UpstreamSettings(behaviours=(behaviour("limit-doubled", at_s=1),)), 50 * SECOND_US)
    headers = [
        late.end(late.arrive(Ask("a", "m", SIZE), second * SECOND_US)).headers["x-ratelimit-limit-tokens"]
        for second in (50, 51)
    ]
    assert headers == ["200000", "400000"]


def test_long_429s_are_played_too() -> None:
    server = upstream(long_429_rate=1.0, long_429_s=90)
    told = heard(server, 1)[0]
    assert (told.status, told.headers["retry-after-ms"]) == (429, "90000")
    assert server.books(ids=True).throttled_long == 1


def test_usage_is_in_an_answer() -> None:
    told = heard(upstream(), 1, output_tokens=7)[0]
    assert isinstance(told.body, dict)
    assert told.body["usage"] == {"prompt_tokens": 907, "completion_tokens": 7, "total_tokens": 914}
    told = heard(upstream(), 1, endpoint=Endpoint.RESPONSES)[0]
    assert isinstance(told.body, dict)
    assert told.body["usage"]["input_tokens"] == 907


@pytest.mark.parametrize("name", ["bucket", "headers-tokens", "headers-rounded", "azure", "project-limits"])
def test_levels_that_are_told_are_what_the_headers_spell(name: str) -> None:
    server = VirtualUpstream(UpstreamSettings(tokens_per_minute=60_000, behaviours=(behaviour(name),)))
    told = server.end(server.arrive(Ask("a", "m", SIZE, output_tokens=100), SECOND_US))
    assert (told.levels is not None) is (name == "bucket")
    assert told.headers == (told.spelled if told.levels is None else limit_headers(told.levels))
    assert bool(told.headers)


def test_books_without_ids_are_else_the_same_and_luck_has_its_ids_nevertheless() -> None:
    def played(*, counts_ids: bool, **settings: Any) -> tuple[Any, ...]:
        server = VirtualUpstream(UpstreamSettings(tokens_per_minute=9_000, **settings), counts_ids=counts_ids)
        told = [(each.status, dict(each.headers), each.body) for each in heard(server, 100, output_tokens=5)]
        return told, server.books(), server.books(ids=True).ids

    told, books, ids = played(counts_ids=True)
    untold, lean, none = played(counts_ids=False)
    assert (untold, replace(lean, ids_seen=100)) == (told, books)
    assert (len(ids), none) == (100, {})
    assert {status for status, _, _ in told} == {200, 429}
    assert played(counts_ids=False, error_rate=0.5) == played(counts_ids=True, error_rate=0.5)
