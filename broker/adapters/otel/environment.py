"""Whether spans are to be exported, by the settings and by OpenTelemetry's own variables; loads no OpenTelemetry.

An endpoint in the settings is an order: without the extra, the start is refused. The variables alone may be set for
every container of a cluster, for services that never heard of Headrace; what they ask and cannot have is logged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from headrace.broker.errors import SettingsError
from headrace.broker.settings.tracing import TracingSettings

_MISSING: Final = "the extra otel is not installed: pip install 'headrace[otel]'."
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL: Final = "http/protobuf"


@dataclass(frozen=True, slots=True)
class TracingDecision:
    """Whether to export; `why_not` says in a sentence why the variables' wish is not met, if they have one."""

    on: bool
    why_not: str = ""


def decide(tracing: TracingSettings, environ: Mapping[str, str], *, installed: bool | None = None) -> TracingDecision:
    """Decide whether this process exports spans; `installed`: whether the extra is, by default looked up.

    Raises:
        SettingsError: The settings ask for it, and the extra is not installed.
    """
    asked = next((name for name in _ENDPOINTS if environ.get(name)), None)
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or (tracing.endpoint is None and asked is None):
        return TracingDecision(on=False)
    has_extra = _is_installed() if installed is None else installed
    if tracing.endpoint is not None:
        if not has_extra:
            raise SettingsError(f"tracing.endpoint is set, and {_MISSING}")
        return TracingDecision(on=True)
    exporter = environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower()
    why_not = _why_not(exporter, environ)
    if not why_not and not has_extra and exporter != "none":
        why_not = f"{asked} is set, and {_MISSING}"
    return TracingDecision(on=not why_not and exporter != "none", why_not=why_not)


def _why_not(exporter: str, environ: Mapping[str, str]) -> str:
    """Return why the variables' wish cannot be met by any installation; empty if it can."""
    if exporter not in {"otlp", "none"}:
        return f"OTEL_TRACES_EXPORTER asks for {exporter[:40]!r}; Headrace has only otlp."
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), _PROTOCOL).strip()
    if exporter == "otlp" and protocol != _PROTOCOL:
        return f"OTLP is asked for over {protocol[:40]!r}; Headrace has only {_PROTOCOL} (port 4318)."
    return ""


def _is_installed() -> bool:
    try:
        return (
            find_spec("opentelemetry.exporter.otlp.proto.http") is not None
            and find_spec("opentelemetry.sdk") is not None
        )
    except ModuleNotFoundError:
        return False
