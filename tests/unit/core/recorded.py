"""What OpenAI and servers like it really said, and the tables of what each line became.

The tables are committed for a person to review: a change of one of their lines is a change of what Headrace does.
`python -m tests.unit.core.recorded` writes them anew; the tests compare.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from headrace.broker.cli.explain.answers import answers_in
from headrace.broker.cli.explain.pieces import pieces
from headrace.broker.core.answers.rate_limit_headers import Reading, SideReading
from headrace.broker.core.answers.verdict import Answer, Verdict, judge

DATA = Path(__file__).parent / "data"
VERDICTS = DATA / "verdicts_of_errors.md"
LIMITS = DATA / "limits_of_headers.md"
OTHERS = DATA / "verdicts_of_others.md"
_PERIODS = {
    1_000: "second",
    60_000: "minute",
    3_600_000: "hour",
    86_400_000: "day",
    604_800_000: "week",
    2_592_000_000: "30 days",
}
_OPENING = 58
_LIMIT_HEAD = ["limit", "metric", "period", "capacity", "used", "requested"]
_ERROR_HEAD = ["line", "status", "code", "verdict", "whose", "wait_ms", *_LIMIT_HEAD]


def rows(name: str) -> list[dict[str, Any]]:
    """The objects of a recorded file, one a line."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def errors() -> list[dict[str, Any]]:
    return rows("openai_error_messages.jsonl")


def header_sets() -> list[dict[str, Any]]:
    return rows("openai_ratelimit_headers.jsonl")


def others() -> list[dict[str, Any]]:
    """Answers of other servers, each with what its collector expects of it."""
    return [*rows("other_servers.jsonl"), *rows("recorded_elsewhere.jsonl")]


def others_answer(row: dict[str, Any]) -> Answer:
    """The answer of another server, by the way that `headrace explain` reads what a person has copied."""
    text = row["input"] if isinstance(row["input"], str) else json.dumps(row["input"])
    return next(answer for piece in pieces([text.strip().encode()]) for answer in answers_in(piece.text))


def answer_of(row: dict[str, Any]) -> Answer:
    """The answer as the door would hand it over; what its collector read from it stays out."""
    return Answer(row["status"], {}, row["code"], row["type"], row.get("param"), row["message"])


def verdicts_table() -> str:
    """Every recorded error, and what it became."""
    title = "Every line of openai_error_messages.jsonl, and its verdict."
    return _table(title, [*_ERROR_HEAD, "message"], map(_error, enumerate(errors(), 1)))


def limits_table() -> str:
    """Every recorded set of headers, and what it tells of limits, levels and periods."""
    title = "Every line of openai_ratelimit_headers.jsonl: what remains, of what, in which period, and when it is full."
    head = ["line", "status", "model", "tokens", "requests", "beside"]
    return _table(title, head, map(_headers, enumerate(header_sets(), 1)))


def others_table() -> str:
    """Every recorded answer of another server, and what it became."""
    title = "Every answer of other_servers.jsonl and recorded_elsewhere.jsonl, and its verdict."
    head = ["id", "verdict", "wait_ms", *_LIMIT_HEAD, "believed", "headers", "charge"]
    return _table(title, head, map(_other, others()))


def _other(row: dict[str, Any]) -> list[object]:
    verdict = judge(others_answer(row))
    told: list[Reading | SideReading] = [*verdict.readings, *verdict.side_readings]
    shown = "; ".join(f"{_kind(bucket)} {bucket.remaining} of {bucket.capacity} / {_period(bucket)}" for bucket in told)
    believed = "yes" if verdict.snapshot else None
    return [row["id"], verdict.meaning, verdict.wait_ms, *_limit(verdict), believed, shown or None, verdict.charge]


def _kind(bucket: Reading | SideReading) -> str:
    return bucket.metric.value if isinstance(bucket, Reading) else f"({bucket.kind})"


def _period(bucket: Reading | SideReading) -> str:
    return "?" if bucket.period_ms is None else _PERIODS.get(bucket.period_ms, f"{bucket.period_ms} ms")


def _error(numbered: tuple[int, dict[str, Any]]) -> list[object]:
    line, row = numbered
    verdict = judge(answer_of(row))
    opening = " ".join(row["message"].split()).replace("|", "/")[:_OPENING]
    code = row["code"] or row["type"]
    return [line, row["status"], code, verdict.meaning, verdict.fault, verdict.wait_ms, *_limit(verdict), opening]


def _limit(verdict: Verdict) -> list[object]:
    limit = verdict.limit
    if limit is None:
        return [None] * 6
    name = f"{limit.name} (project)" if limit.project else limit.name
    period = None if limit.period_ms is None else _PERIODS[limit.period_ms]
    return [name, limit.metric, period, limit.capacity, limit.used, limit.requested]


def _headers(numbered: tuple[int, dict[str, Any]]) -> list[object]:
    line, row = numbered
    verdict = judge(Answer(row["status"], row["headers"], None, None, None, ""))
    tokens, requests = (_bucket(reading) for reading in verdict.readings)
    beside = ", ".join(f"{side.kind} {_bucket(side)}" for side in verdict.side_readings)
    return [line, row["status"], row["model"], tokens, requests, beside or None]


def _bucket(reading: Reading | SideReading) -> str:
    return f"{reading.remaining} of {reading.capacity} / {_period(reading)}, full in {reading.full_in_ms} ms"


def _table(title: str, head: Sequence[str], lines: Iterator[list[object]]) -> str:
    cells = [list(head), *(["-" if cell is None else str(cell) for cell in line] for line in lines)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    cells.insert(1, ["-" * width for width in widths])
    body = "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    )
    return f"{title} Written by `python -m tests.unit.core.recorded`.\n\n{body}\n"


if __name__ == "__main__":
    VERDICTS.write_text(verdicts_table(), encoding="utf-8")
    LIMITS.write_text(limits_table(), encoding="utf-8")
    OTHERS.write_text(others_table(), encoding="utf-8")
