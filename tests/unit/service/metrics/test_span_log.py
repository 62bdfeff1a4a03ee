"""Lost spans are counted, and logged once a minute at most."""

import pytest

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.clock import WallClock
from headrace.broker.service.metrics.span_log import SpanLog
from headrace.broker.span_ports import SpanCounts


def test_spans_are_counted_once_and_a_loss_is_logged_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    now_s, meter = [0.0], Meter()
    log = SpanLog(meter, WallClock(lambda: now_s[0]))
    for exported, lost in ((3, 0), (5, 2), (5, 5)):
        log.observe(SpanCounts(9, exported, lost, "The collector is away."))
    text = meter.render().decode()
    assert 'headrace_trace_spans_total{result="exported"} 5.0' in text
    assert 'headrace_trace_spans_total{result="lost"} 5.0' in text
    now_s[0] = 61.0
    log.observe(SpanCounts(9, 5, 5, "The collector is away."))
    log.observe(SpanCounts(9, 5, 5, "The collector is away."))
    said = [line for line in capsys.readouterr().out.splitlines() if "spans_lost" in line]
    assert [line.split("spans=")[1] for line in said] == ["2", "3"]
    assert all("The collector is away." in line for line in said)
