"""The page's first sentence, for each state in which a dispatcher may be found."""

from typing import Any

import pytest

from headrace.broker.service.page.headline import FlowState, headline
from headrace.broker.service.status.reading import StatusReading
from tests.unit.service.status.specimens import bucket, lane, limit, look, report, said

TOKENS = {"kind": "limit", "metric": "tokens", "period_s": 60.0, "capacity": 10_000, "there": 90, "needed": 300}


def flowing(rate: float = 12.0) -> dict[str, Any]:
    return {"calls_per_second": {"ok": rate}}


def busy(**fields: Any) -> dict[str, Any]:
    """A status with 40 requests that wait, in bulk, for the limit with these fields."""
    lanes = {"urgent": lane(), "bulk": lane(waiting=40, waiting_seconds=240.0)}
    of = {"waiting": 40, "next_call_s": 0.1, "charged_last_minute": 9_800, "next_waits_for": [TOKENS]} | fields
    return said(lanes=lanes, limits={"gpt-4o-mini": limit(**of)}, lately=flowing())


def test_what_binds_is_named_with_the_use_of_its_quota_and_the_time_that_each_lane_takes() -> None:
    first = headline(look(busy()))
    assert first.flow is FlowState.FLOWS
    assert first.sentence == (
        "Requests flow. The limit of tokens/min of gpt-4o-mini binds: its quota is used to 98 %. "
        "Time to empty: urgent 0 s, bulk 4 min."
    )


def test_its_subject_stays_while_only_figures_change() -> None:
    assert headline(look(busy())).subject == headline(look(busy(waiting=39, charged_last_minute=9_700))).subject
    assert headline(look(busy())).subject != headline(look(busy(next_waits_for=[{"kind": "cooldown"}]))).subject


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (
            {"kind": "places", "of": "dispatcher", "inflight": 8, "most": 8},
            "in flight of this dispatcher bind: 8",
        ),
        ({"kind": "places", "of": "gpt-4o-mini", "inflight": 3, "most": 3}, "Calls in flight of gpt-4o-mini bind: 3"),
        ({"kind": "memory"}, "Memory for answers binds"),
        ({"kind": "first_answer"}, "One call of gpt-4o-mini goes first"),
        ({"kind": "cooldown"}, "OpenAI asked for a pause on gpt-4o-mini"),
        ({"kind": "own_cap", "charged": 900, "capacity": 1_000}, "Your own cap on gpt-4o-mini binds: 900 of 1,000"),
        ({"kind": "pace"}, "The burst bound of gpt-4o-mini binds"),
        ({"kind": "tenant_cap"}, "A tenant's own cap binds"),
        (TOKENS | {"metric": "requests"}, "The limit of requests/min of gpt-4o-mini binds: 90 of 10,000 are left"),
        (TOKENS | {"project": True}, "The limit of the project's tokens/min of gpt-4o-mini binds"),
        ({"kind": "a word of another release"}, "40 requests of gpt-4o-mini wait for their turn"),
        ({}, "40 requests of gpt-4o-mini wait for their turn"),
    ],
)
def test_each_reason_of_the_next_request_is_put_in_words(reason: dict[str, Any], words: str) -> None:
    assert words in headline(look(busy(next_waits_for=[reason]))).sentence


def test_a_nearly_empty_bucket_binds_in_an_instant_in_which_it_could_pay_as_well() -> None:
    first = headline(look(busy(next_waits_for=[], buckets=[bucket(low=400)])))
    assert "The limit of tokens/min of gpt-4o-mini binds" in first.sentence


def test_a_limit_used_up_for_long_lets_nothing_flow() -> None:
    told = busy(next_call_s=7_200.0) | {"lately": flowing(0), "inflight": 0}
    first = headline(look(told))
    assert first.flow is FlowState.WAITS
    assert "the next call goes in 2 h" in first.sentence


def test_a_limit_that_lets_calls_end_flows_however_late_its_next_call_is() -> None:
    assert headline(look(busy(next_call_s=7_200.0))).flow is FlowState.FLOWS


@pytest.mark.parametrize(("next_call_s", "is_named"), [(60.0, False), (61.0, True)])
def test_a_next_call_within_a_minute_is_not_named(next_call_s: float, is_named: bool) -> None:  # noqa: FBT001 — a case
    assert ("the next call goes in 1 min 1 s" in headline(look(busy(next_call_s=next_call_s))).sentence) is is_named


def test_a_stated_pause_is_named_though_the_bucket_could_pay() -> None:
    first = headline(look(busy(next_call_s=0.0, paused_s=90.0, next_waits_for=[{"kind": "cooldown"}])))
    assert "pause on gpt-4o-mini, for another 1 min 30 s; the next call goes in 1 min 30 s." in first.sentence


def test_of_several_reasons_the_last_one_binds_and_of_several_limits_the_one_that_waits_longest() -> None:
    assert "limit of tokens/min" in headline(look(busy(next_waits_for=[{"kind": "memory"}, TOKENS]))).sentence
    told = busy(next_call_s=3.0)
    told["limits"] |= {"a": limit(waiting=400, next_call_s=2.0), "z": limit(waiting=400, next_call_s=2.0)}
    assert "tokens/min of gpt-4o-mini binds" in headline(look(told)).sentence


def test_a_bucket_is_not_blamed_where_a_measured_rate_is_followed() -> None:
    of = {"next_waits_for": [], "buckets": [bucket(low=400)], "measured_tokens_per_minute": 5_000}
    assert "wait for their turn" in headline(look(busy(**of))).sentence


def test_an_account_without_credit_serves_nothing_and_the_next_probe_is_named() -> None:
    told = busy() | {"account": {"breaker": "open: quota", "rests_s": 22.0}}
    first = headline(look(told))
    assert first.flow is FlowState.STOPPED
    assert first.sentence.startswith("OpenAI does not serve: no credit is left")
    assert first.sentence.endswith("the next probe goes in 22 s.")


def test_a_shut_limit_is_named_alone_where_nothing_else_flows_and_beside_the_rest_where_it_does() -> None:
    shut = limit(breaker="open: connection", rests_s=5.0, waiting=7)
    alone = headline(look(said(limits={"gpt-4.1": shut}, inflight=0)))
    assert (alone.flow, alone.sentence.split(":")[0]) == (FlowState.STOPPED, "OpenAI does not serve gpt-4.1")
    told = busy()
    told["limits"]["gpt-4.1"] = shut
    beside = headline(look(told))
    assert beside.flow is FlowState.FLOWS
    assert beside.sentence.endswith("Not served: gpt-4.1.")


def test_a_shut_limit_that_nothing_waits_for_stops_no_flow() -> None:
    told = said(limits={"gpt-4.1": limit(breaker="open: connection")}, inflight=2, lately=flowing())
    assert headline(look(told)).flow is FlowState.FLOWS


def test_empty_lanes_are_idle_and_calls_without_waiting_requests_flow_freely() -> None:
    assert headline(look(said(inflight=0))).flow is FlowState.IDLE
    free = headline(look(said(inflight=2, lately=flowing())))
    assert (free.flow, free.sentence) == (
        FlowState.FLOWS,
        "Requests flow, and none waits: nothing binds; 12.0 answers a second.",
    )


def test_records_that_nothing_takes_yet_wait() -> None:
    told = said(inflight=0, limits={}, lanes={"bulk": lane(lag={"requests": 12, "age_s": 1.0})})
    assert headline(look(told)).sentence == "12 records wait in Kafka; none is taken yet."


@pytest.mark.parametrize(
    ("reading", "flow", "words"),
    [
        (look(None), FlowState.STOPPED, "none has reported within a day"),
        (look(said(), age_s=31.0, holder="released"), FlowState.STOPPED, "reported 31 s ago. Nothing flows. 1 standby"),
        (look(said(), age_s=31.0), FlowState.UNKNOWN, "holds the lease and reported last 31 s ago: what flows now is"),
        (look(said(), age_s=31.0, holder="token-b"), FlowState.STOPPED, "the last leader reported 31 s ago"),
        (look(said(role="promoting", leading_since=None)), FlowState.WAITS, "is being promoted"),
        (look(said(role="suspended")), FlowState.STOPPED, "cannot publish to Kafka"),
        (look(said(ready={"kafka": False, "redis": True})), FlowState.STOPPED, "Kafka does not answer the leader"),
        (StatusReading("g", report(said(role="standby"), kind="url")), FlowState.UNKNOWN, "does not lead, and Redis"),
        (look(said(role="odd")), FlowState.UNKNOWN, "is odd"),
    ],
)
def test_without_a_leader_at_work_that_is_the_sentence(reading: StatusReading, flow: FlowState, words: str) -> None:
    first = headline(reading)
    assert first.flow is flow
    assert words in first.sentence


def test_figures_of_any_kind_give_a_sentence() -> None:
    odd = {"waiting": 10**400, "next_call_s": 10**400, "buckets": [{"capacity": "x"}, 3], "next_waits_for": [3, TOKENS]}
    told = busy(**odd) | {"lately": {"calls_per_second": {"ok": 10**400}}, "lanes": {"x": 3, "y": {"waiting": "z"}}}
    assert headline(look(told)).sentence.startswith("Requests wait.")
    for strange in (float("inf"), float("nan"), -1, True, "many", None, [3]):
        odd = dict.fromkeys(odd, strange)
        told = busy(**odd) | {
            "inflight": strange,
            "lately": {"calls_per_second": {"ok": strange}, "calls": {"ok": strange}},
        }
        assert headline(look(told)).sentence


def quiet(**fields: Any) -> dict[str, Any]:
    """A status in which no call has ended for a minute."""
    return said(inflight=0, lately={"calls_per_second": {}, "calls": {}}) | fields


@pytest.mark.parametrize(
    ("told", "flow", "words"),
    [
        (quiet(lanes={"bulk": lane(waiting=3)}), FlowState.WAITS, "3 requests wait for another attempt; nothing is"),
        (
            quiet(lanes={"bulk": lane(lag={"requests": 1})}),
            FlowState.WAITS,
            "1 record waits in Kafka; none is",
        ),
        (
            quiet(parked=2),
            FlowState.IDLE,
            "nothing is being called. 2 requests are parked",
        ),
        (quiet(lanes={}), FlowState.UNKNOWN, "does not say what waits"),
        (quiet(unshown=["limits"]), FlowState.UNKNOWN, "does not say what waits"),
        (quiet(inflight=4), FlowState.WAITS, "4 calls are in flight, and none was answered in the last minute."),
        (
            quiet(inflight=4, lately={"calls_per_second": {"ok": 0.0, "server_error": 1.25}}),
            FlowState.WAITS,
            "none has succeeded in the last minute; answers a second: 1.2 server error.",
        ),
        (quiet(lately=flowing(0.2) | {"calls": {"ok": {"ended": [9, 0, 0]}}}), FlowState.IDLE, "All lanes are empty"),
        (
            quiet(lately=flowing(0.2) | {"calls": {"ok": {"ended": [9, 0, 0]}}}, lanes={"bulk": lane(waiting=1)}),
            FlowState.WAITS,
            "1 request waits for another attempt; nothing is being called.",
        ),
        (quiet(lately=flowing(0.2) | {"calls": {"ok": {"ended": [0, 9, 0]}}}), FlowState.FLOWS, "0.2 answers a second"),
        (
            quiet(lately=flowing(0.01) | {"calls": {"ok": {"ended": [1]}}}),
            FlowState.FLOWS,
            "none waits: nothing binds.",
        ),
        (
            said(lately=flowing(), lanes={"bulk": lane(lag={"requests": 900})}),
            FlowState.FLOWS,
            "Requests flow, and 900 records wait in Kafka to be taken; 12.0",
        ),
        (said(lately=flowing(), lanes={"bulk": lane(waiting=2)}), FlowState.FLOWS, "and 2 requests wait for another"),
    ],
)
def test_where_no_limit_is_waited_for_nothing_untrue_is_said(told: dict[str, Any], flow: FlowState, words: str) -> None:
    first = headline(look(told))
    assert first.flow is flow
    assert words in first.sentence


@pytest.mark.parametrize("reason", [{"kind": "leader"}, {"kind": "cooldown"}, {"kind": "breaker", "of": "tier"}, {}])
def test_requests_that_wait_do_not_flow_while_nothing_is_called(reason: dict[str, Any]) -> None:
    told = busy(next_waits_for=[reason], next_call_s=30.0) | {"lately": flowing(0), "inflight": 0}
    first = headline(look(told))
    assert first.flow is FlowState.WAITS
    assert first.sentence.startswith("Requests wait. ")


def test_the_answers_of_the_last_minute_are_no_flow_where_the_next_call_goes_in_hours() -> None:
    history = flowing(0.2) | {"calls": {"ok": {"ended": [9, 0, 0]}}}
    told = busy(next_call_s=28_000.0) | {"lately": history, "inflight": 0}
    assert headline(look(told)).sentence.startswith("Requests wait. The limit of tokens/min")


def test_a_sentence_names_few_of_many_lanes_and_limits() -> None:
    told = busy()
    told["lanes"] = {f"lane-{number}": lane(waiting=1, waiting_seconds=2.0) for number in range(30)}
    told["limits"] |= {"m" * 120 + str(number): limit(breaker="open: timeout", waiting=1) for number in range(200)}
    sentence = headline(look(told)).sentence
    assert "lane-4 2.0 s and 25 more." in sentence
    assert "and 195 more." in sentence
    assert len(sentence) < 800


def test_a_report_that_another_program_has_written_over_is_no_absence_of_a_leader() -> None:
    reading = look(None, spoilt=("The key headrace:c:g:status in Redis is of another type than Headrace writes.",))
    assert headline(reading).flow is FlowState.UNKNOWN
