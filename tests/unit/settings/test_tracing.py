"""Settings of tracing: an address, secret headers, a share."""

import pytest
from pydantic import ValidationError

from headrace.broker.errors import SettingsError
from headrace.broker.settings.load import load_settings
from headrace.broker.settings.tracing import TracingSettings


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (None, None),
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("https://otlp.example.com/v1/traces", "https://otlp.example.com/v1/traces"),
    ],
)
def test_the_path_of_traces_is_added_once(endpoint: str | None, url: str | None) -> None:
    assert TracingSettings(endpoint=endpoint).url == url


@pytest.mark.parametrize(
    "endpoint", ["collector:4318", "grpc://collector:4317", "http://", "http://a b", "http://a?b=c", "http://a/#b"]
)
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(ValidationError):
        TracingSettings(endpoint=endpoint)


def test_headers_are_read_by_name_and_shown_to_nobody() -> None:
    tracing = load_settings(environ={"HEADRACE_TRACING__HEADERS": "x-token=s3cret=, x-tenant = a"}).tracing
    assert tracing.given_headers == {"x-token": "s3cret=", "x-tenant": "a"}
    assert "s3cret" not in repr(tracing)


@pytest.mark.parametrize("headers", ["token", "=x", "a=b,c", "na me=x", "a=ü", "ü=a"])
def test_headers_of_another_form_are_refused_without_being_repeated(headers: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(environ={"HEADRACE_TRACING__HEADERS": headers})
    assert "NAME=VALUE" in str(refused.value)
    assert headers not in str(refused.value)
