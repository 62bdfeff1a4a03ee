"""Choice of a process's exporter of spans; a process that traces nothing loads no OpenTelemetry for it."""

import os
from collections.abc import Mapping
from importlib.metadata import version

import structlog

from headrace.broker.adapters.otel.environment import decide
from headrace.broker.settings.whole import Settings
from headrace.broker.span_ports import Spans

_log = structlog.get_logger("compose")


def spans_of(settings: Settings, process: str, environ: Mapping[str, str] = os.environ) -> Spans | None:
    """Return the exporter of a process's spans; None: nothing is traced, and no OpenTelemetry is loaded.

    Raises:
        SettingsError: The settings ask for it, and the extra `otel` is not installed.
    """
    decision = decide(settings.tracing, environ)
    if decision.why_not:
        _log.warning("tracing_off", sentence=decision.why_not)
    if not decision.on:
        return None
    from headrace.broker.adapters.otel.exporter import open_spans  # noqa: PLC0415 — an extra, and 40 ms

    return open_spans(settings.tracing, process, version("headrace"), environ)
