"""Numbers and time spans formatted for readers, and ids with their runs."""

from typing import Final

_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400
_KIBI: Final = 1_024


def spoken_s(seconds: float) -> str:
    """Format a time span: `0.4 s`, `12 s`, `4 min 10 s`, `3 h 12 min`, `2 d 4 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit_s, unit, smaller_s, smaller in (
        (_DAY_S, "d", _HOUR_S, "h"),
        (_HOUR_S, "h", _MINUTE_S, "min"),
        (_MINUTE_S, "min", 1, "s"),
    ):
        if whole >= unit_s:
            rest = whole % unit_s // smaller_s
            return f"{whole // unit_s} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def spoken_period(seconds: float) -> str:
    """Name the period of a limit: `minute`, `day`, `10 s`."""
    return {1: "second", _MINUTE_S: "minute", _HOUR_S: "hour", _DAY_S: "day"}.get(round(seconds), spoken_s(seconds))


def spoken_bytes(count: int) -> str:
    """Format a size: `512 B`, `64 KiB`, `5.0 MiB`."""
    if count < _KIBI:
        return f"{count} B"
    if count < _KIBI * _KIBI:
        return f"{count / _KIBI:.0f} KiB"
    return f"{count / _KIBI / _KIBI:.1f} MiB"


def counted(count: int, noun: str) -> str:
    """Format a count with its noun: `1 standby`, `2 standbys`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def spoken_id(request_id: str, run: int) -> str:
    """Name a request: `lead-1`, or `lead-1#2` for a later run."""
    return f"{request_id}#{run}" if run else request_id
