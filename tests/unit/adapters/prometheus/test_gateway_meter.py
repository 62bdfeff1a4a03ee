"""Every metric of a gateway, by name; no client chooses a label."""

from headrace.broker.adapters.prometheus.gateway_meter import GatewayMetrics
from headrace.broker.adapters.prometheus.meter import Meter

_CONTRACT = {
    'headrace_gateway_answers_total{endpoint="chat.completions",lane="urgent",status="200"} 1.0',
    'headrace_gateway_answers_total{endpoint="models",lane="",status="401"} 1.0',
    'headrace_gateway_answer_seconds_sum{endpoint="chat.completions"} 1.5',
    "headrace_gateway_waiting 7.0",
    "headrace_gateway_streaming 2.0",
    "headrace_gateway_connections 9.0",
    "headrace_gateway_inflight 8.0",
    "headrace_gateway_inflight_max 2500.0",
    "headrace_gateway_joins_total 1.0",
    "headrace_gateway_hang_ups_total 1.0",
    "headrace_gateway_ready 1.0",
    "headrace_gateway_keys 3.0",
    "headrace_gateway_key_file_ready 0.0",
    'headrace_info{prefix="leads",process="gateway",version="0.1.0"} 1.0',
    'headrace_contained_total{step="web"} 1.0',
    'headrace_trace_spans_total{result="lost"} 2.0',
}


def made() -> GatewayMetrics:
    return GatewayMetrics(["chat.completions", "embeddings"], ["urgent", "bulk"], ["models"])


def lines(meter: GatewayMetrics | Meter) -> set[str]:
    return {line for line in meter.render().decode().splitlines() if not line.startswith("#")}


def test_every_metric_appears_under_its_name() -> None:
    meter = made()
    meter.info("leads", "0.1.0", "gateway")
    meter.answered("chat.completions", "urgent", 200, 1.5)
    meter.answered("models", "", 401, 0.01)
    meter.waiting(7)
    meter.streaming(2)
    meter.connections(9)
    meter.inflight(8)
    meter.inflight_max(2_500)
    meter.joined()
    meter.hung_up()
    meter.ready(is_ready=True)
    meter.keys(3, is_file_ready=False)
    meter.contained("web")
    meter.spans("lost", 2)
    assert sorted(_CONTRACT - lines(meter)) == []


def test_an_unknown_lane_endpoint_or_status_makes_no_series_of_their_own() -> None:
    meter = made()
    for number in range(1_000):
        meter.answered(f"/v1/{number}", f"lane-{number}", 430 + number % 60, 0.1)
    answers = {line for line in lines(meter) if line.startswith("headrace_gateway_answers_total")}
    assert answers == {'headrace_gateway_answers_total{endpoint="other",lane="other",status="4xx"} 1000.0'}


def test_the_first_failure_is_an_increase_since_its_counter_was_there_before() -> None:
    meter = made()
    meter.begin_answers()
    for status in ("500", "503", "504"):
        series = f'headrace_gateway_answers_total{{endpoint="embeddings",lane="bulk",status="{status}"}}'
        assert f"{series} 0.0" in lines(meter)


def test_no_process_shows_a_level_that_only_another_kind_measures() -> None:
    """A gateway's `headrace_redis_ready 0` would read as a Redis that is away."""
    names = {line.partition(" ")[0].partition("{")[0] for line in lines(made())}
    assert not names & {"headrace_leader", "headrace_kafka_ready", "headrace_redis_ready", "headrace_parked_requests"}
    assert not any(line.startswith("headrace_gateway") for line in lines(Meter()))


def test_no_figure_breaks_a_scrape() -> None:
    meter = made()
    meter.answered("embeddings", "bulk", 10**30, float("nan"))
    meter.waiting(10**400)
    assert "headrace_gateway_waiting 1e+15" in lines(meter)
    assert 'headrace_gateway_answers_total{endpoint="embeddings",lane="bulk",status="1xx"} 1.0' in lines(meter)
