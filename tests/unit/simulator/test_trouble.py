from collections import Counter
from typing import Any

import pytest

from headrace.broker.core.answers.verdict import Answer, Meaning, judge
from headrace.broker.core.budget.admission_guide import HONOURED_MS
from headrace.broker.core.budget.budget import Budget, LimitBeliefs
from headrace.broker.simulator.behaviours.catalogue import behaviour
from headrace.broker.simulator.reply import Reply
from headrace.broker.simulator.streams import Manner
from tests.unit.simulator.asking import Desk, error_of, numbered, plentiful, stream_of_reply

TROUBLE = {"error_rate": 0.2, "long_429_rate": 0.1, "stream_cut_rate": 0.1, "stream_error_rate": 0.1}


def asked(desk: Desk, count: int = 600, **more: Any) -> list[Reply]:
    return [desk.ask(numbered(number, **more)) for number in range(count)]


def kind_of(reply: Reply) -> tuple[int, Any]:
    return reply.status, reply.stream and reply.stream.broken


@pytest.mark.slow
def test_server_errors_come_at_the_asked_rate_in_three_kinds_and_keep_their_charge() -> None:
    desk = plentiful(error_rate=0.45)
    statuses = Counter(reply.status for reply in asked(desk, 1_000))
    assert set(statuses) == {200, 500, 502, 503}
    assert all(110 < statuses[status] < 190 for status in (500, 502, 503))
    assert desk.books.admitted == 1_000


def test_every_call_may_fail() -> None:
    assert 200 not in {reply.status for reply in asked(plentiful(error_rate=1.0), 100)}


def test_an_error_takes_as_long_as_the_answer_would_have() -> None:
    answered = plentiful(latency_s=(1.0, 4.0)).ask(numbered(1))
    failed = plentiful(latency_s=(1.0, 4.0), error_rate=1.0).ask(numbered(1))
    assert failed.status >= 500
    assert failed.delay_s == answered.delay_s


@pytest.mark.parametrize("trouble", [{"error_rate": 0.5}, {"long_429_rate": 0.5}])
def test_whoever_tries_again_gets_through(trouble: dict[str, float]) -> None:
    desk = plentiful(**trouble)
    statuses = [desk.ask().status for _ in range(30)]
    assert 10 < statuses.count(200) < 20


@pytest.mark.slow
def test_the_same_seed_meets_the_same_trouble_in_any_order_and_another_seed_another() -> None:
    def met(seed: int, numbers: list[int]) -> dict[int, tuple[int, Any]]:
        desk = plentiful(seed=seed, **TROUBLE)
        return {number: kind_of(desk.ask(numbered(number, stream=True))) for number in numbers}

    numbers = list(range(200))
    assert met(3, numbers) == met(3, numbers[::-1])
    assert met(3, numbers) != met(4, numbers)


def test_two_requests_of_the_same_words_have_troubles_of_their_own() -> None:
    desk = plentiful(error_rate=0.5)
    assert len({desk.ask(numbered(1, metadata={"id": f"lead-{number}"})).status for number in range(20)}) > 1


def test_a_long_429_names_a_projects_day_and_a_wait_of_the_asked_length() -> None:
    reply = plentiful(long_429_rate=1.0, long_429_s=432).ask()
    error = error_of(reply)
    assert (reply.status, reply.delay_s) == (429, 0)
    assert (error["code"], error["type"]) == ("rate_limit_exceeded", "requests")
    assert error["message"].startswith("Rate limit reached for gpt-4o-mini in project proj_")
    assert (
        "on requests per day (RPD): Limit 200, Used 200, Requested 1. Please try again in 7m12s. Visit"
        in error["message"]
    )
    assert (reply.headers["retry-after"], reply.headers["retry-after-ms"]) == ("432", "432000")
    project = {name: value for name, value in reply.headers.items() if "-project-" in name}
    assert project == {
        "x-ratelimit-limit-project-requests": "200",
        "x-ratelimit-remaining-project-requests": "0",
        "x-ratelimit-reset-project-requests": "24h0m0s",
    }


@pytest.mark.parametrize("wait_s", [0.25, 1.5, 3, 7, 11, 61, 90, 600])
def test_a_daily_limit_states_the_asked_wait_or_a_little_more(wait_s: float) -> None:
    reply = plentiful(long_429_rate=1.0, long_429_s=wait_s).ask()
    assert wait_s * 1_000 <= int(reply.headers["retry-after-ms"]) <= wait_s * 1_007


def test_a_long_429_is_free_and_shows_the_accounts_own_buckets_as_they_are() -> None:
    desk = Desk(long_429_rate=0.5, requests_per_minute=1_000)
    statuses = []
    for _ in range(20):
        reply = desk.ask()
        statuses.append(reply.status)
        assert reply.headers["x-ratelimit-remaining-requests"] == str(1_000 - statuses.count(200))
    assert {200, 429} == set(statuses)
    assert desk.books.admitted == statuses.count(200)
    assert desk.books.throttled_long == statuses.count(429)
    assert [count.throttled_long for count in desk.books.ids.values()] == [statuses.count(429)]


def test_a_long_429_is_for_calls_that_could_be_answered() -> None:
    desk = Desk(long_429_rate=1.0, models=("gpt-4o",))
    assert desk.ask(headers={}).status == 401
    assert desk.ask().status == 404
    assert desk.books.throttled_long == 0


@pytest.mark.parametrize(("stated_s", "kept_ms"), [(150, 150_000), (90, HONOURED_MS)])
def test_a_long_429_is_kept_if_it_is_that_of_a_day_and_tested_otherwise(stated_s: int, kept_ms: int) -> None:
    reply = plentiful(long_429_rate=1.0, long_429_s=stated_s).ask()
    error = error_of(reply)
    verdict = judge(Answer(429, reply.headers, error["code"], error["type"], None, error["message"]))
    assert (verdict.meaning, verdict.wait_ms) == (Meaning.RATE_LIMITED, stated_s * 1_000)
    budget = Budget(LimitBeliefs("gpt-4o-mini", tokens=10**9, requests=10**6), 0, None)
    budget.reserve(1, 10, 0)
    budget.record_answer(1, 500, verdict)
    assert budget.payable_at(10, 500, reserved_ppm=50_000) == 500 + kept_ms


def test_long_429s_come_at_the_asked_rate() -> None:
    assert 40 < sum(reply.status == 429 for reply in asked(plentiful(long_429_rate=0.1))) < 80


@pytest.mark.slow
def test_streams_break_at_the_asked_rates_and_never_beyond_their_end() -> None:
    desk = plentiful(stream_cut_rate=0.2, stream_error_rate=0.4)
    streams = [stream_of_reply(reply) for reply in asked(desk, 1_000, stream=True)]
    profiles = Counter(stream.broken.manner if stream.broken else None for stream in streams)
    assert 150 < profiles[Manner.CUT] < 250
    assert 150 < profiles[Manner.ERROR] < 250
    assert 150 < profiles[Manner.FAILED] < 250
    assert desk.books.admitted == 1_000
    cuts = [stream for stream in streams if stream.broken and stream.broken.manner is Manner.CUT]
    assert all(1 <= stream.broken.after_deltas <= len(stream.deltas) for stream in cuts if stream.broken)
    errors = [stream for stream in streams if stream.broken and stream.broken.manner is not Manner.CUT]
    assert all(0 <= stream.broken.after_deltas <= len(stream.deltas) for stream in errors if stream.broken)
    for some in (cuts, errors):
        assert len({stream.broken.after_deltas for stream in some if stream.broken}) > 10


def test_answers_without_a_stream_break_nowhere() -> None:
    assert all(reply.stream is None for reply in asked(plentiful(stream_cut_rate=1.0), 20))


@pytest.mark.slow
def test_a_storm_hits_calls_while_it_lasts_at_its_rate_and_in_its_kinds_soon_and_charged() -> None:
    storm = behaviour("error-storm", from_s=10, to_s=20, rate=0.5, statuses=(500, 503))
    desk = plentiful(behaviours=(storm,))
    statuses = {
        second: Counter(desk.ask(numbered(number), now_us=second * 1_000_000).status for number in range(400))
        for second in (9, 10, 20)
    }
    assert statuses[9] == statuses[20] == {200: 400}
    assert set(statuses[10]) == {200, 500, 503}
    assert 160 < statuses[10][200] < 240
    assert desk.books.admitted == 1_200
    stormed = [desk.ask(numbered(number), now_us=15_000_000) for number in range(20)]
    assert {reply.delay_s for reply in stormed if reply.status != 200} == {0.1}


def test_a_dropped_connection_ends_somewhere_on_the_way() -> None:
    desk = plentiful(behaviours=(behaviour("dropped", rate=0.5),), latency_s=(2.0, 2.0))
    dropped = [reply for reply in asked(desk, 200) if reply.dropped]
    assert 70 < len(dropped) < 130
    assert all(0 <= reply.delay_s <= 2 for reply in dropped)
    assert max(reply.delay_s for reply in dropped) > 1.5
    assert desk.books.admitted == 200


def test_silence_lasts_as_long_as_asked_for() -> None:
    reply = plentiful(behaviours=(behaviour("silence", rate=1.0, seconds=900),)).ask()
    assert (reply.dropped, reply.delay_s) == (True, 900.0)


def test_slow_streams_take_longer_and_whole_answers_do_not() -> None:
    played = (behaviour("slow-streams", rate=1.0, factor=10), behaviour("latency-fixed", seconds=2))
    assert plentiful(behaviours=played).ask(numbered(1, stream=True)).delay_s == 20
    assert plentiful(behaviours=played).ask(numbered(1)).delay_s == 2


def test_broken_streams_are_added_to_those_of_the_settings() -> None:
    desk = plentiful(stream_cut_rate=0.3, behaviours=(behaviour("broken-streams", cut_rate=0.3, error_rate=0.4),))
    streams = [stream_of_reply(reply) for reply in asked(desk, 200, stream=True)]
    assert all(stream.broken for stream in streams)
    assert 80 < sum(stream.broken is not None and stream.broken.manner is Manner.CUT for stream in streams) < 160


@pytest.mark.parametrize(("name", "code"), [("slow-down", "slow_down"), ("quota-gone", "insufficient_quota")])
def test_an_account_in_trouble_turns_calls_away_for_nothing_while_it_lasts(name: str, code: str) -> None:
    desk = plentiful(behaviours=(behaviour(name),))
    assert desk.ask(now_us=29_999_999).status == 200
    reply = desk.ask(now_us=30_000_000)
    assert (reply.status, error_of(reply)["code"], reply.headers) == (429, code, {})
    assert desk.ask(now_us=60_000_000).status == 200
    assert desk.books.admitted == 2


def test_behind_a_gateway_errors_are_pages() -> None:
    reply = plentiful(error_rate=1.0, behaviours=(behaviour("gateway-html"),)).ask()
    assert str(reply.body).startswith("<html>")


def at_tier(desk: Desk, tier: object, number: int = 1, *, now_us: int = 0) -> Reply:
    return desk.ask(numbered(number, service_tier=tier), now_us=now_us)


def test_a_tier_without_capacity_refuses_its_calls_free_of_charge_and_serves_all_others() -> None:
    desk = plentiful(behaviours=(behaviour("flex-refused"),))
    refused = at_tier(desk, "flex")
    assert (refused.status, error_of(refused)["code"]) == (429, "resource_unavailable")
    assert judge(Answer(429, {}, "resource_unavailable", None, None, "")).meaning is Meaning.TIER_UNAVAILABLE
    assert desk.books.charged == {}
    assert [at_tier(desk, tier).status for tier in ("default", None, "priority", 7)] == [200] * 4


def test_a_scarce_tier_refuses_a_part_of_its_calls_and_the_same_request_gets_through_in_the_end() -> None:
    desk = plentiful(behaviours=(behaviour("flex-scarce"),))
    statuses = [at_tier(desk, "flex").status for _ in range(60)]
    assert 15 < statuses.count(200) < 45


def test_a_tier_refuses_while_it_has_no_capacity_and_in_the_words_of_its_server() -> None:
    desk = plentiful(behaviours=(behaviour("flex-refused", from_s=10.0, to_s=20.0, status=498),))
    statuses = [at_tier(desk, "flex", now_us=second * 1_000_000).status for second in (0, 10, 19, 20)]
    assert statuses == [200, 498, 498, 200]


def test_a_tier_that_a_model_does_not_have_is_a_bad_request() -> None:
    refused = at_tier(plentiful(behaviours=(behaviour("tier-unknown"),)), "flex")
    assert (refused.status, error_of(refused)["param"]) == (400, "service_tier")


@pytest.mark.parametrize(
    ("asked", "served"), [("flex", "flex"), ("auto", "default"), (None, "default"), ("x", "default")]
)
def test_an_answer_names_the_tier_that_served_it(asked: str | None, served: str) -> None:
    reply = at_tier(plentiful(), asked)
    assert isinstance(reply.body, dict)
    assert reply.body["service_tier"] == served
