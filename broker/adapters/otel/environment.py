"""Whether spans are to be exported, by the settings and by OpenTelemetry's own variables; loads no OpenTelemetry.

An endpoint in the settings is an order: without the extra, the start is refused. The variables alone may be set for
every container of a cluster, for services that never heard of Headrace; what they ask and cannot have is logged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final, Self

from headrace.broker.errors import SettingsError
from headrace.broker.settings.tracing import TracingSettings

QUEUE_MAX: Final = 4_096
"""Spans that wait for the exporter, some 2 KB each; a call makes five."""
QUEUE_MAX_WITH_CONTENT: Final = 512
"""The same with prompts and answers: a call's span has up to 2 x 16,384 characters more, 64 MB in all at four bytes."""
BATCH_MAX: Final = 512
BATCH_MAX_WITH_CONTENT: Final = 64
"""The encoder needs twice the size of a batch beside it."""
EXPORT_EVERY_MS: Final = 1_000
"""OpenTelemetry's default is 5 s: what a killed leader has not exported is lost, so ours is shorter."""

_MISSING: Final = "the extra otel is not installed: pip install 'headrace[otel]'."
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_LIMITS: Final = (
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
)
"""Variables that the SDK reads as it is imported, which fails for what is no whole number."""
_NO_LIMIT: Final = "is no whole number of 0 or more, which OpenTelemetry refuses: correct it, or leave it out."
_PROTOCOL: Final = "http/protobuf"


@dataclass(frozen=True, slots=True)
class TracingDecision:
    """Whether to export; `why_not` says in a sentence why the variables' wish is not met, if they have one."""

    on: bool
    why_not: str = ""


def decide(tracing: TracingSettings, environ: Mapping[str, str], *, installed: bool | None = None) -> TracingDecision:
    """Decide whether this process exports spans; `installed`: whether the extra is, by default looked up.

    Raises:
        SettingsError: The settings ask for it, and the extra is not installed or cannot be loaded.
    """
    asked = next((name for name in _ENDPOINTS if environ.get(name)), None)
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or (tracing.endpoint is None and asked is None):
        return TracingDecision(on=False)
    is_unreadable = next((name for name in _LIMITS if not _is_limit(environ.get(name, ""))), None)
    has_extra = _is_installed() if installed is None else installed
    if tracing.endpoint is not None:
        if not has_extra:
            raise SettingsError(f"tracing.endpoint is set, and {_MISSING}")
        if is_unreadable:
            raise SettingsError(f"tracing.endpoint is set, and {is_unreadable} {_NO_LIMIT}")
        return TracingDecision(on=True)
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() or "otlp"
    why_not = _why_not(exporter, environ)
    if not why_not and exporter != "none":
        why_not = f"{asked} is set, and {_MISSING}" if not has_extra else ""
        why_not = why_not or (f"{is_unreadable} {_NO_LIMIT}" if is_unreadable else "")
    return TracingDecision(on=not why_not and exporter != "none", why_not=why_not)


def _why_not(exporter: str, environ: Mapping[str, str]) -> str:
    """Return why the variables' wish cannot be met by any installation; empty if it can."""
    if exporter not in {"otlp", "none"}:
        return f"OTEL_TRACES_EXPORTER asks for {exporter[:40]!r}; Headrace has only otlp."
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), _PROTOCOL).strip().lower()
    if exporter == "otlp" and protocol != _PROTOCOL:
        return f"OTLP is asked for over {protocol[:40]!r}; Headrace has only {_PROTOCOL} (port 4318)."
    return ""


@dataclass(frozen=True, slots=True)
class SpanBatching:
    """Queue of spans before the exporter: its size, how many leave at once, and how often (ms)."""

    queue_max: int
    batch_max: int
    every_ms: int

    @classmethod
    def of(cls, environ: Mapping[str, str], *, content: bool = False) -> Self:
        """Read OpenTelemetry's variables. A value that its SDK would raise for counts as unset: it ends no process."""
        bounds = (QUEUE_MAX_WITH_CONTENT, BATCH_MAX_WITH_CONTENT) if content else (QUEUE_MAX, BATCH_MAX)
        queue_max = _number(environ, "OTEL_BSP_MAX_QUEUE_SIZE", bounds[0])
        return cls(
            queue_max,
            min(queue_max, _number(environ, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", bounds[1])),
            _number(environ, "OTEL_BSP_SCHEDULE_DELAY", EXPORT_EVERY_MS),
        )


def _number(environ: Mapping[str, str], name: str, otherwise: int) -> int:
    """Return a variable's whole number of at most nine digits, if it is above 0."""
    given = environ.get(name, "").strip()
    is_number = given.isascii() and given.isdecimal() and len(given) < 10
    return (int(given) if is_number else 0) or otherwise


def _is_limit(given: str) -> bool:
    given = given.strip()
    return not given or (given.isascii() and given.isdecimal())


def _is_installed() -> bool:
    try:
        return (
            find_spec("opentelemetry.exporter.otlp.proto.http") is not None
            and find_spec("opentelemetry.sdk") is not None
        )
    except ModuleNotFoundError:
        return False
