"""Payloads of tickets: the record as it was taken, the request in it, and the answer once it has come.

The core knows tickets and never prompts; here the prompts are, from Taken until Forget.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from headrace.broker.core.ticket import Source, TicketNumber
from headrace.broker.ports import UpstreamReply
from headrace.broker.service.tracing.request_trace import RequestTrace
from headrace.schemas.control import Cancel
from headrace.schemas.outcome import Cost, Finish, Usage
from headrace.schemas.record import Record
from headrace.schemas.request_codec import DecodedRequest, Undecodable

Content = DecodedRequest | Undecodable | Cancel
"""Decoded content of a record."""


@dataclass(slots=True)
class Payload:
    """One record and its progress so far; instants are aware UTC, `*_ms` are loop time.

    `response_facts` is what to report of the last answer if OpenAI's API did not write it
    (`headrace.broker.service.calls.foreign_server`). `answer_mark` is the mark of its id
    (`headrace.broker.core.pricing.references`). `paid` says that the last call is billed, since it was answered;
    `usage`, `tier_served` and `model_served`, the model that the answer names, are of that call; `cost` is what its
    outcome says that it cost.
    """

    source: Source
    topic: str
    record: Record
    content: Content | None
    submitted_at: datetime
    taken_at: datetime
    taken_ms: int
    limit: str = ""
    charge: int = 0
    calls: int = 0
    called_at: datetime | None = None
    called_ms: int | None = None
    finished_at: datetime | None = None
    finished_ms: int | None = None
    reply: UpstreamReply | None = None
    response: Mapping[str, object] | bytes | None = None
    error: dict[str, object] | None = None
    response_facts: dict[str, str] | None = None
    usage: Usage | None = None
    answer_mark: bytes = b""
    finish: Finish | None = None
    tier_served: str = ""
    model_served: str = ""
    paid: bool = False
    cost: Cost | None = None
    upstream_request_id: str | None = None
    trace: RequestTrace | None = None

    def forget_bill(self) -> None:
        """Forget what an earlier answer said of its bill."""
        self.paid, self.usage, self.tier_served, self.model_served, self.cost = False, None, "", "", None

    def answer(self) -> dict[str, object]:
        """Return OpenAI's answer; large answers wait as JSON."""
        return json.loads(self.response) if isinstance(self.response, bytes) else dict(self.response or {})


@dataclass(slots=True)
class PayloadStore:
    """Payloads by ticket. Ticket numbers are handed out here, in the order in which records are taken."""

    cargo: dict[TicketNumber, Payload] = field(default_factory=dict)
    _last: int = 0

    def put(self, cargo: Payload) -> TicketNumber:
        """Keep a record; return its ticket's number."""
        self._last += 1
        number = TicketNumber(self._last)
        self.cargo[number] = cargo
        return number

    def __getitem__(self, number: TicketNumber) -> Payload:
        return self.cargo[number]

    def get(self, number: TicketNumber) -> Payload | None:
        """Return the payload of a ticket, or None if it was dropped."""
        return self.cargo.get(number)

    def drop(self, number: TicketNumber) -> Payload | None:
        """Drop and return the payload of a ticket."""
        return self.cargo.pop(number, None)
