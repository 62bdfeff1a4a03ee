"""Composition of a gateway process, and the only module here that chooses doors: settings in, a gateway out."""

from pathlib import Path
from typing import Final

from headrace.broker.adapters.kafka.batch_doors import KafkaBatchDoors
from headrace.broker.adapters.kafka.client import KafkaGatewayDoors
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.prometheus.gateway_meter import GatewayMetrics
from headrace.broker.client_ports import GatewayDoors
from headrace.broker.clock import WallClock
from headrace.broker.core.endpoints import ENDPOINT_TABLE
from headrace.broker.errors import SettingsError
from headrace.broker.gateway.batches.service import Batches
from headrace.broker.gateway.batches.uploads import UploadLimits
from headrace.broker.gateway.calls import CallRules
from headrace.broker.gateway.http.bodies import BodyLimits
from headrace.broker.gateway.http.models import KnownModels
from headrace.broker.gateway.http.requests import AskLeader
from headrace.broker.gateway.http.traced import ServerSpans
from headrace.broker.gateway.keys.caps import Caps
from headrace.broker.gateway.keys.ring import KeyRing
from headrace.broker.gateway.process import GatewayProcess
from headrace.broker.gateway.server import Gateway, ServerRules
from headrace.broker.gateway.traced_sends import TracedDoors
from headrace.broker.service.metrics.at_start import show_gateway
from headrace.broker.service.span_exporter import spans_of
from headrace.broker.settings.whole import Settings

PROCESS_NAME: Final = "headrace-gateway"
OTHER_ENDPOINTS: Final = ("models", "requests", "files", "batches")
"""Names of paths that are no calls, as labels of metrics."""


def gateway(settings: Settings, *, leader: AskLeader, models: KnownModels) -> GatewayProcess:
    """Compose a gateway; nothing is connected yet. Call it inside the running event loop.

    Raises:
        SettingsError: There is no file of keys, or it has a mistake.
    """
    clock, own = WallClock(), settings.gateway
    if own.keys_file is None:
        raise SettingsError("No keys: set gateway.keys_file to the file that `headrace gateway key new` writes.")
    ring = KeyRing(Path(own.keys_file), utc_now=clock.utc_now, lanes=settings.lanes)
    ring.open()
    meter, spans = GatewayMetrics(ENDPOINT_TABLE, settings.lanes, OTHER_ENDPOINTS), spans_of(settings, PROCESS_NAME)
    show_gateway(meter, settings)
    connection, prefix = KafkaConnection.of(settings.kafka), settings.kafka.topic_prefix
    uploads = UploadLimits(bytes_max=int(own.upload_bytes_max))
    doors: GatewayDoors = KafkaGatewayDoors(connection)
    served = Gateway(
        doors=doors if spans is None else TracedDoors(doors, spans),
        calls_rules=CallRules(
            topic_prefix=prefix,
            dedupe_window_s=float(settings.dedupe.window_s),
            join_window_s=float(own.join_window_s),
        ),
        rules=ServerRules(
            host=own.http_host,
            port=own.http_port,
            connections_max=own.connections_max,
            inflight_max=own.inflight_max,
            header_timeout_s=own.header_timeout_s,
            idle_timeout_s=own.idle_timeout_s,
            drain_s=own.drain_s,
        ),
        body_limits=BodyLimits(settings.gateway_body_bytes_max, own.body_timeout_s),
        ring=ring,
        caps=Caps(),
        meter=meter,
        leader=leader,
        models=models,
        clock=clock,
        tracing=None if spans is None else ServerSpans(spans).around,
        parts=lambda: [Batches(KafkaBatchDoors(connection), prefix, clock=clock, uploads=uploads)],
    )
    return GatewayProcess(settings, served, meter, clock, spans)
