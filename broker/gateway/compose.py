"""Composition of a gateway process, and the only module here that chooses doors: settings in, a gateway out."""

from pathlib import Path

from headrace.broker.adapters.kafka.batch_doors import KafkaBatchDoors
from headrace.broker.adapters.kafka.client import KafkaGatewayDoors
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.clock import WallClock
from headrace.broker.errors import SettingsError
from headrace.broker.gateway.batches.service import Batches
from headrace.broker.gateway.batches.uploads import UploadLimits
from headrace.broker.gateway.calls import CallRules
from headrace.broker.gateway.http.bodies import BodyLimits
from headrace.broker.gateway.http.models import KnownModels
from headrace.broker.gateway.http.requests import Whereabouts
from headrace.broker.gateway.keys.caps import Caps
from headrace.broker.gateway.keys.ring import KeyRing
from headrace.broker.gateway.observing import GatewayMeter
from headrace.broker.gateway.server import Gateway, ServerRules
from headrace.broker.settings.whole import Settings


def gateway(settings: Settings, *, leader: Whereabouts, models: KnownModels, meter: GatewayMeter) -> Gateway:
    """Compose a gateway; nothing is connected yet. Call it inside the running event loop.

    Raises:
        SettingsError: There is no file of keys, or it has a mistake.
    """
    clock, own = WallClock(), settings.gateway
    if own.keys_file is None:
        raise SettingsError("No keys: set gateway.keys_file to the file that `headrace gateway key new` writes.")
    ring = KeyRing(Path(own.keys_file), utc_now=clock.utc_now, lanes=settings.lanes)
    ring.open()
    connection, prefix = KafkaConnection.of(settings.kafka), settings.kafka.topic_prefix
    uploads = UploadLimits(bytes_max=int(own.upload_bytes_max))
    return Gateway(
        doors=KafkaGatewayDoors(connection),
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
        parts=lambda: [Batches(KafkaBatchDoors(connection), prefix, clock=clock, uploads=uploads)],
    )
