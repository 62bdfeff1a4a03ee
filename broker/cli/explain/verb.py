"""`headrace explain`: what an answer of OpenAI means, and what Headrace would do."""

import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from headrace.broker.cli.explain.advice import what_headrace_does
from headrace.broker.cli.explain.answers import answers_in
from headrace.broker.cli.explain.page import page
from headrace.broker.cli.explain.pieces import Piece, pieces
from headrace.broker.cli.terminal import is_person_watching, say, say_coloured, say_json
from headrace.broker.core.answers.classification import BY_CODE
from headrace.broker.core.answers.rate_limit_headers import LimitMetric, Reading, SideReading
from headrace.broker.core.answers.rate_limit_messages import SIDE_LIMITS, StatedLimit
from headrace.broker.core.answers.verdict import Answer, Meaning, Verdict, judge

_STDIN: Final = "-"
_WIDTH_MAX: Final = 110
_SUMMED_UP_FROM: Final = 4
_METRICS: Final = {metric.value: metric.value for metric in LimitMetric}
_SILENCE: Final = frozenset({Meaning.TIMEOUT, Meaning.CONNECTION})
"""Distinguished in the text; for a script they are failures on the way, as the contract defines."""


def explain(
    source: Annotated[
        str, typer.Argument(metavar="FILE|-", help="OpenAI's answer, in any form; - reads standard input.")
    ] = _STDIN,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")] = False,
) -> None:
    """Explain an answer or an error of OpenAI: its meaning, the limit it names, and what Headrace would do.

    It reads JSON lines {"status", "headers", "body"}, a body alone, the output of curl -i, events of a stream, an
    exception of the SDK, or the bare message. It works offline and sends no data.

    Example: headrace explain "Rate limit reached for gpt-4o in organization o on tokens per min (TPM): Limit 30000,
    Used 29937, Requested 385. Please try again in 644ms."

    Example: curl -si "$OPENAI_BASE_URL/chat/completions" -d @body.json | headrace explain --json
    """
    counted: Counter[str] = Counter()
    width = min(_WIDTH_MAX, shutil.get_terminal_size().columns) if is_person_watching() else 10_000
    for piece in _given(source):
        for answer in answers_in(piece.text):
            verdict = judge(answer)
            counted[verdict.meaning] += 1
            if as_json:
                say_json(as_object(answer, verdict))
                continue
            where = f"line {piece.line}" if piece.line > 1 else ""
            say_coloured("\n".join([*page(answer, verdict, where=where, width=width), ""]))
    if not counted:
        say("Nothing to explain: the input is empty.", err=True)
    elif not as_json and counted.total() >= _SUMMED_UP_FROM:
        told = ", ".join(f"{word} {count:,}" for word, count in counted.most_common())
        say(f"{counted.total():,} explained: {told}", wrap=True)


def as_object(answer: Answer, verdict: Verdict) -> dict[str, Any]:
    """Return the same for `--json`; what is not known is null."""
    told = {
        "verdict": (Meaning.UPSTREAM_ERROR if verdict.meaning in _SILENCE else verdict.meaning).value,
        "retry": verdict.retryable,
        "wait_ms": verdict.wait_ms,
        "limit": _limit(verdict.limit),
        "limits": [{"metric": reading.metric.value, **_bucket(reading)} for reading in verdict.readings],
        "action": what_headrace_does(answer, verdict),
    }
    if verdict.limit is not None and told["limit"] is None:
        told["other_limit"] = {"metric": _counts(verdict.limit), **_stated(verdict.limit)}
    if verdict.side_readings:
        told["other_limits"] = [{"metric": side.kind, **_bucket(side)} for side in verdict.side_readings]
    return told


def _limit(limit: StatedLimit | None) -> dict[str, Any] | None:
    """Return the limit that refused, if it is one of tokens, of input too, or of requests: its metric is one of these.

    `counts` says which tokens or requests it counts.
    """
    metric = None if limit is None else _METRICS.get(limit.metric.rpartition("-")[2])
    if limit is None or metric is None:
        return None
    return {"metric": metric, "counts": _counts(limit), **_stated(limit)}


def _counts(limit: StatedLimit) -> str:
    """Return what a limit counts, by the word that names its bucket in `/status`."""
    return SIDE_LIMITS.get(limit.metric, limit.metric)


def _stated(limit: StatedLimit) -> dict[str, Any]:
    return {
        "name": limit.name,
        "period_ms": limit.period_ms,
        "capacity": limit.capacity,
        "used": limit.used,
        "requested": limit.requested,
    }


def _bucket(reading: Reading | SideReading) -> dict[str, int | None]:
    return {
        "capacity": reading.capacity,
        "remaining": reading.remaining,
        "period_ms": reading.period_ms,
        "full_in_ms": reading.full_in_ms,
    }


def _is_told(source: str) -> bool:
    """Return whether an argument that is no file is what OpenAI said: a sentence, a status, a code."""
    told = source.strip()
    return any(letter.isspace() or letter in '{<"' for letter in told) or told.isdigit() or told.lower() in BY_CODE


def _given(source: str) -> Iterator[Piece]:
    """Yield the pieces of standard input, of a file, or of the argument itself if it cannot be the name of a file."""
    if source == _STDIN:
        if sys.stdin.isatty():
            say("Paste OpenAI's answer, then press Ctrl-D on an empty line.", err=True)
        yield from pieces(sys.stdin.buffer)
        return
    try:
        with Path(source).open("rb") as lines:
            yield from pieces(lines)
    except (OSError, ValueError) as reason:
        if not _is_told(source):
            why = reason.strerror if isinstance(reason, OSError) else reason
            raise typer.BadParameter(f"{source} cannot be read: {why}.") from reason
        yield from pieces(line.encode(errors="replace") for line in source.splitlines())
