"""What the service sells: a lead, the request for it, and what an outcome makes of it."""

from pydantic import BaseModel, Field

from headrace import Completed, Outcome
from headrace.schemas.expectation import Expectation

TENANT = "emails"
_PREFIX = "emails-v1/"  # another prompt is another version: the same id with another body would be a conflict


class Lead(BaseModel):
    """What a client sends."""

    id: str = Field(pattern=r"^[\w.-]{1,64}$")
    company: str = Field(max_length=200)
    contact: str = Field(max_length=200)


def request_id_of(lead_id: str) -> str:
    """Return the id of the request for a lead: always the same, so that repeating it costs nothing."""
    return f"{_PREFIX}{lead_id}"


def body_of(lead: Lead) -> dict[str, object]:
    """Return the JSON body of the call to OpenAI."""
    content = f"Write a first e-mail to {lead.contact} of {lead.company}."
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}], "max_tokens": 300}


def expected(request_id: str) -> Expectation | None:
    """Return what an outcome must match to be one of ours; None for ids of other services."""
    return Expectation(request_id, tenant=TENANT) if request_id.startswith(_PREFIX) else None


def result_of(outcome: Outcome) -> tuple[str | None, str | None]:
    """Return the e-mail, or the reason why there is none. An answer that was cut short is no e-mail."""
    if not isinstance(outcome, Completed):
        return None, str(outcome.reason)
    if outcome.finish != "stop":
        return None, str(outcome.finish)
    return outcome.response["choices"][0]["message"]["content"], None
