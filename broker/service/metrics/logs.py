"""Logs: one JSON object per line on stderr, events and numbers only; never a prompt, an answer or a key.

aiokafka logs some 350 lines a second while its cluster is away, since each of a dozen connections tries again and
again: important lines would drown in them. So a client library logs the same message once in ten seconds, with a count.

Every line, ours or a library's, is made by `_as_json`: foreign text is escaped and bounded there.
"""

import contextlib
import json
import logging
import sys
from typing import Any, TextIO

import structlog

from headrace.broker.service.metrics.escapes import bounded_event, safe

REPEATED_EVERY_S = 10.0
_REMEMBERED_MAX = 500
_TOLD_APART_CHARS = 60


class Sparingly(logging.Filter):
    """Rate limit of repeated messages: equal ones of a library pass once in ten seconds, with a count of the rest."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes; messages are equal if their templates begin alike, before values are filled in."""
        try:
            return self._passes(record)
        except Exception:  # noqa: BLE001 — the library that logs would be hit; its line passes unchanged
            return True

    def _passes(self, record: logging.LogRecord) -> bool:
        key = (record.name, str(record.msg)[:_TOLD_APART_CHARS])
        said_at, held_back = self._said.get(key, (None, 0))
        if said_at is not None and abs(record.created - said_at) < REPEATED_EVERY_S:
            self._said[key] = (said_at, held_back + 1)
            return False
        _shorten(record)
        if len(self._said) >= _REMEMBERED_MAX:
            self._said.clear()
        self._said[key] = (record.created, 0)
        if held_back:
            record.msg, record.args = f"{_message(record)} (and {held_back} times since the last such line)", ()
        return True


def _shorten(record: logging.LogRecord) -> None:
    """Drop the trace that the Kafka client logs of errors it also raises: a person needs to know what, not where in it.

    Other traces stay: asyncio's are of our own defects.
    """
    if record.exc_info and record.exc_info[1] is not None and record.name.partition(".")[0] == "aiokafka":
        error = record.exc_info[1]
        told = str(error) or type(error).__name__
        record.msg, record.args, record.exc_info = f"{_message(record)}: {told}", (), None


def _message(record: logging.LogRecord) -> str:
    """Return its text; where its values do not fit into it, the text without them."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return str(record.msg)


class Unfailing:
    """Last processor of a line, whose failure costs the line's values, and not the work that logged it."""

    def __init__(self, render: structlog.typing.Processor) -> None:
        """`render` makes the text."""
        self._render = render

    def __call__(self, logger: Any, name: str, event: structlog.typing.EventDict) -> Any:
        """Return the text of a line."""
        try:
            return self._render(logger, name, event)
        except Exception as error:  # noqa: BLE001 — of any kind: an integer of 5,000 digits, a value that recurses
            named = {key: event.get(key) for key in ("timestamp", "level", "event") if isinstance(event.get(key), str)}
            return json.dumps({**named, "unrendered": type(error).__name__})


class Printer(structlog.PrintLogger):
    """Line printer; a line that cannot be written, since stderr is closed or its disk is full, is lost."""

    def msg(self, message: str) -> None:
        """Print a line."""
        with contextlib.suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def in_reading_order(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Order the fields: when, how severe, what, and then the rest, as a line is read from its beginning."""
    first = {name: event.pop(name) for name in ("timestamp", "level", "event") if name in event}
    return {**first, **event}


def bounded(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Bound the event and remove characters that act or hide; see `headrace.broker.service.metrics.escapes`."""
    return bounded_event(event)


_as_json: list[structlog.typing.Processor] = [
    in_reading_order,
    bounded,
    Unfailing(structlog.processors.JSONRenderer(ensure_ascii=False)),
]
"""Last steps of each line."""


class _LibraryHandler(logging.StreamHandler[TextIO]):
    """Handler of the libraries' lines; for one that cannot be made, the standard handler would print the raw values."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the standard library's name
        """Report that a line is lost."""
        kind = type(sys.exception()).__name__
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(f'{{"level": "error", "event": "a line of {safe(record.name)} is lost: {kind}"}}\n')


def configure_logging(level: int = logging.INFO) -> None:
    """Set up structlog, and route the client libraries' warnings through it."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, *_as_json],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: Printer(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = _LibraryHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_as_json],
        )
    )
    handler.addFilter(Sparingly())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
