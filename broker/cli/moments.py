"""Parser for instants as they are given on the command line."""

import re
from datetime import UTC, datetime, timedelta

import typer

from headrace.schemas.instants import from_wire
from headrace.schemas.nearest import shown

_SPAN = re.compile(r"(\d{1,9})([smhd])")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(text: str, *, also: str = "") -> datetime:
    """Return the instant: a span before now such as `15m`, or ISO 8601 with a time zone; never before 1970.

    Raises:
        typer.BadParameter: The text is neither; `also` names the words that the caller accepts besides.
    """
    when = span_or_instant(text, also=also)
    return max(_EPOCH, datetime.now(UTC) - when) if isinstance(when, timedelta) else when


def span_or_instant(text: str, *, also: str = "") -> timedelta | datetime:
    """Return a span as a span and an instant as an instant. Raises as `moment`."""
    try:
        if span := _SPAN.fullmatch(text):
            length = timedelta(**{_UNITS[span[2]]: int(span[1])})
            datetime.now(UTC) - length  # refuses a span that leads out of the calendar
            return length
        return max(_EPOCH, from_wire(text))
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{shown(text)} is not a time: use {also}a span such as 15m or 2h, or 2026-12-01T09:00:00Z"
        ) from None
