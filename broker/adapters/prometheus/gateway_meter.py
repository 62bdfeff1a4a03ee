"""Metrics of a gateway: what its clients ask for and get. No label is chosen by a client.

Endpoints and lanes are those that exist, statuses those that OpenAI's API and Headrace use; everything else is `other`,
or the class of its status. Keys, tenants and ids are no labels.
"""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry

from headrace.broker.adapters.prometheus.families import GatewayFamilies
from headrace.broker.adapters.prometheus.labels import BoundedNames
from headrace.broker.adapters.prometheus.process_meter import ProcessMeter, add_to, observe_in, set_to

STATUSES: Final = frozenset(
    {200, 201, 202, 204, 400, 401, 402, 403, 404, 405, 408, 409, 413, 415, 422, 424, 429, 499}
    | {500, 501, 502, 503, 504, 520, 522, 524, 529}
)
"""Statuses with a label of their own; an answer of OpenAI's with another one is counted as `4xx`, say."""
BEGUN: Final = (200, 500, 503, 504)
"""Statuses that are counted from 0 on: an alert needs the first of them."""


class GatewayMetrics(ProcessMeter):
    """Metrics of one gateway, in a registry of their own; a `headrace.broker.gateway.observing.GatewayMeter`."""

    def __init__(self, endpoints: Iterable[str], lanes: Iterable[str], others: Iterable[str] = ()) -> None:
        """`endpoints` are those of calls, `others` what else has a name of its own; each is a label, as lanes are."""
        registry = CollectorRegistry()
        self._families = GatewayFamilies(registry)
        super().__init__(registry, self._families)
        self._calls, self._lane_names = tuple(endpoints), tuple(lanes)
        self._endpoints = BoundedNames(0, known=(*self._calls, *others))
        self._lanes = BoundedNames(0, known=("", *self._lane_names))

    def begin_answers(self) -> None:
        """Begin the counters of answers at 0: of one born with its first event, Prometheus never sees that event."""
        for endpoint in self._calls:
            for lane in self._lane_names:
                for status in BEGUN:
                    add_to(self._families.answers, endpoint, lane, str(status), by=0)

    def inflight_max(self, count: int) -> None:
        """Show the number of calls that this process takes."""
        set_to(self._families.inflight_max, count)

    def answered(self, endpoint: str, lane: str, status: int, seconds: float) -> None:
        """See `GatewayMeter.answered`."""
        shown = self._endpoints.label(endpoint)
        add_to(self._families.answers, shown, self._lanes.label(lane), _status(status))
        observe_in(self._families.answer_seconds, seconds, shown)

    def waiting(self, count: int) -> None:
        """See `GatewayMeter.waiting`."""
        set_to(self._families.waiting, count)

    def streaming(self, count: int) -> None:
        """See `GatewayMeter.streaming`."""
        set_to(self._families.streaming, count)

    def joined(self) -> None:
        """See `GatewayMeter.joined`."""
        add_to(self._families.joins)

    def hung_up(self) -> None:
        """See `GatewayMeter.hung_up`."""
        add_to(self._families.hang_ups)

    def connections(self, count: int) -> None:
        """See `GatewayMeter.connections`."""
        set_to(self._families.connections, count)

    def inflight(self, count: int) -> None:
        """Show the number of calls and uploads under way."""
        set_to(self._families.inflight, count)

    def ready(self, *, is_ready: bool) -> None:
        """Show whether calls are accepted."""
        set_to(self._families.ready, is_ready)

    def keys(self, count: int, *, is_file_ready: bool) -> None:
        """Show the number of keys in force, and whether their file, as it is now, is."""
        set_to(self._families.keys, count)
        set_to(self._families.key_file_ready, is_file_ready)


def _status(status: int) -> str:
    return str(status) if status in STATUSES else f"{str(status)[:1]}xx"
