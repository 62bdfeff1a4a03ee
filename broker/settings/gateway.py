"""Settings of the gateway: its address, its keys, and what bounds each connection, body and wait."""

from pydantic import ByteSize, Field

from headrace.broker.settings.group import Group, Size

ENVELOPE_BYTES = 8 * 1024
"""Room for id, tenant, deadline and template around a call's body in the value of its record."""


class GatewaySettings(Group):
    """Gateway process: an HTTP server with OpenAI's API, which puts calls onto the lanes and waits for their outcomes.

    `enabled` says that gateways run beside these dispatchers, so that `topics create` creates their topics too. Unless
    set, `body_bytes_max` follows `input.request_bytes_max`.
    """

    enabled: bool = False
    http_host: str = "127.0.0.1"
    http_port: int = Field(8090, ge=0, le=65_535)
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(8091, ge=0, le=65_535)
    keys_file: str | None = Field(None, min_length=1)
    body_bytes_max: Size | None = None
    upload_bytes_max: Size = ByteSize(200 * 1024 * 1024)
    connections_max: int = Field(6_000, ge=1, le=100_000)
    inflight_max: int = Field(2_500, ge=1, le=100_000)
    header_timeout_s: float = Field(10, ge=0.1, le=600)
    body_timeout_s: float = Field(60, ge=0.1, le=3_600)
    idle_timeout_s: float = Field(75, ge=0.1, le=3_600)
    drain_s: float = Field(20, ge=0, le=3_600)
    join_window_s: int = Field(600, ge=0, le=86_400)
