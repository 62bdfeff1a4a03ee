"""Settings of tracing: where spans go, which traces are exported, and whether prompts may leave in them."""

from typing import Annotated, Final

from pydantic import AfterValidator, SecretStr

from headrace.broker.settings import secrets
from headrace.broker.settings.group import Group, Share
from headrace.broker.settings.urls import HttpUrl

TRACES_PATH: Final = "/v1/traces"


def _check_endpoint(url: str | None) -> str | None:
    if url is not None:
        url = url.strip()
        read = HttpUrl.read(url)
        if "?" in read.rest or "#" in read.rest:
            raise ValueError(f"has a ? or # behind its path, where {TRACES_PATH} would be appended: leave it out")
    return url


def _check_headers(headers: SecretStr | None) -> SecretStr | None:
    if headers is None:
        return None
    text = secrets.login(headers.get_secret_value().strip())
    for pair in text.split(","):
        name, equals, _ = pair.partition("=")
        if not equals or not name.strip().replace("-", "").replace("_", "").isalnum() or not pair.isascii():
            raise ValueError("must be NAME=VALUE, several separated by commas, in printable ASCII")
    return SecretStr(text)


class TracingSettings(Group):
    """Export of spans to an OpenTelemetry collector over OTLP/HTTP; off without an endpoint.

    Unset keys leave the choice to OpenTelemetry's own variables, such as `OTEL_EXPORTER_OTLP_ENDPOINT`.
    """

    endpoint: Annotated[str | None, AfterValidator(_check_endpoint)] = None
    headers: Annotated[SecretStr | None, AfterValidator(_check_headers)] = None
    sample: Share | None = None
    content: bool = False

    @property
    def url(self) -> str | None:
        """Address for spans: the endpoint with the path that OTLP/HTTP has for them."""
        if self.endpoint is None or self.endpoint.rstrip("/").endswith(TRACES_PATH):
            return self.endpoint
        return self.endpoint.rstrip("/") + TRACES_PATH

    @property
    def given_headers(self) -> dict[str, str]:
        """The headers by name."""
        text = "" if self.headers is None else self.headers.get_secret_value()
        return {
            name.strip(): value.strip() for name, _, value in (pair.partition("=") for pair in text.split(",") if pair)
        }
