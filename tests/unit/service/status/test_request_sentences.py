"""What a person reads about one request: every state, and every thing that may keep it, as a line."""

from typing import Any

import pytest

from headrace.broker.service.status.request_sentences import lines

TRIPPED = {"since": "2026-12-01T09:00:00.000Z", "limit": "gpt-4o-mini", "status": 429, "request_id": "lead-1"}

NOT_HERE = "it was not taken yet, does not exist, or was answered longer ago than the dedupe window"


def crowd(requests: int = 0, tokens: int = 0) -> dict[str, int]:
    return {"requests": requests, "tokens": tokens}


def before(own: dict[str, int], lane: dict[str, int]) -> dict[str, Any]:
    return {"tenant": own, "lane": lane, "lanes_above": {}}


def limit(**fields: Any) -> dict[str, Any]:
    return {
        "kind": "limit",
        "limit": "gpt-4o-mini",
        "metric": "tokens",
        "period_s": 60.0,
        "capacity": 10_000,
        "there": 120,
        "needed": 333,
        "kept": 0,
        "kept_for": [],
        "own": True,
        "payable_in_s": 1.278,
    } | fields


def waiting(*waits_for: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": "lead-0042",
        "run": 0,
        "state": "waiting",
        "lane": "bulk",
        "tenant": "acme",
        "limit": "gpt-4o-mini",
        "calls": 0,
        "deadline": "2026-12-05T12:00:00.000Z",
        "before": before(crowd(16, 6_400), crowd(42, 16_800)),
        "waits_for": list(waits_for),
        "estimated_start": {"in_s": 41.2, "at": "2026-12-01T12:03:44.120Z"},
    } | fields


def kept_by(**hindrance: Any) -> str:
    """The line that says what it waits for."""
    line = lines(waiting(hindrance))[1]
    assert line.startswith("It waits for: ")
    assert line.endswith(".")
    return line.removeprefix("It waits for: ").removesuffix(".")


def test_who_waits_is_told_its_place_its_hindrance_and_its_start() -> None:
    place = "17th of its tenant, about 42 before it in the lane (16,800 tokens)"
    assert lines(waiting(limit())) == [
        f"lead-0042 waits in lane bulk (tenant acme), {place}.",
        "It waits for: tokens of gpt-4o-mini: 333 needed, 120 there of 10,000 a minute; payable in 1.3 s.",
        "Estimated start: in about 41 s (12:03:44Z), unless requests arrive that go before it.",
    ]


def test_further_hindrances_follow_and_a_share_that_is_kept_is_named() -> None:
    lane = {"kind": "lane", "lane": "standard", "rule": "order", "requests": 7, "tokens": 1_883}
    money = limit(own=False, kept=500, kept_for=["urgent"], metric="requests", period_s=86_400.0)
    told = lines(waiting(lane, money, run=2))
    assert told[0].startswith("lead-0042 (run 2) waits")
    there = "120 there (500 kept for lane urgent) of 10,000 a day"
    assert told[1:3] == [
        "It waits for: lane standard, which goes first (7 waiting there, 1,883 tokens).",
        f"And for: requests of gpt-4o-mini: the next call needs 333, {there}; payable in 1.3 s.",
    ]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (before(crowd(), crowd()), "waits in lane bulk (no tenant), next in its lane."),
        (before(crowd(1, 10), crowd(1, 10)), "2nd of its tenant, 1 before it in the lane (10 tokens)."),
        (before(crowd(2, 10), crowd(2, 10)), "3rd of its tenant, 2 before"),
        (before(crowd(), crowd(1, 10)), "1st of its tenant, about 1 before"),
        (before(crowd(10), crowd(10)), "11th of its tenant"),
        (before(crowd(111), crowd(111)), "112th of its tenant"),
        (before(crowd(1_020), crowd(1_020)), "1,021st of its tenant, 1,020 before"),
        (None, "waits in lane bulk (no tenant)."),
    ],
)
def test_a_place_is_told_as_people_count(place: dict[str, Any] | None, said: str) -> None:
    assert said in lines(waiting(before=place, tenant=None))[0]


def test_who_is_kept_by_nothing_starts_at_once() -> None:
    assert lines(waiting())[1].startswith("Nothing holds it back")


def test_a_start_that_nobody_can_tell_is_said_to_be_so() -> None:
    assert lines(waiting(estimated_start=None))[-1] == "Estimated start: not known."


def test_a_start_after_the_deadline_is_said_to_come_too_late() -> None:
    told = lines(waiting(deadline="2026-12-01T12:03:00.000Z"))
    assert told[-1] == "That is after its deadline, 2026-12-01 12:03:00Z: it would fail then."


def test_a_start_far_away_has_its_date() -> None:
    far = {"in_s": 90_000.0, "at": "2026-12-02T12:03:44.120Z"}
    assert "in about 1 d 1 h (2026-12-02 12:03:44Z)" in lines(waiting(estimated_start=far))[-1]


@pytest.mark.parametrize(
    ("hindrance", "said"),
    [
        ({"kind": "leader", "why": "suspended"}, "the leader: it starts no calls until it can publish to Kafka again"),
        ({"kind": "leader", "why": "unproved"}, "the leader: it starts no calls until it has proved"),
        ({"kind": "leader", "why": "leaving"}, "another leader: this one is shutting down"),
        ({"kind": "leader", "why": "resting"}, "the leader, which is resting"),
        (
            {"kind": "retry", "until": "2026-12-01T12:03:44.120Z", "payable_in_s": 20.0},
            "its next attempt, not before 12:03:44Z (in 20 s)",
        ),
        (
            {"kind": "order", "before": 2, "first": "lead-1", "first_state": "calling", "serial": True},
            "its ordering key: 2 requests before it must have ended, and lead-1 is first (calling)",
        ),
        (
            {"kind": "order", "before": 1, "first": None, "first_state": "waiting", "serial": False},
            (
                "its ordering key: 1 request before it must have started, and a request with an unknown id is first "
                "(waiting)"
            ),
        ),
        (
            {"kind": "tenant_cap", "cap": "tokens_per_minute", "most": 1_000, "payable_in_s": 12.0},
            "its tenant's cap, tokens_per_minute 1,000; payable in 12 s",
        ),
        (
            {"kind": "tenant_cap", "cap": "inflight_max", "most": 1, "payable_in_s": None},
            "its tenant's cap, inflight_max 1; not before a call ends",
        ),
        (
            {"kind": "lane", "lane": "bulk", "rule": "floor", "requests": 3, "tokens": 900},
            "lane bulk, which is below its floor now (3 waiting there, 900 tokens)",
        ),
        (
            {"kind": "lane", "lane": "bulk", "rule": "ceiling", "requests": 3, "tokens": 900},
            "lane bulk, since its own lane has reached its ceiling (3 waiting there, 900 tokens)",
        ),
        (
            {"kind": "late", "calls_take_s": 3.9, "requests": 2, "tokens": 480},
            (
                "requests of its lane that can be in time: its own deadline is nearer than a call takes (3.9 s; 2 with "
                "more time, 480 tokens)"
            ),
        ),
        ({"kind": "tenants", "tenant": "zenith"}, "the turn of its tenant: tenant zenith is next in its lane"),
        ({"kind": "tenants", "tenant": None}, "the turn of its tenant: requests without a tenant are next in its lane"),
        (
            {"kind": "places", "of": "dispatcher", "inflight": 486, "most": 512, "kept": 26, "kept_for": ["urgent"]},
            "a call in flight to end: 486 of 512 of this dispatcher, 26 of them kept for lane urgent",
        ),
        (
            {"kind": "places", "of": "gpt-4o", "inflight": 4, "most": 4, "kept": 0, "kept_for": []},
            "a call in flight to end: 4 of 4 of gpt-4o",
        ),
        ({"kind": "memory"}, "answers in memory, which fill dispatcher.held_bytes_max until they are committed"),
        (
            {"kind": "first_answer", "limit": "gpt-4o"},
            "the answer to one call, which shows how full gpt-4o is; not before a call ends",
        ),
        (
            {"kind": "cooldown", "limit": "gpt-4o", "payable_in_s": 7.0},
            "the pause that OpenAI asked for on gpt-4o; payable in 7.0 s",
        ),
        (
            {
                "kind": "own_cap",
                "limit": "gpt-4o",
                "capacity": 1_000,
                "charged": 900,
                "needed": 200,
                "payable_in_s": 3.0,
            },
            "the own cap on gpt-4o: 200 needed, 900 of 1,000 charged this minute; payable in 3.0 s",
        ),
        (
            {"kind": "pace", "limit": "gpt-4o", "payable_in_s": 0.3},
            "the burst bound of gpt-4o: what OpenAI has accepted at once, or burst_s; payable in 0.3 s",
        ),
        (
            {"kind": "pace", "limit": "gpt-4o", "measured_tokens_per_minute": 20_000, "payable_in_s": 0.3},
            "the measured rate of gpt-4o, 20,000 tokens a minute; payable in 0.3 s",
        ),
        ({"kind": "moonrise"}, "moonrise"),
    ],
)
def test_each_thing_that_may_keep_it_has_a_sentence(hindrance: dict[str, Any], said: str) -> None:
    assert kept_by(**hindrance).startswith(said)


def test_an_open_breaker_is_told_with_what_opened_it_and_when_it_is_probed() -> None:
    account = {"kind": "breaker", "limit": None, "tripped_by": "quota", "next_probe_s": 7.2, "tripped": TRIPPED}
    assert kept_by(**account) == (
        "the breaker of the account, open (quota): no credit is left, or a spend limit is reached; no call "
        "succeeds before that is changed at OpenAI; the next probe goes in 7.2 s. It opened at "
        "2026-12-01T09:00:00.000Z: limit gpt-4o-mini, HTTP 429, request lead-1"
    )
    limits = {"kind": "breaker", "limit": "gpt-4o", "tripped_by": "timeout", "next_probe_s": 0.0, "tripped": None}
    assert kept_by(**limits).endswith("OpenAI does not answer in time; one call goes now, as a probe")
    assert kept_by(**limits, probing=True).endswith("a probe is under way")
    tier = limits | {"of": "tier", "tier": "flex", "tripped_by": "tier_unavailable"}
    assert kept_by(**tier).startswith(
        "the breaker of service tier flex of gpt-4o, open (tier_unavailable): the service"
    )


# ---------------------------------------------------------------------------------------------------- other states


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            {"state": "calling", "lane": "bulk", "tenant": "acme", "calls": 2, "for_s": 3.14},
            ["r is being called, in lane bulk (tenant acme): attempt 2, for 3.1 s now."],
        ),
        (
            {"state": "calling", "lane": "bulk", "tenant": None, "calls": 1, "for_s": None},
            ["r is being called, in lane bulk (no tenant): attempt 1, for a while now."],
        ),
        (
            {"state": "settled", "decided": {"status": "failed", "reason": "rejected"}, "trouble": None},
            ["r is decided (failed, rejected) and will be published with the next commit."],
        ),
        (
            {"state": "settled", "decided": None, "trouble": "Kafka does not answer."},
            [
                "r is decided (with nothing to publish) and will be published with the next commit.",
                "Commits wait: Kafka does not answer.",
            ],
        ),
        (
            {"state": "parked", "attempts": 1, "retry_at": "2026-12-01T12:03:44.120Z"},
            [
                "r is parked in the failures topic, after 1 call.",
                "The retrier puts it back at 2026-12-01 12:03:44Z.",
            ],
        ),
        (
            {"state": "parked", "attempts": 0, "retry_at": None},
            [
                "r is parked in the failures topic, after 0 calls.",
                "The retrier puts it back when it is due; an earlier leader parked it, so this one does not know when.",
            ],
        ),
        ({"state": "answered", "outcome": {"status": "completed", "reason": None}}, ["r was answered: completed."]),
        (
            {"state": "answered", "outcome": {"status": "failed", "reason": None}},
            ["r was answered: failed.", "`headrace dead-letters show ID` says why."],
        ),
        (
            {"state": "answered", "outcome": {"status": "failed", "reason": "cancelled"}},
            ["r was answered: failed, cancelled."],
        ),
        (
            {"state": "answered", "outcome": {"status": None, "reason": None}, "run": 0, "last_run": 2},
            ["r was answered: run 2 came after it."],
        ),
        (
            {"state": "unknown", "dedupe_window_s": 3_600, "lanes_without_room": [], "leads_for_s": 60.0},
            [f"Nothing is known of r: {NOT_HERE} (1 h)."],
        ),
        ({"state": "elsewhere", "sentence": "This one does not lead."}, ["This one does not lead."]),
        ({"state": "moonstruck"}, ["r is moonstruck."]),
    ],
)
def test_each_state_has_its_lines(told: dict[str, Any], said: list[str]) -> None:
    assert lines({"id": "r"} | told) == said


@pytest.mark.parametrize(
    ("lanes", "said"),
    [
        (["bulk"], "Lane bulk has no room now: later requests wait in Kafka"),
        (["standard", "bulk"], "Lanes standard, bulk have no room now"),
    ],
)
def test_lanes_without_room_are_named_beside_what_nobody_knows(lanes: list[str], said: str) -> None:
    told = lines({"id": "r", "state": "unknown", "dedupe_window_s": 60, "lanes_without_room": lanes})
    assert told[1].startswith(said)


@pytest.mark.parametrize(
    ("leads_for_s", "said"),
    [
        (1.26, ["The dispatcher has led for only 1.3 s and may not have read its lanes yet: ask again."]),
        (None, ["The dispatcher does not lead yet: ask again in a few seconds."]),
        (10.0, []),
    ],
)
def test_who_leads_only_now_says_that_it_may_not_know_yet(leads_for_s: float | None, said: list[str]) -> None:
    assert lines({"id": "r", "state": "unknown", "dedupe_window_s": 60, "leads_for_s": leads_for_s})[1:] == said


def test_a_duplicate_is_told_with_the_one_that_it_waits_for() -> None:
    calling = {"state": "calling", "run": 0, "lane": "bulk", "tenant": None, "calls": 1, "for_s": 2.0}
    told = lines({"id": "r", "run": 1, "state": "joined", "behind": calling})
    assert told == [
        "r (run 1) waits for the outcome of run 0, and is then examined again:",
        "run 0 is being called, in lane bulk (no tenant): attempt 1, for 2.0 s now.",
    ]
    again = lines({"id": "r", "run": 0, "state": "joined", "behind": calling})
    assert again[0] == "r waits for the outcome of its first submission, and is then examined again:"


def test_what_strangers_have_named_does_not_reach_the_terminal_as_it_is() -> None:
    told = lines(waiting({"kind": "tenants", "tenant": "\x1b[31mred"}, tenant="\x1b[2J"))
    assert "\x1b" not in "".join(told)
    assert "\\x1b[2J" in told[0]


@pytest.mark.parametrize(
    "told",
    [
        waiting(3),  # type: ignore[arg-type]  # of another release
        {"id": "a", "state": "parked", "attempts": "<b>many</b>"},
        {"id": "a", "state": "unknown", "dedupe_window_s": None},
        {"id": "a", "state": "unknown", "dedupe_window_s": 10**400},
    ],
)
def test_fields_of_other_types_leave_a_sentence_and_no_text_of_theirs(told: dict[str, Any]) -> None:
    said = lines(told)
    assert said
    assert told["state"].split("_")[0] in said[0]
    assert "<b>" not in "".join(said)


def test_the_template_is_named_where_the_request_names_one() -> None:
    assert "lane bulk (tenant acme, template welcome)" in lines(waiting(template="welcome"))[0]
    outcome = {
        "status": "completed",
        "at": "2026-12-01T12:00:00.000Z",
        "calls": 1,
        "model": "gpt-4",
        "template": "welcome",
    }
    answered = lines({"id": "x", "state": "answered", "outcome": outcome})
    assert "after 1 call to gpt-4, template welcome;" in answered[1]
