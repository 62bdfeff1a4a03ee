"""In one look the cause of a stall, what an operator must act upon first."""

from typing import Any

import pytest

from headrace.broker.service.status.findings import findings
from headrace.broker.service.status.reading import StatusReading
from tests.unit.service.status.specimens import bucket, lane, limit, look, report, said

TIER = {"model": "gpt-4o", "tier": "flex", "waiting": 43, "breaker": "open: tier_unavailable"}


def told(found: StatusReading) -> list[tuple[bool, str]]:
    return [(finding.grave, finding.sentence) for finding in findings(found)]


def only(found: StatusReading) -> tuple[bool, str]:
    [finding] = told(found)
    return finding


def test_a_leader_that_works_gives_no_reason_to_say_anything() -> None:
    assert told(look(said())) == []


def test_nobody_has_ever_reported() -> None:
    grave, sentence = only(look(None, standbys=0, holder=None))
    assert grave
    assert sentence.startswith("No dispatcher of generation has reported within a day: start one with")


@pytest.mark.parametrize(
    ("holder", "standbys", "end"),
    [
        (None, 0, "Its lease has run out, and none stands by: start a dispatcher with `headrace dispatcher`."),
        ("released", 0, "It shut down properly, and none stands by: start a dispatcher with `headrace dispatcher`."),
        (None, 2, "Its lease has run out, and 2 standbys should take over within seconds: look again."),
        ("token-a", 1, "It still holds the lease: its process hangs, or cannot write to Redis. Check its log."),
        ("token-b", 0, "token-b holds the lease now but has not led yet: check its log."),
    ],
)
def test_silence_is_said_loudly_with_how_it_ended_and_what_to_do(holder: str | None, standbys: int, end: str) -> None:
    grave, sentence = only(look(said(), age_s=130.0, holder=holder, standbys=standbys))
    assert grave
    assert sentence == f"No dispatcher has reported for 2 min 10 s; the last was pod-7, leader of term 3. {end}"


def test_what_a_silent_leader_said_of_its_limits_is_no_news() -> None:
    waiting = {"gpt-4o-mini": limit(waiting=5, breaker="open: quota")}
    assert len(told(look(said(limits=waiting), age_s=5.1))) == 1
    assert len(told(look(said(limits=waiting), age_s=5.0))) == 1
    assert "reported" not in only(look(said(limits=waiting), age_s=5.0))[1]


@pytest.mark.parametrize(
    ("ready", "trouble", "sentence"),
    [
        ({"kafka": False, "redis": True}, "Kafka does not answer.", "Kafka does not answer."),
        ({"kafka": False, "redis": True}, "A commit is unknown.", "Kafka is away. A commit is unknown."),
        ({"kafka": False, "redis": False}, None, "Kafka and Redis are away."),
        (
            {"kafka": True, "redis": False},
            "Redis does not answer: refused.",
            "Redis does not answer: refused. The leader continues without it, but no standby can take over meanwhile.",
        ),
    ],
)
def test_a_service_that_is_away_is_said_with_what_the_leader_knows(
    ready: dict[str, bool], trouble: str | None, sentence: str
) -> None:
    assert only(look(said(ready=ready, trouble=trouble))) == (True, sentence)


@pytest.mark.parametrize("role", ["suspended", "promoting"])
def test_a_leader_without_kafka_holds_outcomes_and_must_not_be_restarted(role: str) -> None:
    status = said(role=role, ready={"kafka": False, "redis": True}, lanes={"bulk": lane(settled=7)}, inflight=1)
    _, (grave, sentence) = told(look(status, standbys=0))
    assert grave
    assert sentence.endswith("7 outcomes and 1 call in flight are held in its memory: do not restart it.")


@pytest.mark.parametrize("role", ["suspended", "promoting"])
def test_a_first_promotion_is_no_trouble(role: str) -> None:
    grave, sentence = only(look(said(role=role, leading_since=None)))
    assert not grave
    assert "being promoted" in sentence


def test_why_a_first_promotion_does_not_end_is_said() -> None:
    why = "Redis has granted the lease but does not report its time (TIME)."
    assert (True, why) in told(look(said(role="suspended", leading_since=None, trouble=why)))


def test_a_lonely_leader_is_pointed_out_but_is_no_trouble() -> None:
    grave, sentence = only(look(said(), standbys=0))
    assert (grave, sentence.startswith("No standby is ready")) == (False, True)
    assert told(look(said(), standbys=None)) == []


@pytest.mark.parametrize(
    ("fields", "grave", "sentence"),
    [
        (
            {"breaker": "open: quota", "rests_s": 8.0},
            True,
            (
                "m: the breaker is open (quota): no credit is left, or a spend limit is reached; no call succeeds "
                "before that is changed at OpenAI; the next probe goes in 8.0 s."
            ),
        ),
        (
            {"breaker": "open: timeout", "waiting": 4},
            True,
            "m: the breaker is open (timeout): OpenAI does not answer in time; one call goes now, as a probe.",
        ),
        (
            {"waiting": 43, "resting_tiers": [TIER | {"rests_s": 8.0}], "next_call_s": 1.2, "buckets": []},
            False,
            (
                "gpt-4o: service tier flex has no capacity; 43 requests wait for it, and other tiers are served; "
                "the next probe goes in 8.0 s."
            ),
        ),
        (
            {"waiting": 43, "resting_tiers": [TIER | {"probing": True}]},
            False,
            (
                "gpt-4o: service tier flex has no capacity; 43 requests wait for it, and other tiers are served; "
                "a probe is under way."
            ),
        ),
        ({"paused_s": 20.0, "waiting": 4}, False, "m: OpenAI asked for a pause; 4 wait for another 20 s."),
        ({"paused_s": 7_200.0, "waiting": 4}, True, "m: OpenAI asked for a pause; 4 wait for another 2 h."),
        (
            {"waiting": 1_200, "next_call_s": 3.2, "buckets": [bucket(low=500), bucket("requests", low=9_000)]},
            False,
            (
                "m: 1,200 wait for tokens (500 of 10,000 left): the next call goes in 3.2 s; "
                "without calls the bucket would be full in 57 s."
            ),
        ),
        (
            {"believed": False, "waiting": 3, "inflight": 1, "buckets": []},
            False,
            "m: one call goes first, since its levels are not known; 3 wait.",
        ),
    ],
)
def test_what_a_limit_waits_for_is_one_sentence(fields: dict[str, Any], grave: bool, sentence: str) -> None:  # noqa: FBT001  # a table's column
    assert only(look(said(limits={"m": limit(**fields)}))) == (grave, sentence)


@pytest.mark.parametrize(
    "fields",
    [
        {"paused_s": 20.0},
        {"buckets": [bucket(low=0)]},
        {"waiting": 2, "buckets": []},
        {"waiting": 2, "next_call_s": 3.2, "buckets": [bucket(low=0)], "measured_tokens_per_minute": 20_000},
    ],
)
def test_a_limit_nobody_is_held_up_by_is_not_mentioned(fields: dict[str, Any]) -> None:
    assert told(look(said(limits={"m": limit(**fields)}))) == []


def test_a_backlog_of_a_minute_is_worth_saying() -> None:
    lanes = {"urgent": lane(waiting=3, waiting_seconds=59.9), "bulk": lane(waiting=83, waiting_seconds=246.0)}
    assert told(look(said(lanes=lanes))) == [
        (False, "bulk: 83 wait; the quota needs 4 min 6 s to refill the tokens for them.")
    ]


@pytest.mark.parametrize(
    ("tenants", "end"),
    [
        ({"acme": 42, "globex": 41}, " 42 of them are of tenant acme."),
        ({"acme": 41, "globex": 41}, ""),
        ({"": 83}, ""),
        ({"acme": "all"}, ""),
        (None, ""),
    ],
)
def test_a_tenant_that_fills_most_of_a_backlog_is_named(tenants: object, end: str) -> None:
    lanes = {"bulk": lane(waiting=83, waiting_seconds=246.0, tenants=tenants)}
    assert told(look(said(lanes=lanes))) == [
        (False, f"bulk: 83 wait; the quota needs 4 min 6 s to refill the tokens for them.{end}")
    ]


def test_the_grave_comes_first() -> None:
    lanes = {"bulk": lane(waiting=83, waiting_seconds=246.0)}
    found = told(look(said(lanes=lanes, limits={"m": limit(breaker="open: auth")}), standbys=0))
    assert [grave for grave, _ in found] == [True, False, False]


def test_a_standby_that_is_asked_names_the_leader() -> None:
    status = said(
        role="standby", term=0, leading_since=None, owner="token-b", limits={"m": limit(breaker="open: auth")}
    )
    grave, sentence = only(look(status, kind="url", standbys=None))
    assert (grave, sentence) == (False, "This process stands by; the leader, token-a, reports lanes and limits.")
    grave, sentence = only(look(status | {"leader": "released"}, kind="url", standbys=None))
    assert (grave, sentence) == (True, "This process stands by, and no process holds the lease.")


def test_the_retriers_trouble_is_said_as_its_own() -> None:
    away = {"role": "leader", "ready": {"kafka": False, "redis": True}, "trouble": "Kafka does not answer."}
    found = StatusReading("generation", report(said()), report(away))
    assert told(found) == [(True, "Retrier: Kafka does not answer.")]
    silent = StatusReading("generation", report(said()), report(away, age_s=60.0, holder=None, standbys=0))
    assert only(silent)[1].endswith("none stands by: start a retrier with `headrace retrier`.")


def test_a_status_of_another_release_may_lack_anything() -> None:
    assert told(look({"role": "leader"})) == []


def test_an_account_in_trouble_is_said_once_with_what_tripped_it() -> None:
    tripped = {
        "since": "2026-12-01T09:00:07.000Z",
        "meaning": "quota",
        "limit": "gpt-4o",
        "status": 429,
        "code": "insufficient_quota",
        "request_id": "lead-1",
        "upstream_request_id": "req_1234",
        "sentence": "The account has no credit.",
    }
    account = {"breaker": "open: quota", "rests_s": 8.0, "tripped": tripped}
    grave, sentence = only(look(said(account=account, trouble="The account's breaker is open (quota).")))
    assert grave
    assert sentence.startswith("the account: the breaker is open (quota): no credit is left")
    assert sentence.endswith(
        "the next probe goes in 8.0 s. It opened at 2026-12-01T09:00:07.000Z: limit gpt-4o, HTTP 429, "
        "code insufficient_quota, request lead-1, OpenAI's id req_1234."
    )


def test_parked_requests_without_a_retrier_are_grave_and_with_one_no_news() -> None:
    parked = said(parked=1_200)
    assert only(look(parked)) == (
        True,
        (
            "1,200 requests are parked, and no retrier has ever reported: start one with `headrace retrier`, "
            "or they are not put back."
        ),
    )
    assert only(look(said(parked=1)))[1].startswith("1 request is parked")
    assert told(look(parked, kind="url")) == []
    with_retrier = StatusReading("generation", report(parked), report(said(role="leader")))
    assert told(with_retrier) == []
    assert told(look(said(parked=0))) == []


def test_a_key_of_another_type_is_said_once_and_nothing_is_concluded_from_what_it_hides() -> None:
    why = "The key headrace:c:g in Redis is of another type than Headrace writes."
    hidden = {"holder": None, "standbys": None, "spoilt": (why,)}
    ours = said(ready={"kafka": True, "redis": False}, trouble=why)
    assert [why in each.sentence for each in findings(look(ours, **hidden))] == [True]
    [silence, spoilt] = findings(look(said(), age_s=90, **hidden))
    assert silence.sentence.endswith("; the last was pod-7, leader of term 3.")
    assert (spoilt.grave, spoilt.sentence) == (True, why)
    retrier = StatusReading("generation", report(said()), report(None, **hidden))
    assert [each.sentence for each in findings(retrier)] == [why]


def test_another_server_at_the_base_url_is_said_with_what_came_from_where() -> None:
    tripped = {
        "since": "2026-12-01T09:00:00Z",
        "meaning": "not_the_api",
        "status": 404,
        "url": "https://gw.example/v1",
        "content_type": "text/plain",
        "leads_to": "https://sign-in.example",
        "says": "404 page not found",
    }
    account = {"breaker": "open: not_the_api", "rests_s": 4.0, "tripped": tripped}
    grave, sentence = only(look(said(account=account)))
    assert grave
    assert "the server there is not OpenAI's API; correct openai.base_url and restart" in sentence
    assert sentence.endswith(
        "It opened at 2026-12-01T09:00:00Z: HTTP 404, from https://gw.example/v1, content type text/plain, leading to "
        "https://sign-in.example, saying 404 page not found."
    )


def test_what_the_first_question_to_openai_has_found_is_said() -> None:
    sentence = "OpenAI at https://gw.example/v1 refuses the key (openai.api_key) (HTTP 401): correct it and restart."
    assert only(look(said(trouble=sentence))) == (True, sentence)


def test_a_totals_topic_that_is_missing_is_said_with_the_verb_that_makes_it_and_is_no_problem() -> None:
    topic = {
        "name": "generation.totals",
        "trouble": "does not exist",
        "mend": "create it with `headrace topics create`",
    }
    grave, sentence = only(look(said(spending={"topic": topic | {"unwritten": 3}})))
    assert not grave
    assert sentence == (
        "Tokens and cost are not summed up: the topic generation.totals does not exist; create it with "
        "`headrace topics create`. 3 outcomes will be summed up then."
    )
    assert told(look(said(spending={"topic": topic | {"trouble": None, "mend": None}}))) == []
    seconds_old = {"trouble": "has not been looked at yet", "mend": None}
    assert told(look(said(spending={"topic": topic | seconds_old}))) == []
