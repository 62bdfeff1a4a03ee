"""A service as others write it: a Flask app for gunicorn and a task for Celery, both with one client made at the top.

The client is used before anything forks, which is the worst that a service can do to it. `python -m
tests.compatibility.served FIRST COUNT` queues tasks.
"""

import os
import sys
from pathlib import Path
from typing import Any

import celery
import flask

from headrace import SyncGenerationClient

HOME = Path(os.environ["SERVED_HOME"])
DONE = HOME / "done"
"""One line for each task that came to its end."""

generations = SyncGenerationClient(os.environ["SERVED_KAFKA"], topic_prefix=os.environ["SERVED_PREFIX"])


def ask(request_id: str) -> str:
    """Wait for an answer, as a view or a task does."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"Write to {request_id}."}]}
    return generations.generate(body, lane="urgent", id=request_id, timeout_s=60).text


def lead(number: int) -> dict[str, Any]:
    """Answer a request of the web."""
    return {"text": ask(f"web-{number}"), "process": os.getpid()}


def write(number: int) -> None:
    """Do one task, and note that it was done, and where."""
    ask(f"task-{number}")
    descriptor = os.open(DONE, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"task-{number} {os.getpid()}\n".encode())
    os.close(descriptor)


web = flask.Flask(__name__)
web.add_url_rule("/leads/<int:number>", view_func=lead)

tasks = celery.Celery("served", broker=os.environ["SERVED_REDIS"])
tasks.conf.update(
    broker_transport_options={"global_keyprefix": f"{os.environ['SERVED_PREFIX']}:celery:"},
    worker_prefetch_multiplier=1,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    broker_connection_retry_on_startup=False,
)
write_later = tasks.task(name="write")(write)

if os.environ.get("SERVED_USE") == "before the fork":
    ask(f"before-{os.getpid()}")

if __name__ == "__main__":
    first, count = map(int, sys.argv[1:])
    for each in range(first, first + count):
        write_later.delay(each)
