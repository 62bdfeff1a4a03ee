"""What options of `headrace gateway key` may hold."""

from datetime import UTC, date, datetime, time, timedelta

import typer

from headrace.broker.cli.moments import span_or_instant
from headrace.broker.gateway.ids import TENANT_LENGTH_MAX, is_tenant_name
from headrace.broker.gateway.keys.key_text import may_be_secret
from headrace.broker.gateway.keys.table import NAME_CHARS_MAX, is_key_name
from headrace.schemas.topics import LANE_NAME


def checked_name(name: str) -> str:
    """Return the name of a key, unless it is none, or looks like a key in clear text. Raises typer.BadParameter."""
    if may_be_secret(name):
        raise typer.BadParameter("NAME looks like a key: give a name for people, such as lead-ingest")
    if not is_key_name(name):
        allowed = f"1 to {NAME_CHARS_MAX} letters, digits, dots, underscores and hyphens"
        raise typer.BadParameter(f"The name of a key is {allowed}")
    return name


def checked_tenant(tenant: str) -> str:
    """Return the name of a tenant that ids may begin with. Raises typer.BadParameter."""
    if not is_tenant_name(tenant):
        allowed = f"1 to {TENANT_LENGTH_MAX} letters, digits, dots, underscores and hyphens"
        raise typer.BadParameter(f"The name of a tenant is {allowed}")
    return tenant


def checked_lane(lane: str) -> str:
    """Return the name of a lane, which need not exist yet. Raises typer.BadParameter."""
    if not LANE_NAME.fullmatch(lane):
        raise typer.BadParameter("The name of a lane is 1 to 32 lower-case letters, digits, - and _")
    return lane


def checked_label(text: str, option: str) -> str:
    """Return a text that the key file can have as it is. Raises typer.BadParameter."""
    if not text.strip() or not text.isprintable():
        raise typer.BadParameter(f"{option} must be printable text")
    return text


def last_instant(text: str | None) -> datetime | None:
    """Read the last instant of a key: a day to its end, an instant, or a span from now. Raises typer.BadParameter."""
    if text is None:
        return None
    now = datetime.now(UTC)
    try:
        until = datetime.combine(date.fromisoformat(text), time(23, 59, 59), UTC)
    except ValueError:
        given = span_or_instant(text, also="a day such as 2027-01-31, ")
        try:
            until = now + given if isinstance(given, timedelta) else given
        except OverflowError:
            raise typer.BadParameter("--not-after lies beyond the calendar") from None
    if until <= now:
        raise typer.BadParameter("--not-after has passed: the key would be refused at once")
    return until.replace(microsecond=0)
