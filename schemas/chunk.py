"""A piece of a streamed answer, best effort.

The outcome names the term and attempt whose chunks count; those of other attempts are to be forgotten.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Chunk(BaseModel):
    """One delta, numbered from 0 within (term, attempt). `final` marks the last one, whose delta may be null."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: str
    term: int
    attempt: int
    seq: int
    delta: Any = None
    final: bool = False
