"""Instants on the wire: ISO 8601 in UTC, milliseconds, `Z`."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema


def to_wire(instant: datetime) -> str:
    """Format as `2026-12-01T09:00:00.000Z`. `instant` must be aware."""
    if instant.tzinfo is None:
        raise ValueError("an instant on the wire needs a time zone")
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_wire(text: str) -> datetime:
    """Parse an ISO 8601 text with a time zone to an aware UTC instant.

    Raises:
        ValueError: Not ISO 8601, without a time zone, or outside the years 1 to 9999.
    """
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise ValueError("a time needs a time zone, like 2026-12-01T09:00:00Z")
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time lies in the years 1 to 9999") from None


def _instant(candidate: Any) -> datetime:
    if isinstance(candidate, datetime):
        candidate = candidate.isoformat()
    if not isinstance(candidate, str):
        raise ValueError("a time is a text like 2026-12-01T09:00:00Z")  # noqa: TRY004  # pydantic collects ValueErrors
    try:
        return from_wire(candidate)
    except ValueError:
        raise ValueError("a time is ISO 8601 with a time zone, like 2026-12-01T09:00:00Z") from None


Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    PlainSerializer(to_wire),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A pydantic field for an aware UTC instant, read from and written as wire text."""
