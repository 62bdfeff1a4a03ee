"""Tests of views and command with SQLite, on the real dispatcher in memory."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["testserver"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(Path(tempfile.mkdtemp(prefix="django-app-")) / "emails.db"),
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    EMAILS_KAFKA=None,
    INSTALLED_APPS=["django_app"],
    ROOT_URLCONF="django_app.urls",
    USE_TZ=True,
)
django.setup()

from django.core.management import call_command  # noqa: E402  # Django's modules need its settings
from django.test import Client  # noqa: E402
from django.test.utils import override_settings  # noqa: E402

from django_app.emails import generations, store  # noqa: E402
from django_app.management.commands.emails import DEAD_LETTERS  # noqa: E402
from django_app.models import Email  # noqa: E402
from headrace import Completed, SyncGenerationClient  # noqa: E402
from headrace.broker.testing import Answer, Asked, Said, SyncMemoryBroker  # noqa: E402

REFUSAL = Said(400, {"error": {"message": "Invalid prompt", "code": "invalid_prompt", "type": "x"}})


@pytest.fixture(autouse=True)
def _tables() -> Iterator[None]:
    call_command("migrate", run_syncdb=True, verbosity=0)
    yield
    Email.objects.all().delete()


@contextmanager
def django_on(answer: Callable[[Asked], Answer] | None = None) -> Iterator[SyncMemoryBroker]:
    topics = (DEAD_LETTERS,)
    with SyncMemoryBroker(answer, topics=topics) as broker, override_settings(EMAILS_KAFKA=broker.connection):
        generations.cache_clear()
        yield broker
        generations().close()


def want(lead: str = "17", contact: str = "Ada", *, wait: bool = False) -> Any:
    return Client().post(f"/emails/{lead}/want{'?wait=1' if wait else ''}", {"contact": contact})


def wait_for(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.005)  # a poll: the reader works in a thread of its own, and gives no notice


def test_a_view_that_waits_answers_with_the_email() -> None:
    with django_on(lambda _asked: "Dear Ada"):
        answer = want(wait=True)
    assert (answer.status_code, answer.json()["text"]) == (200, "Dear Ada")


def test_what_is_wanted_is_requested_after_the_commit_and_stored_by_the_command() -> None:
    with django_on(lambda _asked: "Dear Ada") as broker:
        answer = want()
        assert (answer.status_code, answer.json()["state"]) == (202, "requested")
        wait_for(lambda: len(broker.outcomes) == 1)
        call_command("emails", once=True)
        found = Client().get("/emails/17")
    assert (found.status_code, found.json()["text"]) == (200, "Dear Ada")


def test_however_often_it_is_wanted_it_is_called_once() -> None:
    with django_on(lambda _asked: "Dear Ada") as broker:
        want()
        want(wait=True)
        want()
        assert want(wait=True).json()["text"] == "Dear Ada"
        assert want(contact="Bob").status_code == 409
        assert len(broker.calls) == 1


def test_a_process_that_died_before_it_sent_the_request_is_made_up_for_by_the_command() -> None:
    with django_on(lambda _asked: "Dear Ada") as broker:
        Email.objects.create(lead="17", contact="Ada")  # committed, and then nothing
        call_command("emails", once=True)
        wait_for(lambda: len(broker.outcomes) == 1)
        call_command("emails", once=True)
        assert Email.objects.get(lead="17").text == "Dear Ada"
        assert len(broker.calls) == 1


def test_a_request_that_fails_says_why() -> None:
    with django_on(lambda _asked: REFUSAL) as broker:
        assert want(wait=True).json()["reason"] == "rejected"
        want("18")
        wait_for(lambda: len(broker.outcomes) == 2)
        call_command("emails", once=True)
        assert Email.objects.get(lead="18").state == "failed"


def test_an_earlier_run_does_not_replace_a_later_one() -> None:
    Email.objects.create(lead="17", contact="Ada", state="failed", reason="rejected", run=0)
    done = {"choices": [{"message": {"content": "Dear Ada"}, "finish_reason": "stop"}]}
    for run, text in ((1, "Dear Ada"), (0, "Dear Ada"), (1, "Dear Ada")):
        store(Completed(id="django-emails-v1/17", run=run, response=done, finish="stop"))
        assert Email.objects.get(lead="17").text == text


def test_an_outcome_of_another_service_with_our_id_is_not_stored() -> None:
    with django_on(lambda _asked: "Dear Ada") as broker, SyncGenerationClient(connection=broker.connection) as others:
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
        others.generate(body, lane="urgent", tenant="acme", id="django-emails-v1/17")
        Email.objects.create(lead="17", contact="Ada", state="requested")
        call_command("emails", once=True)
        assert Email.objects.get(lead="17").state == "requested"


def test_what_is_no_lead_is_refused() -> None:
    with django_on() as broker:
        assert want("x" * 65).status_code == 422
        assert want(contact="").status_code == 422
        assert Client().get("/emails/99").status_code == 404
        assert broker.calls == []
