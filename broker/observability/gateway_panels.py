"""The gateways' rows of the table of panels (`headrace.broker.observability.panels`), empty without a gateway."""

from typing import Final

from headrace.broker.observability.panel import (
    Panel,
    PanelGroup,
    Unit,
    quantile,
    rate,
)

_OF_CALLS: Final = 'endpoint!~"models|requests|files|batches|other"'
"""Leaves out the gateways' answers to questions, and to what no client of ours asks."""

_SERVER_ERRORS: Final = ', status=~"5.."'

GATEWAY_PANELS: Final[tuple[Panel, ...]] = (
    Panel(
        key="gateway_ready",
        group=PanelGroup.GATEWAYS,
        title="Gateways accept calls",
        meaning="1 where a gateway accepts calls; 0: it has just started, is leaving, or cannot reach Kafka.",
        unit=Unit.YES_NO,
        query="min by (job, instance) (headrace_gateway_ready)",
        by=("instance",),
        record="job_instance:headrace_gateway_ready:min",
    ),
    Panel(
        key="gateway_answers",
        group=PanelGroup.GATEWAYS,
        title="Answers by status",
        meaning="Answers to the gateways' clients per second, by HTTP status; 499 is a client that hung up.",
        unit=Unit.PER_SECOND,
        query=rate("gateway_answers", "status"),
        by=("status",),
    ),
    Panel(
        key="gateway_error_share",
        group=PanelGroup.GATEWAYS,
        title="Answers with 5xx",
        meaning="Share of the answers to calls whose status is 500 or above: Failed, refused, or not ready in time.",
        unit=Unit.SHARE,
        query=f"{rate('gateway_answers', where=_OF_CALLS + _SERVER_ERRORS, window='5m')}"
        f" / ({rate('gateway_answers', where=_OF_CALLS, window='5m')} > 0)",
        record="job:headrace_gateway_error:share",
        warn=0.05,
    ),
    Panel(
        key="gateway_answer_p95",
        group=PanelGroup.GATEWAYS,
        title="Request to answer, p95",
        meaning="95th percentile of the time from a client's request to the end of its answer, by endpoint.",
        unit=Unit.SECONDS,
        query=quantile(0.95, "gateway_answer_seconds", "endpoint"),
        by=("endpoint",),
    ),
    Panel(
        key="gateway_waiting",
        group=PanelGroup.GATEWAYS,
        title="Waiting clients",
        meaning="Clients that wait for an outcome, those with a stream among them.",
        unit=Unit.REQUESTS,
        query="sum by (job, instance) (headrace_gateway_waiting)",
        by=("instance",),
    ),
    Panel(
        key="gateway_use",
        group=PanelGroup.GATEWAYS,
        title="Use of a gateway",
        meaning="Calls under way as a share of `gateway.inflight_max`; at 1, a further call is answered with 503.",
        unit=Unit.SHARE,
        query="max by (job, instance) (headrace_gateway_inflight / (headrace_gateway_inflight_max > 0))",
        by=("instance",),
        record="job_instance:headrace_gateway_use:ratio",
        warn=0.8,
    ),
    Panel(
        key="gateway_connections",
        group=PanelGroup.GATEWAYS,
        title="Connections of gateways",
        meaning="Open connections of each gateway; `gateway.connections_max` bounds them.",
        unit=Unit.COUNT,
        query="sum by (job, instance) (headrace_gateway_connections)",
        by=("instance",),
    ),
    Panel(
        key="gateway_hang_up_share",
        group=PanelGroup.GATEWAYS,
        title="Clients that hang up",
        meaning="Clients that left before their answer, as a share of the calls. High: their time-out is too short.",
        unit=Unit.SHARE,
        query=f"{rate('gateway_hang_ups', window='5m')}"
        f" / ({rate('gateway_answers', where=_OF_CALLS, window='5m')} > 0)",
        record="job:headrace_gateway_hang_up:share",
        warn=0.1,
    ),
    Panel(
        key="gateway_joins",
        group=PanelGroup.GATEWAYS,
        title="Joined retries",
        meaning="Repeated attempts of SDKs per second that were led to the call that they repeat.",
        unit=Unit.PER_SECOND,
        query=rate("gateway_joins"),
    ),
    Panel(
        key="gateway_key_file",
        group=PanelGroup.GATEWAYS,
        title="Key file in force",
        meaning="1 where the key file, as it is now, is in force; 0: it has a mistake, and older keys stay in force.",
        unit=Unit.YES_NO,
        query="min by (job, instance) (headrace_gateway_key_file_ready)",
        by=("instance",),
        record="job_instance:headrace_gateway_key_file_ready:min",
    ),
)
"""In the order of the dashboard."""
