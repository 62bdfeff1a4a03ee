"""A sender's knowledge of its request, compared with outcomes and chunks of the same id.

Ids are chosen by producers, so two of them may choose the same one for different requests. One of these is answered
under it, so a reader that looks at the id alone may take another request's answer for its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from headrace.schemas.chunk import Chunk
from headrace.schemas.ids import request_digest
from headrace.schemas.outcome import Completed, Failed
from headrace.schemas.request import GenerationRequest

TENANT, ENDPOINT, BODY = "tenant", "endpoint", "body"


@dataclass(frozen=True, slots=True)
class Expectation:
    """The id of a request, and other known properties of it; None: not known.

    With a `request_digest`, a `tenant` of None means that the request has no tenant; without one, that its tenant is
    not known. The same holds for outcomes and chunks.
    """

    id: str
    tenant: str | None = None
    endpoint: str | None = None
    request_digest: str | None = None

    @classmethod
    def of(cls, request: GenerationRequest) -> Self:
        """Take all properties that outcomes state; the body must be as read from JSON (lists, no tuples)."""
        digest = request_digest(request.endpoint, request.body)
        return cls(request.id, request.tenant, request.endpoint, digest)

    def differences(self, told: Completed | Failed | Chunk) -> tuple[str, ...]:
        """Name those of `tenant`, `endpoint` and `body` that differ, as far as both sides state them; empty: none.

        The digest covers endpoint and body together, so if the endpoints differ the bodies are not compared.
        """
        found = []
        mine, its = self.request_digest, told.request_digest
        comparable = (mine or self.tenant) is not None and (its or told.tenant) is not None
        if comparable and self.tenant != told.tenant:
            found.append(TENANT)
        if None not in {self.endpoint, told.endpoint} and self.endpoint != told.endpoint:
            found.append(ENDPOINT)
        elif None not in {mine, its} and mine != its:
            found.append(BODY)
        return tuple(found)

    def is_told_of_conflict(self, outcome: Completed | Failed) -> bool:
        """Whether an outcome says that the id of exactly this request belongs to another one."""
        submitted = outcome.submitted_id if isinstance(outcome, Failed) else None
        proven = None not in {self.request_digest, outcome.request_digest}
        return submitted == self.id and proven and not self.differences(outcome)

    def concerns(self, outcome: Completed | Failed) -> bool:
        """Whether an outcome has this id, or says that the id of exactly this request belongs to another one."""
        return outcome.id == self.id or self.is_told_of_conflict(outcome)


Expected = Callable[[str], Expectation | None]
"""Looks up what is expected of an id; None: nothing is, and its outcomes are not compared."""
