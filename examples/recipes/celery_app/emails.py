"""A lead, the request for it, and what an outcome makes of it."""

from typing import Any

from headrace import Completed, Outcome
from headrace.schemas.expectation import Expectation

TENANT = "celery-emails"
_PREFIX = "celery-emails-v1/"  # another prompt is another version: the same id with another body would be a conflict


def request_id_of(lead_id: str) -> str:
    """Return the id of the request for a lead: the same in each run of a task, so that a retry costs nothing."""
    return f"{_PREFIX}{lead_id}"


def lead_of(request_id: str) -> str | None:
    """Return the lead of a request; None if another service made it."""
    return request_id.removeprefix(_PREFIX) if request_id.startswith(_PREFIX) else None


def body_of(contact: str) -> dict[str, Any]:
    """Return the JSON body of the call to OpenAI."""
    content = f"Write a first e-mail to {contact}."
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}], "max_tokens": 300}


def expected(request_id: str) -> Expectation | None:
    """Return what an outcome must match to be one of ours; None for ids of other services."""
    return None if lead_of(request_id) is None else Expectation(request_id, tenant=TENANT)


def result_of(outcome: Outcome) -> dict[str, str | None]:
    """Return the e-mail, or the reason why there is none. An answer that was cut short is no e-mail."""
    if not isinstance(outcome, Completed):
        return {"text": None, "reason": str(outcome.reason)}
    if outcome.finish != "stop":
        return {"text": None, "reason": str(outcome.finish)}
    return {"text": outcome.response["choices"][0]["message"]["content"], "reason": None}
