"""A request that left the dispatcher to come back: not an outcome. The retrier puts it back at `not_before`."""

import base64
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from headrace.schemas.instants import Instant


class FailureKind(StrEnum):
    """Cause of the failure. Readers treat an unknown kind like any other."""

    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    AUTH = "auth"
    NOT_THE_API = "not_the_api"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    UPSTREAM_ERROR = "upstream_error"
    BLOCKED = "blocked"


class OriginalHeader(BaseModel):
    """A header of the original record; its bytes are base64, since they may not be text."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    value: Base64Bytes


class RetryableFailure(BaseModel):
    """A parked request, with the cause and the end of its wait.

    Attributes:
        attempt: HTTP calls made so far; 0 if none was.
        failures: Those of them that count towards the maximum; throttled ones do not.
        key: The original record's key if it is text; `key_base64` holds one that is not.
        headers: The original record's headers.
        submitted_at: Kafka timestamp of the first submission.
        request: The request's JSON object, as it was taken.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    id: str
    run: int = 0
    kind: Annotated[FailureKind | str, Field(union_mode="left_to_right")]
    attempt: int
    failures: int = 0
    not_before: Instant
    message: str = ""
    error: dict[str, Any] | None = None
    lane: str
    key: str | None = None
    key_base64: str | None = None
    headers: tuple[OriginalHeader, ...] = ()
    submitted_at: Instant
    request: dict[str, Any]

    @property
    def original_key(self) -> bytes | None:
        """Key of the original record."""
        if self.key is not None:
            return self.key.encode()
        return None if self.key_base64 is None else base64.b64decode(self.key_base64)

    @property
    def original_headers(self) -> tuple[tuple[str, bytes], ...]:
        """Headers of the original record."""
        return tuple((header.name, header.value) for header in self.headers)


def key_fields(key: bytes | None) -> dict[str, str]:
    """Return `key` or `key_base64`, whichever can hold it; nothing for None."""
    if key is None:
        return {}
    try:
        return {"key": key.decode()}
    except UnicodeDecodeError:
        return {"key_base64": base64.b64encode(key).decode()}


def header_fields(headers: tuple[tuple[str, bytes], ...]) -> tuple[OriginalHeader, ...]:
    """Return the `headers` of a RetryableFailure."""
    return tuple(OriginalHeader(name=name, value=base64.b64encode(value or b"")) for name, value in headers)
