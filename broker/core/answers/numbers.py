"""Parsers for numbers, durations and dates as servers write them; the results are integers.

Go durations in headers and messages, counts with or without commas, decimals, spans in words, HTTP dates, RFC 3339,
seconds and milliseconds since 1970. Every function takes text, returns a whole number, and expects malformed input:
unreadable text yields None, nothing raises, and no number is read from more characters than it needs, since Python
refuses to convert thousands of digits. Integers throughout: a float would round a wait to before its end.
"""

import re
from typing import Final

DURATION_CHARS_MAX: Final = 64
COUNT_DIGITS_MAX: Final = 15

_NANOSECONDS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,  # Go writes either of the two Unicode letters
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # noqa: SIM905  # reads as words

_COUNT: Final = re.compile(r"[0-9]{1,15}|[0-9]{1,3}(?:,[0-9]{3}){1,4}")
_DECIMAL: Final = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,12}))?")
_USUAL_DURATION: Final = re.compile(r"([0-9]{1,12})ms|([0-9]{1,12})(?:\.([0-9]{1,3}))?s")
_DURATION: Final = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,12})?(?:ns|us|[µμ]s|ms|s|m|h))+")
_DURATION_PART: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?([a-zµμ]+)")
_SPOKEN_MS: Final = {"ms": 1, "mi": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SPOKEN: Final = (
    r"[0-9]{1,12}(?:\.[0-9]{1,12})? ?"
    r"(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z0-9])(?!\.[0-9])"
)
SPAN: Final = rf"{_SPOKEN}(?:,? (?:and )?{_SPOKEN}){{0,3}}"
"""Expression of a span in words: `23 seconds`, `1 hour and 5 minutes`, `7m 12s`; any case."""
_SPAN: Final = re.compile(SPAN, re.IGNORECASE)
_SPAN_PART: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))? ?(ms|mi(?=l)|[smhd])", re.IGNORECASE)
INSTANT: Final = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]| ?UTC|[+-][0-9]{2}:?[0-9]{2})"
)
"""Expression of an instant of RFC 3339, or of one in UTC that is written with blanks."""
_INSTANT: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]| ?UTC|([+-][0-9]{2}):?([0-9]{2}))"
)
_EPOCH: Final = re.compile(r"([0-9]{10})(?:\.([0-9]{1,12}))?|([0-9]{13})")
_HTTP_DATE: Final = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-3][0-9]) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)


def parse_count(text: str) -> int | None:
    """Return a whole number, with or without commas (`30,000`); None if it is not one."""
    if text.isdigit() and text.isascii() and len(text) <= COUNT_DIGITS_MAX:
        return int(text)  # the usual form
    return int(text.replace(",", "")) if _COUNT.fullmatch(text) else None


def parse_duration_ms(text: str) -> int | None:
    """Return a Go duration (`6ms`, `1m0.198s`, `83h10m39.057s`) in ms, rounded up; None if it is not one."""
    text = text.strip()
    if text == "0":
        return 0  # the only bare number that means the same in every unit
    if (usual := _USUAL_DURATION.fullmatch(text)) is not None:
        milliseconds, seconds, fraction = usual.groups()
        return int(milliseconds or seconds + (fraction or "").ljust(3, "0"))
    if len(text) > DURATION_CHARS_MAX or not _DURATION.fullmatch(text):
        return None
    nanoseconds = sum(
        _scaled(whole, fraction, _NANOSECONDS[unit]) for whole, fraction, unit in _DURATION_PART.findall(text)
    )
    return -(-nanoseconds // 1_000_000)


def parse_decimal_ms(text: str, unit_ms: int) -> int | None:
    """Return a bare decimal of that unit in milliseconds, rounded up; None if it is not one."""
    match = _DECIMAL.fullmatch(text)
    return -(-_scaled(match[1], match[2], unit_ms * 1_000_000) // 1_000_000) if match else None


def http_date_s(text: str) -> int | None:
    """Return the seconds since 1970 of `Wed, 21 Oct 2026 07:28:00 GMT`; None if it is not such a date."""
    match = _HTTP_DATE.fullmatch(text)
    if match is None or match[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(match[group]) for group in (1, 3, 4, 5, 6))
    return ((_days(year, _MONTHS.index(match[2]) + 1, day) * 24 + hour) * 60 + minute) * 60 + second


def parse_span_ms(text: str) -> int | None:
    """Return a span in words (`23 seconds`, `1 hour and 5 minutes`, `7m 12s`) in ms, rounded up; None if it is none."""
    if len(text) > DURATION_CHARS_MAX or not _SPAN.fullmatch(text):
        return None
    nanoseconds = sum(
        _scaled(whole, fraction, _SPOKEN_MS[unit.lower()] * 1_000_000)
        for whole, fraction, unit in _SPAN_PART.findall(text)
    )
    return -(-nanoseconds // 1_000_000)


def instant_ms(text: str) -> int | None:
    """Return the ms since 1970 of an instant; None if it is not one.

    The forms are RFC 3339, an HTTP date, and the seconds or milliseconds themselves, told apart by their ten or
    thirteen digits.
    """
    if (epoch := _EPOCH.fullmatch(text)) is not None:
        return int(epoch[3]) if epoch[3] else -(-_scaled(epoch[1], epoch[2], 1_000_000_000) // 1_000_000)
    match = _INSTANT.fullmatch(text)
    if match is None:
        date_s = http_date_s(text)
        return None if date_s is None else date_s * 1_000
    year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
    if not 1 <= month <= 12:
        return None
    ahead_min = int(match[8] or 0) * 60 + int((match[8] or "+")[0] + (match[9] or "0"))
    seconds = ((_days(year, month, day) * 24 + hour) * 60 + minute - ahead_min) * 60 + second
    return seconds * 1_000 + _scaled("0", match[7], 1_000)


def until_ms(text: str, now: str) -> int | None:
    """Return the time from `now`, an HTTP date, to an instant; 0 if it has passed, None if either is unreadable."""
    at_ms, now_s = instant_ms(text), http_date_s(now)
    return None if at_ms is None or now_s is None else max(0, at_ms - now_s * 1_000)


def _days(year: int, month: int, day: int) -> int:
    """Return the days since 1970 in the Gregorian calendar; years start in March so that leap days come last."""
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    return year * 365 + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 719_469


def _scaled(whole: str, fraction: str | None, unit: int) -> int:
    """Return `whole.fraction` times an integer unit, without floats."""
    return int(whole) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
