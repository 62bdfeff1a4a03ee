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
"""Status of a request that the leader would know if there were one."""
_NOT_KNOWN: Final = "not_known"
_NO_LEADER: Final = "a dispatcher that can be asked"
_NO_ROOM: Final = "room in the dispatcher's memory, if it is in a lane that has none"


def public_report(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a client's answer; `status` is `queued`, `in_progress`, `not_known` or `unknown`.

    The leader takes no record of a lane without room. So while there is such a lane, a request that the leader does not
    know may still be in Kafka: it is not known, not unknown.
    """
    state = told.get("state")
    if state == "elsewhere":
        return unasked_report()
    if state == "unknown" and told.get("lanes_without_room"):
        return _not_known(_NO_ROOM)
    status = STATES.get(state, UNKNOWN) if isinstance(state, str) else UNKNOWN
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


def unasked_report() -> dict[str, Any]:
    """Return the members while no leader answers: the request may be there."""
    return _not_known(_NO_LEADER)


def _not_known(waits_for: str) -> dict[str, Any]:
    return {"status": _NOT_KNOWN, "waits_for": [waits_for], "estimated_start": None}
