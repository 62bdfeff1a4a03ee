"""A piece of a streamed answer, best effort.

The outcome holds the answer of the attempt with a `final` chunk; chunks of other attempts are to be dropped.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Chunk(BaseModel):
    """One delta, numbered from 0 within (run, term, attempt).

    Attributes:
        attempt: As the outcome counts them in `attempts`.
        delta: `choices` of a chat completion's chunk, or an event of a response; adjacent ones are merged.
        head: What OpenAI said beside deltas since the chunk before: of a chat completion, the members of its first
            chunk beside `choices`, such as `id` and `model`; of a response, the `response` of its first event without
            what it repeats of the request, and `items`, the output items opened, each with its `output_index`. Absent
            where there is nothing of the kind, and in chunks of older releases.
        tenant, endpoint, request_digest: As in the outcome: they identify the request.
        final: Whether it is the last chunk of a complete answer; its delta may be null.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    id: str
    term: int
    attempt: int
    seq: int
    delta: Any = None
    head: dict[str, Any] | None = None
    final: bool = False
    run: int = 0
    tenant: str | None = None
    endpoint: str | None = None
    request_digest: str | None = None
