"""manage.py emails: the process beside the web workers. It requests what is still wanted, and stores outcomes.

A row stays `wanted` if its process died between its commit and Kafka's receipt, or if Kafka was away. This command
sends those rows every few seconds: the ids are the same, so a request that Kafka has already costs nothing.
"""

import signal
import threading
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import close_old_connections

from django_app.emails import expected, request, store
from django_app.models import Email
from headrace import HeadraceError, NotSubmitted, Outcome, SyncResultReader

GROUP = "django-app"
DEAD_LETTERS = "django-app.dead-letters"


class Command(BaseCommand):
    """Runs until SIGTERM; with `--once` until all outcomes that there are now have been stored."""

    help = "Request wanted e-mails and store outcomes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--once", action="store_true", help="end when the present outcomes are stored, as for cron")
        parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks for wanted e-mails")

    def handle(self, *_: object, once: bool, every: float, **__: Any) -> None:
        """Run both halves: the reader in this thread, the outbox in another one."""
        stopping = threading.Event()
        reader = SyncResultReader(group=GROUP, connection=settings.EMAILS_KAFKA, expected=expected, follow=not once)
        if once:
            self._send_wanted()
        sending = threading.Thread(target=self._send, args=(stopping, every), name="outbox", daemon=True)
        try:
            with reader as results:
                if not once:
                    for number in (signal.SIGTERM, signal.SIGINT):
                        signal.signal(number, lambda *_: results.stop())
                    sending.start()
                results.handle(_store, dead_letters=DEAD_LETTERS)
        except HeadraceError as reason:
            self.stderr.write(str(reason))
            raise SystemExit(reason.exit_code) from None
        finally:
            stopping.set()
            if sending.is_alive():
                sending.join()

    def _send(self, stopping: threading.Event, every_s: float) -> None:
        while not stopping.wait(every_s):
            close_old_connections()  # a long-lived process: the database may have closed its connection
            self._send_wanted()

    def _send_wanted(self) -> None:
        with suppress(NotSubmitted):  # Kafka is away: the next look sends them
            for email in Email.objects.filter(state=Email.State.WANTED).iterator():
                request(email)


def _store(outcome: Outcome) -> None:
    close_old_connections()
    store(outcome)
