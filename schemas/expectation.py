"""What a sender knows of its request, held against an outcome or a chunk that names the same id.

An id is no secret and no property: two producers may choose the same one for different requests. One of them is
answered under it, so a reader that looks at the id alone may take another request's answer for its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from schemas.chunk import Chunk
from schemas.ids import request_digest
from schemas.outcome import Completed, Failed
from schemas.request import GenerationRequest

TENANT, ENDPOINT, BODY = "tenant", "endpoint", "body"


@dataclass(frozen=True, slots=True)
class Expectation:
    """The id of a request, and what is known of the request beside it.

    `request_digest` proves the rest: with it, a `tenant` of None is no tenant; without, an unknown one. The same holds
    for what it is compared with.
    """

    id: str
    tenant: str | None = None
    endpoint: str | None = None
    request_digest: str | None = None

    @classmethod
    def of(cls, request: GenerationRequest) -> Self:
        """All that can be known of a request, whose body is as JSON has it."""
        digest = request_digest(request.endpoint, request.body)
        return cls(request.id, request.tenant, request.endpoint, digest)

    def differences(self, told: Completed | Failed | Chunk) -> tuple[str, ...]:
        """Which of `tenant`, `endpoint` and `body` contradict; empty if nothing known does.

        The digest is of endpoint and body together, so of two endpoints the bodies are not compared.
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
        """Whether an outcome says that this very request has an id of another one."""
        submitted = outcome.submitted_id if isinstance(outcome, Failed) else None
        proven = None not in {self.request_digest, outcome.request_digest}
        return submitted == self.id and proven and not self.differences(outcome)

    def concerns(self, outcome: Completed | Failed) -> bool:
        """Whether an outcome is of this id, or says that this request has an id of another one."""
        return outcome.id == self.id or self.is_told_of_conflict(outcome)


Expected = Callable[[str], Expectation | None]
"""What is expected of an id; None: it is none of ours, and is not compared."""
