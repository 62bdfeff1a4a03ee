from typing import Any

import pytest

from headrace.broker.gateway.whereabouts import public_report


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


def test_a_client_is_told_kinds_of_reasons_and_nothing_of_others() -> None:
    told = {
        "state": "waiting",
        "lane": "bulk",
        "waits_for": [{"kind": "tenant_cap", "tenant": "globex"}, {"kind": "new"}, {"kind": "new"}],
        "estimated_start": {"at": "2026-12-01T09:00:00Z"},
    }
    report = public_report(told)
    assert report["waits_for"] == ["its tenant's cap", "its turn"]
    assert report["estimated_start"] == "2026-12-01T09:00:00Z"
    assert "globex" not in str(report)
