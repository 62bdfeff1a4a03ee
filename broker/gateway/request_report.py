"""What a client learns of its request that has no outcome yet: where it is, why it waits, about until when. Pure.

The leader's report is for operators: it names limits, other tenants and their ids. A client gets the kinds of its
reasons, in words that name none of these.
"""

from collections.abc import Mapping
from typing import Any, Final

REASONS: Final[Mapping[str, str]] = {
    "leader": "the dispatcher, which starts no calls at the moment",
    "breaker": "OpenAI or the account, which refuses calls at the moment",
    "retry": "its next attempt",
    "order": "earlier requests with its ordering key",
    "tenant_cap": "its tenant's cap",
    "late": "requests of its lane that can still be in time",
    "lane": "its lane's turn",
    "tenants": "its tenant's turn",
    "places": "a free call",
    "memory": "answers that are being published",
    "first_answer": "the first answer of its limit",
    "cooldown": "the end of a pause that OpenAI asked for",
    "limit": "tokens of its limit",
    "own_cap": "tokens below the account's own cap",
    "pace": "its turn at the rate that is possible",
}
_OTHER: Final = "its turn"
STATES: Final[Mapping[str, str]] = {
    "waiting": "queued",
    "waiting_for_order": "queued",
    "waiting_for_retry": "queued",
    "joined": "queued",
    "parked": "queued",
    "calling": "in_progress",
    "settled": "in_progress",
}
UNKNOWN: Final = "unknown"
NOT_KNOWN: Final = "not_known"
_HAS_READ_AFTER_S: Final = 10.0
"""Time after which a new leader has read what its lanes have room for."""


def public_report(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a client's answer.

    `status` is `queued` or `in_progress`; `unknown` of a request that is not there, as far as the leader can tell;
    `not_known` while it may be there all the same, in a part of its lane that the leader has not read.
    """
    status = _status(told)
    if status == NOT_KNOWN:
        return not_known("its lane to be read")
    reasons = told.get("waits_for")
    kinds = [each.get("kind") for each in reasons if isinstance(each, Mapping)] if isinstance(reasons, list) else []
    estimate = told.get("estimated_start")
    return {
        "status": status,
        "lane": told.get("lane"),
        "model": told.get("model"),
        "attempts": told.get("calls"),
        "deadline": told.get("deadline"),
        "waits_for": [REASONS.get(str(kind), _OTHER) for kind in dict.fromkeys(kinds)],
        "estimated_start": estimate.get("at") if isinstance(estimate, Mapping) else told.get("retry_at"),
    }


def not_known(waits_for: str) -> dict[str, Any]:
    """Return the members for a request that may be there; `waits_for` says what keeps us from knowing."""
    return {"status": NOT_KNOWN, "waits_for": [waits_for], "estimated_start": None}


def _status(told: Mapping[str, Any]) -> str:
    state = told.get("state")
    if isinstance(state, str) and state in STATES:
        return STATES[state]
    if state == "elsewhere":  # the process that was asked leads no more
        return NOT_KNOWN
    leads_for_s = told.get("leads_for_s")
    is_new = isinstance(leads_for_s, int | float) and leads_for_s < _HAS_READ_AFTER_S
    return NOT_KNOWN if state == "unknown" and (told.get("lanes_without_room") or is_new) else UNKNOWN
