"""Everything the demo runs on, started in order and stopped in every case.

A real Kafka and a real Valkey with throw-away data, the topics, two simulated OpenAIs with the same seed, and two
dispatchers of which one leads. The simulators run in this process: their latencies are seconds, its loop is idle.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.cli.demo.dispatchers import Dispatchers
from headrace.broker.cli.demo.inside import Lookout
from headrace.broker.cli.demo.steps import Steps
from headrace.broker.cli.demo.timetable import URGENT_EVERY_S
from headrace.broker.local.record import Endpoints
from headrace.broker.local.services import LocalServices
from headrace.broker.settings.lanes import LANE_DEFAULTS
from headrace.broker.simulator.pricing import ChatLaw
from headrace.broker.simulator.upstream import Upstream, UpstreamSettings
from headrace.schemas.topics import topics

PREFIX: Final = "generation"
_READY_WITHIN_S: Final = 60.0
_PROXIES: Final = frozenset({"http_proxy", "https_proxy", "all_proxy"})


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """Parameters of the demo: the leads, and the account, of which each side has one."""

    leads: int = 60
    law: ChatLaw = ChatLaw.CHAT_2025
    seed: int = 7
    tokens_per_minute: int = 10_000
    requests_per_minute: int = 500
    latency_s: tuple[float, float] = (1.0, 4.0)
    urgent_every_s: float = URGENT_EVERY_S

    def upstream(self) -> UpstreamSettings:
        """Return the settings of a simulated OpenAI; both are made from them."""
        return UpstreamSettings(
            tokens_per_minute=self.tokens_per_minute,
            requests_per_minute=self.requests_per_minute,
            law=self.law,
            latency_s=self.latency_s,
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True)
class DemoServices:
    """The running services of the demo."""

    endpoints: Endpoints
    naive_upstream: Upstream
    headrace_upstream: Upstream
    dispatchers: Dispatchers
    lookout: Lookout


@asynccontextmanager
async def set_stage(settings: DemoSettings, steps: Steps) -> AsyncIterator[DemoServices]:
    """Start everything, reporting to `steps`, and stop it at the end.

    Raises:
        LocalServicesError: Kafka or Valkey cannot be had on this machine.
        HeadraceError: The topics or the dispatchers did not come up.
    """
    async with AsyncExitStack() as stack:
        with steps.doing("starting Kafka and Valkey", "Kafka and Valkey with temporary data"):
            services = await stack.enter_async_context(LocalServices(progress=steps.fetched))
            _forget_proxies()
        with steps.doing("creating topics", "topics: three lanes, results, ledger and others"):
            specs = topics(PREFIX, LANE_DEFAULTS, nodes=1)
            await create_missing(KafkaConnection(services.endpoints.bootstrap_servers), specs)
        account = f"{settings.tokens_per_minute:,} tokens a minute, charged by {settings.law}"
        with steps.doing("starting simulated OpenAIs", f"two equal simulated OpenAIs: {account}"):
            naive_upstream = await stack.enter_async_context(Upstream(settings.upstream()))
            headrace_upstream = await stack.enter_async_context(Upstream(settings.upstream()))
        with steps.doing("starting dispatchers", "two dispatchers: one leads, the other stands by"):
            dispatchers = await stack.enter_async_context(
                Dispatchers(services.data_dir, services.endpoints, headrace_upstream.base_url)
            )
            http = await stack.enter_async_context(aiohttp.ClientSession())
            lookout = Lookout(dispatchers, http)
            await lookout.until_ready(within_s=_READY_WITHIN_S)
        try:
            yield DemoServices(services.endpoints, naive_upstream, headrace_upstream, dispatchers, lookout)
        finally:
            steps.stopping()


def _forget_proxies() -> None:
    """Remove proxies from the environment: all calls stay on this machine, and a proxy would get those to 127.0.0.1."""
    for name in [name for name in os.environ if name.lower() in _PROXIES]:
        del os.environ[name]
