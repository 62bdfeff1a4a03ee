"""Start of a gateway process, and what it asks of the leader on behalf of its clients."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from headrace.broker.cli.status.one_request import where_is
from headrace.broker.cli.status.sources import look_in_redis
from headrace.broker.clock import run
from headrace.broker.errors import HeadraceError, SettingsError
from headrace.broker.gateway.compose import gateway
from headrace.broker.service.metrics.logs import configure_logging
from headrace.broker.service.preflight.acl_check import gateway_needs
from headrace.broker.service.preflight.preflight import find_kafka
from headrace.broker.settings.whole import Settings

_MODELS_FRESH_S: Final = 15.0
_ASKED_AGAIN_AFTER_S: Final = 1.0
_REDIS_WITHIN_S: Final = 2.0


def serve(settings: Settings) -> None:
    """Run a gateway until SIGTERM or SIGINT.

    Raises:
        SettingsError: gateway.enabled is false, so that its topics are not there; or what it needs is missing.
    """
    if not settings.gateway.enabled:
        raise SettingsError("Set gateway.enabled to true, and run `headrace topics create` for the gateway's topics.")
    configure_logging()
    run(_serve(settings))


async def _serve(settings: Settings) -> None:
    asked = LeaderQuestions(settings)
    process = gateway(
        settings, leader=asked.where_is, models=asked.models
    )  # a mistake in the file of keys is told first
    await find_kafka(settings, gateway_needs(settings))
    await process.run()


@dataclass(eq=False)
class LeaderQuestions:
    """Questions to the leader, found by Redis; a gateway without Redis answers all else."""

    settings: Settings
    _models: frozenset[str] = field(default=frozenset(), init=False)
    _asked_s: float = field(default=-_MODELS_FRESH_S, init=False)

    async def where_is(self, request_id: str, within_s: float) -> Mapping[str, Any]:
        """Return the leader's report on a request; raises as `headrace.broker.cli.status.one_request.where_is`."""
        return await where_is(self.settings, request_id, None, url=None, cluster=None, timeout_s=within_s)

    async def models(self) -> Iterable[str]:
        """Return the names of the limits that the leader knows, which are models' names as a rule."""
        if time.monotonic() - self._asked_s < (_MODELS_FRESH_S if self._models else _ASKED_AGAIN_AFTER_S):
            return self._models
        self._asked_s = time.monotonic()
        try:
            look = await look_in_redis(self.settings, cluster=None, timeout_s=_REDIS_WITHIN_S)
        except HeadraceError:
            return self._models
        limits = (look.dispatcher.said or {}).get("limits")
        self._models = frozenset(limits) if isinstance(limits, Mapping) else frozenset()
        return self._models
