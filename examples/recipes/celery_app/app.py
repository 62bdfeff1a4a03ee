"""The Celery application. `celery -A celery_app.app worker` runs it, with the prefork pool or any other."""

import os

from celery import Celery, Task

from headrace import KafkaConnection


class Quiet(Task):
    """A task whose result is not logged: it is what the model wrote."""

    resultrepr_maxsize = 0


app = Celery("celery_app", include=["celery_app.tasks"], task_cls=Quiet)
app.conf.update(
    broker_url=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0"),
    result_backend=os.environ.get("CELERY_RESULT_BACKEND", "redis://localhost:6379/1"),
    # A task whose worker dies runs again. The request id makes that harmless: it joins its own first request.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    # Not Celery's: where tasks.py and the reader connect to; a broker in memory in a test.
    headrace_connection=KafkaConnection(os.environ.get("HEADRACE_KAFKA__BOOTSTRAP_SERVERS", "localhost:9092")),
    headrace_topic_prefix=os.environ.get("HEADRACE_KAFKA__TOPIC_PREFIX", "generation"),
)
