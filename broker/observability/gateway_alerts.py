"""The gateways' rows of the table of alerts (`headrace.broker.observability.alerts`): without a gateway none fires."""

from typing import Final

from headrace.broker.observability.alert import KAFKA_AWAY, Alert, Severity, above, shown

_GATEWAY_READY: Final = f"max by (job) ({shown('gateway_ready')}) > 0"

GATEWAY_ALERTS: Final[tuple[Alert, ...]] = (
    Alert(
        name="HeadraceNoGateway",
        panels=("gateway_ready",),
        condition=f"group by (job) (last_over_time({shown('gateway_ready')}[1h])) unless on (job) {_GATEWAY_READY}"
        f" unless on (job) {KAFKA_AWAY}",
        hold="1m",
        severity=Severity.PAGE,
        summary="{{ $labels.job }}: no gateway accepts calls.",
        description="Clients of the gateways get errors. Requests that are on their lanes are called all the same.",
        runbook="no-gateway",
    ),
    Alert(
        name="HeadraceGatewayNotReady",
        panels=("gateway_ready",),
        condition=f"{shown('gateway_ready')} == 0 and on (job) {_GATEWAY_READY}",
        hold="5m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: the gateway {{ $labels.instance }} does not accept calls.",
        description="The others take its clients. Its `/readyz` says why.",
        runbook="gateway-not-ready",
    ),
    Alert(
        name="HeadraceGatewayErrors",
        panels=("gateway_error_share", "gateway_answers"),
        condition=f"{above('gateway_error_share')} and on (job)"
        ' sum by (job) (increase(headrace_gateway_answers_total{status=~"5.."}[5m])) >= 5'
        f" unless on (job) {KAFKA_AWAY}",
        hold="5m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: {{ $value | humanizePercentage }} of the gateways' answers are 5xx.",
        description="Calls fail, or are not answered in time. A cause that stops all lanes has its own alert.",
        runbook="gateway-errors",
    ),
    Alert(
        name="HeadraceGatewayFull",
        panels=("gateway_use", "gateway_waiting"),
        condition=above("gateway_use"),
        hold="2m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: the gateway {{ $labels.instance }} is {{ $value | humanizePercentage }} full.",
        description="At 100 % it answers further calls with 503, which SDKs repeat.",
        runbook="gateway-full",
    ),
    Alert(
        name="HeadraceGatewayHangUps",
        panels=("gateway_hang_up_share",),
        condition=f"{above('gateway_hang_up_share')} and on (job)"
        " sum by (job) (increase(headrace_gateway_hang_ups_total[5m])) >= 5",
        hold="10m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: {{ $value | humanizePercentage }} of the gateways' clients hang up.",
        description="Clients, or a proxy before them, wait for less time than answers take. The calls are paid for.",
        runbook="gateway-hang-ups",
    ),
    Alert(
        name="HeadraceGatewayKeyFile",
        panels=("gateway_key_file",),
        condition=f"count by (job) ({shown('gateway_key_file')} == 0)",
        hold="1m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: {{ $value }} gateways cannot use their key file as it is now.",
        description="The keys before the change stay in force: a new key does not work, and a removed one still does.",
        runbook="gateway-key-file",
    ),
)
"""In the order of the rules."""
