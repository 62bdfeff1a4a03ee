"""The tasks: one that waits for its answer, and a pair that does not.

`write_email` occupies a worker's slot until the answer has come. `request_email` ends as soon as Kafka has the request;
the reader (`python -m celery_app`) then starts `email_ended` with the result. Take the pair for more than a few
requests at once.
"""

from functools import cache
from typing import Any

from celery_app.app import app
from celery_app.emails import TENANT, body_of, request_id_of, result_of
from headrace import GenerationFailed, InvalidRequest, NotSubmitted, SyncGenerationClient, Unresolved

WAIT_S = 240.0
_RETRIED = {
    "autoretry_for": (NotSubmitted, Unresolved),  # Kafka is away, or the answer takes longer: the same id again is safe
    "dont_autoretry_for": (InvalidRequest,),  # it would be refused each time
    "retry_backoff": True,  # with jitter
    "retry_backoff_max": 60,
    "max_retries": 60,
}


@cache
def generations() -> SyncGenerationClient:
    """Return the client: one for all threads; each forked worker has its own connections."""
    return SyncGenerationClient(
        connection=app.conf.headrace_connection, topic_prefix=app.conf.headrace_topic_prefix, source="celery-app"
    )


@app.task(time_limit=WAIT_S + 60, **_RETRIED)
def write_email(lead_id: str, contact: str) -> dict[str, str | None]:
    """Wait for the e-mail, and return it or the reason why there is none."""
    try:
        outcome = generations().generate(
            body_of(contact), lane="urgent", tenant=TENANT, id=request_id_of(lead_id), timeout_s=WAIT_S
        )
    except GenerationFailed as failed:
        return result_of(failed.outcome)
    return result_of(outcome)


@app.task(**_RETRIED)
def request_email(lead_id: str, contact: str) -> None:
    """Request the e-mail; `email_ended` follows."""
    generations().submit(
        body_of(contact), lane="bulk", tenant=TENANT, id=request_id_of(lead_id), metadata={"lead": lead_id}
    )


@app.task
def email_ended(lead_id: str, run: int, result: dict[str, Any]) -> dict[str, Any]:
    """Do what your service does with a result, for example store it. Results of `write_email` come here as well.

    It may come twice: (lead, run) tells. A later run of the same lead, after a replay of a dead letter, replaces an
    earlier one.
    """
    return {"lead": lead_id, "run": run, **result}
