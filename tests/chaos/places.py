"""Where one process of the fleet runs: its own links to each Kafka node, to Redis and to OpenAI, its own alone.

Kafka tells its clients where its nodes are, so a link in front of the first connection only would be left at once. Each
node therefore has one more listener for each place, and advertises there the port of that place's link.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from headrace.broker.local.free_ports import free_ports
from headrace.broker.local.properties import Node
from tests.chaos.links import Link

KAFKA, REDIS, OPENAI = "kafka", "redis", "openai"


@dataclass(eq=False)
class Place:
    """`verb` is what runs there; `kafka` are the links by node id."""

    name: str
    verb: str
    kafka: Mapping[int, Link]
    redis: Link
    openai: Link

    def links(self, what: str) -> list[Link]:
        return list(self.kafka.values()) if what == KAFKA else [self.redis if what == REDIS else self.openai]

    def environment(self) -> dict[str, str]:
        return {
            "HEADRACE_KAFKA__BOOTSTRAP_SERVERS": ",".join(f"127.0.0.1:{link.port}" for link in self.kafka.values()),
            "HEADRACE_REDIS__URL": f"redis://127.0.0.1:{self.redis.port}/0",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{self.openai.port}/v1",
        }

    async def mend(self) -> None:
        for link in (*self.kafka.values(), self.redis, self.openai):
            await link.mend()


@dataclass
class Places:
    """All places of a run."""

    all: Sequence[Place]

    def node_settings(self, node: Node) -> Mapping[str, object]:
        """A listener of this node for each place; each link is told where it leads."""
        names = [f"PLACE{number}" for number, _ in enumerate(self.all)]
        ports = free_ports(len(names))
        for place, port in zip(self.all, ports, strict=True):
            if node.node_id in place.kafka:
                place.kafka[node.node_id].target = port
        own = f"PLAINTEXT://127.0.0.1:{node.port}"
        listening = [f"{name}://127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)]
        advertised = [
            f"{name}://127.0.0.1:{place.kafka[node.node_id].port}"
            for name, place in zip(names, self.all, strict=True)
            if node.node_id in place.kafka
        ]
        return {
            "listeners": ",".join([own, f"CONTROLLER://127.0.0.1:{node.controller_port}", *listening]),
            "advertised.listeners": ",".join([own, *advertised]),
            "listener.security.protocol.map": ",".join(
                f"{name}:PLAINTEXT" for name in ("PLAINTEXT", "CONTROLLER", *names)
            ),
        }

    def lead_to(self, *, redis: int, openai: int) -> None:
        for place in self.all:
            place.redis.target, place.openai.target = redis, openai


@asynccontextmanager
async def placed(verbs: Sequence[str], nodes: int) -> AsyncIterator[Places]:
    """A place for each verb; every link listens, and leads nowhere yet."""
    ports = iter(free_ports(len(verbs) * (nodes + 2)))
    async with AsyncExitStack() as stack:
        places = []
        for index, verb in enumerate(verbs):
            name = f"{verb}-{verbs[: index + 1].count(verb)}"
            kafka = {number: Link(f"{name}>{KAFKA}-{number}", next(ports)) for number in range(1, nodes + 1)}
            place = Place(
                name, verb, kafka, Link(f"{name}>{REDIS}", next(ports)), Link(f"{name}>{OPENAI}", next(ports))
            )
            for link in (*kafka.values(), place.redis, place.openai):
                await stack.enter_async_context(link)
            places.append(place)
        yield Places(places)
