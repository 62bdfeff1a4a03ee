"""A scraper that asks for OpenMetrics gets exemplars; every other one gets what it always got."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from headrace.broker.adapters.prometheus.meter import Meter

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;"
    "q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


def measured(trace_id: str | None) -> Meter:
    meter = Meter()
    meter.queue_wait("urgent", 0.5, trace_id)
    meter.upstream_time("gpt-4o-mini", 2.0, trace_id)
    meter.outcome_time("urgent", 3.0, trace_id)
    meter.spans("exported", 3)
    return meter


def exemplars(text: str) -> dict[str, str]:
    """The trace id of each family that has one."""
    return {
        family.name: sample.exemplar.labels["trace_id"]
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # as the library has it
        for sample in family.samples
        if sample.exemplar is not None
    }


@pytest.mark.parametrize(
    "accept", [PROMETHEUS_3, "application/openmetrics-text", "text/html, application/OpenMetrics-Text;q=1"]
)
def test_a_scraper_that_asks_for_it_gets_the_trace_of_a_measurement(accept: str) -> None:
    body, content_type = measured(TRACE).scrape(accept)
    assert content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert exemplars(body.decode()) == {
        "headrace_queue_wait_seconds": TRACE,
        "headrace_upstream_seconds": TRACE,
        "headrace_outcome_seconds": TRACE,
    }


@pytest.mark.parametrize(
    "accept", ["", "*/*", "text/plain", "text/plain;version=1.0.0", "application/openmetrics-text;q=0"]
)
def test_every_other_scraper_gets_the_same_bytes_with_traces_as_without(accept: str) -> None:
    meter = measured(TRACE)
    body, content_type = meter.scrape(accept)
    assert content_type == meter.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert lines(body) == lines(measured(None).render())


def lines(text: bytes) -> list[bytes]:
    """The lines without the instants at which counters began, and the process's own figures, which change."""
    return [line for line in text.splitlines() if b"_created" not in line and b"process_" not in line]


@pytest.mark.parametrize("trace_id", [None, "", "x", TRACE + "0", TRACE.upper(), "ü" * 32])
def test_what_is_no_trace_id_is_no_exemplar(trace_id: str | None) -> None:
    body, _ = measured(trace_id).scrape(PROMETHEUS_3)
    assert exemplars(body.decode()) == {}


def test_both_forms_show_the_same_samples() -> None:
    meter = measured(None)
    body, _ = meter.scrape(PROMETHEUS_3)
    assert body.endswith(b"# EOF\n")
    plain = {line for line in lines(meter.render()) if not line.startswith(b"#")}
    assert plain == {line for line in lines(body) if not line.startswith(b"#")}


def test_a_histogram_with_bounds_below_zero_is_valid_too_and_keeps_its_series() -> None:
    meter = measured(TRACE)
    for tokens in (-5, 7):
        meter.charge_error("gpt-4o-mini", tokens)
    body, _ = meter.scrape(PROMETHEUS_3)
    assert len(exemplars(body.decode())) == 3
    plain = {line for line in lines(meter.render()) if line.startswith(b"headrace_charge_error_tokens")}
    assert plain == {line for line in lines(body) if line.startswith(b"headrace_charge_error_tokens")}
    assert any(line.startswith(b"headrace_charge_error_tokens_count") for line in plain)
