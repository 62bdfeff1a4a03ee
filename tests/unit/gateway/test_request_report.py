"""The leader's report as a client may see it."""

import re
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.gateway import request_report
from headrace.broker.gateway.request_report import public_report
from headrace.broker.service.status import request_status, wait_reasons

LIMIT = {"kind": "limit", "limit": "gpt-4o/org-secret", "needed": 900, "tenant": "globex"}


def report(**told: Any) -> dict[str, Any]:
    return public_report({"state": "waiting", **told})


def test_a_waiting_request_says_why_and_about_until_when() -> None:
    told = report(
        lane="bulk",
        model="gpt-4o",
        calls=2,
        deadline="2026-12-01T10:00:00Z",
        waits_for=[LIMIT, {"kind": "own_cap"}],
        estimated_start={"at": "2026-12-01T09:30:00Z", "by": "tokens"},
    )
    assert told == {
        "status": "queued",
        "lane": "bulk",
        "model": "gpt-4o",
        "attempts": 2,
        "deadline": "2026-12-01T10:00:00Z",
        "waits_for": ["tokens of its limit", "tokens below the account's own cap"],
        "estimated_start": "2026-12-01T09:30:00Z",
    }


def test_it_names_no_limit_and_no_other_tenant() -> None:
    told = str(report(waits_for=[LIMIT, {"kind": "tenants", "tenant": "globex"}, {"kind": "of-globex"}]))
    assert "globex" not in told
    assert "secret" not in told


def test_a_reason_of_two_limits_is_given_once() -> None:
    assert report(waits_for=[LIMIT, {"kind": "pace"}, LIMIT])["waits_for"] == [
        "tokens of its limit",
        "its turn at the rate that is possible",
    ]


def test_a_parked_request_starts_when_its_retry_is_due() -> None:
    told = report(state="parked", retry_at="2026-12-01T09:30:00Z")
    assert (told["status"], told["estimated_start"]) == ("queued", "2026-12-01T09:30:00Z")


@pytest.mark.parametrize("state", ["answered", "unknown", "of a later release", None, 7])
def test_another_state_is_none_of_a_request_under_way(state: object) -> None:
    assert report(state=state)["status"] == "unknown"


@pytest.mark.parametrize("odd", [None, 7, "limit", ["limit"]])
def test_a_report_of_another_form_is_no_error(odd: object) -> None:
    assert report(waits_for=odd, estimated_start=odd)["waits_for"] == []


def test_every_reason_and_state_of_the_dispatcher_has_a_word() -> None:
    """The dispatcher's words are literals in its two modules; a new one must not go unnoticed here."""
    found = "".join(Path(module.__file__ or "").read_text() for module in (wait_reasons, request_status))
    kinds = set(re.findall(r'"kind": "([a-z_]+)"', found))
    assert kinds == set(request_report.REASONS)
    states = set(re.findall(r'"state": "([a-z_]+)"', found)) | set(re.findall(r'state = "([a-z_]+)"', found))
    assert states == {*request_report.STATES, "answered", "unknown", "elsewhere"}


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"state": "waiting"}, "queued"),
        ({"state": "parked"}, "queued"),
        ({"state": "calling"}, "in_progress"),
        ({"state": "unknown", "lanes_without_room": [], "leads_for_s": 60.0}, "unknown"),
        ({"state": "unknown", "lanes_without_room": ["bulk"], "leads_for_s": 60.0}, "not_known"),
        ({"state": "unknown", "lanes_without_room": [], "leads_for_s": 1.5}, "not_known"),
        ({"state": "elsewhere"}, "not_known"),
        ({"state": "answered"}, "unknown"),
        ({"state": None}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_only_a_leader_that_has_read_its_lanes_can_say_that_a_request_is_not_there(
    told: dict[str, Any], status: str
) -> None:
    assert public_report(told)["status"] == status
