"""An e-mail that is wanted, and what became of it. Rows are written before a request is sent: an outbox."""

from typing import ClassVar

from django.db import models


class Email(models.Model):
    """One row a lead."""

    class State(models.TextChoices):
        """`wanted`: not yet in Kafka, as far as this row knows."""

        WANTED = "wanted"
        REQUESTED = "requested"
        WRITTEN = "written"
        FAILED = "failed"

    lead = models.CharField(max_length=64, unique=True)
    contact = models.CharField(max_length=200)
    state = models.CharField(max_length=9, choices=State.choices, default=State.WANTED)
    run = models.IntegerField(default=-1)
    text = models.TextField(blank=True, default="")
    reason = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        """What the command looks for."""

        app_label = "django_app"
        indexes: ClassVar = [models.Index(fields=["state"], name="emails_by_state")]

    def __str__(self) -> str:
        return f"{self.lead}: {self.state}"
