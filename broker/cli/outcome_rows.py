"""An outcome as a row of a table: end, id, lane, tenant, model, outcome, duration, tokens and cost; its text below."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from headrace.broker.amounts import spoken_id, spoken_s
from headrace.broker.cli.columns import Column, Cut, Line
from headrace.broker.cli.terminal import short
from headrace.schemas.money import MICRO_PER_USD, MICRO_USD_MAX
from headrace.schemas.outcome import Failed, Finish, Outcome
from headrace.schemas.unreadable import UNREADABLE, is_unreadable

COLUMNS: Final = (
    Column("ENDED (UTC)"),
    Column("ID", cut=Cut.LAST),
    Column("LANE", cut=Cut.FIRST),
    Column("TENANT", cut=Cut.FIRST, from_width=100),
    Column("MODEL", cut=Cut.FIRST),
    Column("OUTCOME"),
    Column("AFTER", right=True),
    Column("TOKENS", right=True, from_width=100),
    Column("COST", right=True, from_width=120),
)
_OUTCOME: Final = 5
_CHARS_MAX: Final = 128
_SENTENCE_CHARS_MAX: Final = 600
_TEXT_CHARS_MAX: Final = 100_000
_WELL, _FAILED, _CUT = "green", "bold red", "yellow"


def line_of(outcome: Outcome, *, text: bool, at: datetime | None = None) -> Line:
    """Return the row, `at` being the end; below it the reason of a failure, or with `text` what the model wrote."""
    ended, style, below = _end_of(outcome)
    if text and not isinstance(outcome, Failed):
        below = short(text_of(outcome.response) or "(no text)", _TEXT_CHARS_MAX)
    tokens = None if outcome.usage is None else outcome.usage.total_tokens
    cells = (
        _when(at),
        spoken_id(outcome.id, outcome.run),
        outcome.lane or "-",
        outcome.tenant or "-",
        outcome.model or "-",
        ended,
        _after(outcome),
        "-" if tokens is None else _number(tokens),
        _dollars(outcome),
    )
    return Line([short(cell, _CHARS_MAX) for cell in cells], below, _OUTCOME, style)


def _end_of(outcome: Outcome) -> tuple[str, str, str]:
    """Return the outcome in one word, the word's style, and the sentence below the row."""
    if is_unreadable(outcome):
        return UNREADABLE, _FAILED, short(outcome.message, _SENTENCE_CHARS_MAX)
    if isinstance(outcome, Failed):
        return "failed", _FAILED, short(f"{outcome.reason}: {outcome.message}", _SENTENCE_CHARS_MAX)
    if outcome.finish in {None, Finish.STOP}:
        return "completed", _WELL, ""
    return short(str(outcome.finish), 14), _CUT, ""


def _when(instant: datetime | None) -> str:
    return "-" if instant is None else f"{instant.astimezone(UTC):%m-%d %H:%M:%S}"


def seconds_of(outcome: Outcome) -> float | None:
    """Return the seconds from submission to the end; None if the outcome does not state both."""
    begun, ended = outcome.timings.submitted_at, outcome.timings.finished_at
    return None if begun is None or ended is None else max(0.0, (ended - begun).total_seconds())


def _after(outcome: Outcome) -> str:
    seconds = seconds_of(outcome)
    return "-" if seconds is None else spoken_s(seconds)


def _number(count: int) -> str:
    return f"{count:,}" if abs(count) < 10**12 else "many"


def _dollars(outcome: Outcome) -> str:
    """Return what the last call cost, to a millionth of a dollar; `-` where there is no price or no paid call."""
    micro_usd = None if outcome.cost is None else outcome.cost.micro_usd
    if micro_usd is None:
        return "-"
    return f"${micro_usd / MICRO_PER_USD:,.6f}" if 0 <= micro_usd <= MICRO_USD_MAX else "odd"


def text_of(response: Mapping[str, Any]) -> str:
    """Return what the model wrote: the text of the first choice, or of all messages of a response; else its refusal."""
    return "\n".join(_texts(response))


def _texts(response: Mapping[str, Any]) -> Iterator[str]:
    for choice in _listed(response.get("choices"))[:1]:
        message = choice.get("message")
        if isinstance(message, Mapping):
            yield from _words(message, "content", "refusal")
    for item in _listed(response.get("output")):
        for part in _listed(item.get("content")):
            yield from _words(part, "text", "refusal")


def _words(part: Mapping[str, Any], *names: str) -> Iterator[str]:
    yield from (part[name] for name in names if isinstance(part.get(name), str) and part[name])


def _listed(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []
