"""The door to OpenAI, held to the contract before the simulated OpenAI, over real sockets."""

import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from broker.adapters.openai_calls import OpenAIAccess, OpenAICalls
from broker.simulator.upstream import Scripted, UpstreamSettings
from broker.simulator.upstream import Upstream as Simulated
from tests.contract.upstream_contract import TIMEOUT_S, Served, UpstreamContract, UpstreamWorld

_LONG_S = 30.0


class _Simulated:
    def __init__(self, simulated: Simulated) -> None:
        self._simulated = simulated
        self.bodies: list[Mapping[str, Any]] = []

    def upstream(self, served: Served) -> OpenAICalls:
        def script(_: int, body: Mapping[str, Any]) -> Scripted:
            self.bodies.append(body)
            if served.line == "silent":
                return Scripted(200, {}, delay_s=_LONG_S)
            return Scripted(served.status, served.body, served.headers, dropped=served.line == "cut")

        self._simulated.script(script)
        base_url = f"http://127.0.0.1:{closed_port()}/v1" if served.line == "refused" else self._simulated.base_url
        return OpenAICalls(OpenAIAccess("sk-any", base_url, None, None, timeout_s=TIMEOUT_S, connections_max=4))

    @property
    def ids(self) -> dict[str, int]:
        return {request_id: count.calls for request_id, count in (self._simulated.books(ids=True).ids or {}).items()}


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class TestOpenAICalls(UpstreamContract):
    @pytest.fixture
    async def world(self) -> AsyncIterator[UpstreamWorld]:
        async with Simulated(UpstreamSettings()) as simulated:
            yield _Simulated(simulated)
