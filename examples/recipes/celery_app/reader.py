"""The reader: turns each outcome of the service's requests into a Celery task. It ends at SIGTERM.

An outcome counts as handled once Celery's broker has the task. While that broker is away, the outcome is tried again
for some minutes; then the reader ends, and its supervisor starts it anew: nothing is lost meanwhile.
"""

from celery_app.app import app
from celery_app.emails import expected, lead_of, result_of
from celery_app.tasks import email_ended
from headrace import Outcome, SyncResultReader

GROUP = "celery-app"


def reader(*, follow: bool = True) -> SyncResultReader:
    """Return the reader; `stop` ends it. One that does not follow ends at the outcomes that there are now."""
    return SyncResultReader(
        group=GROUP,
        connection=app.conf.headrace_connection,
        topic_prefix=app.conf.headrace_topic_prefix,
        expected=expected,
        follow=follow,
    )


def hand_over(results: SyncResultReader) -> None:
    """Start a task for each outcome, until the reader ends."""
    results.handle(start_task, dead_letters=None, attempts_max=20)


def start_task(outcome: Outcome) -> None:
    """Start the task of an outcome; its id is made of (id, run), so that repeats can be told."""
    lead_id = lead_of(outcome.id)
    if lead_id is not None:  # every group sees all outcomes
        arguments = (lead_id, outcome.run, result_of(outcome))
        shown = repr(arguments[:2])  # in logs and events, in place of what the model wrote
        email_ended.apply_async(arguments, task_id=f"{outcome.id}.{outcome.run}", argsrepr=shown)
