"""What views and commands share: the client, requests for rows, and rows from outcomes."""

from functools import cache
from typing import Any

from django.conf import settings

from django_app.models import Email
from headrace import Completed, GenerationFailed, Outcome, SyncGenerationClient, Unresolved
from headrace.schemas.expectation import Expectation
from headrace.schemas.outcome import sent_as

TENANT = "django-emails"
SUBMIT_S = 5.0
_PREFIX = "django-emails-v1/"  # another prompt is another version: the same id with another body would be a conflict


@cache
def generations() -> SyncGenerationClient:
    """Return the client: one for all threads of a process; a worker that was forked has connections of its own."""
    return SyncGenerationClient(connection=settings.EMAILS_KAFKA, source="django-app")


def request(email: Email) -> None:
    """Send the request of a row. Sending it twice is safe: the id is made of the lead.

    Raises:
        NotSubmitted: Kafka did not take it in time.
    """
    generations().submit(_body(email), lane="standard", tenant=TENANT, id=_id(email), timeout_s=SUBMIT_S)
    Email.objects.filter(pk=email.pk, state=Email.State.WANTED).update(state=Email.State.REQUESTED)


def wait(email: Email, *, wait_s: float) -> None:
    """Send the request of a row, and store its outcome if it comes in time; otherwise the collector does.

    Raises:
        NotSubmitted, IdConflict: As `SyncGenerationClient.generate`.
    """
    try:
        done = generations().generate(_body(email), lane="urgent", tenant=TENANT, id=_id(email), timeout_s=wait_s)
    except GenerationFailed as failed:
        store(failed.outcome)
    except Unresolved:
        Email.objects.filter(pk=email.pk, state=Email.State.WANTED).update(state=Email.State.REQUESTED)
    else:
        store(done)


def store(outcome: Outcome) -> None:
    """Store an outcome, unless the same or a later run of the lead is stored: each may come twice."""
    request_id = sent_as(outcome)
    if not request_id.startswith(_PREFIX):  # another service's: every group sees all outcomes
        return
    text = reason = ""
    if not isinstance(outcome, Completed):
        reason = str(outcome.reason)
    elif outcome.finish != "stop":  # an answer that was cut short is no e-mail
        reason = str(outcome.finish)
    else:
        text = outcome.response["choices"][0]["message"]["content"]
    state = Email.State.FAILED if reason else Email.State.WRITTEN
    rows = Email.objects.filter(lead=request_id.removeprefix(_PREFIX), run__lt=outcome.run)
    rows.update(state=state, run=outcome.run, text=text, reason=reason)


def expected(request_id: str) -> Expectation | None:
    """Return what an outcome must match to be one of ours; None for ids of other services."""
    return Expectation(request_id, tenant=TENANT) if request_id.startswith(_PREFIX) else None


def _id(email: Email) -> str:
    return f"{_PREFIX}{email.lead}"


def _body(email: Email) -> dict[str, Any]:
    content = f"Write a first e-mail to {email.contact}."
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}], "max_tokens": 300}
