"""Kafka as a cluster: one node, or three of which any one may die.

Production asks for three: every topic has three replicas, a write is acknowledged once two have it, and a majority of
controllers decides. Of two nodes none may be lost, and five would show nothing that three do not. A cluster is ready
when each of its nodes reports that it has joined and has caught up, and a transactional producer starts.
"""

import asyncio
import re
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from headrace.broker.adapters.kafka.probe import nodes_in_sync, reachable
from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.formatted import random_id
from headrace.broker.local.free_ports import accepts
from headrace.broker.local.kafka import READY_WITHIN_S, Kafka
from headrace.broker.local.processes import Process, is_running
from headrace.broker.local.properties import Node, NodeSettings, ours_alone
from headrace.broker.local.waiting import PollTimer

_SIZES = (1, 3)
_PROBE_S = 8.0
_CLUSTER_ID = re.compile(r"^cluster\.id=(\S+)$", re.MULTILINE)
_VOTERS = re.compile(r"^controller\.quorum\.voters=(\S+)$", re.MULTILINE)


def require_size(nodes: int) -> None:
    """Raise LocalServicesError (exit code 2) for a number of nodes that makes no sense."""
    if nodes not in _SIZES:
        sentence = f"A local Kafka has 1 node or 3, not {nodes}: three are the fewest that survive the loss of one."
        raise LocalServicesError(sentence, exit_code=2)


def size_of_data(data_dir: Path) -> int | None:
    """Return the number of nodes of the Kafka that wrote the data in this directory; None where there are none."""
    for meta in sorted(data_dir.glob("kafka-*/data/meta.properties")):
        if voters := voters_in(meta.parents[1]):
            return len(voters)
    return None


def voters_in(home: Path) -> list[str]:
    """Return the controllers that a node's settings name; none without settings."""
    found = _VOTERS.search(_text(home / "server.properties"))
    return [] if found is None else found[1].split(",")


def require_same_size(data_dir: Path, nodes: int) -> None:
    """Raise LocalServicesError (exit code 2) for another number of nodes than the data have: no start can change it."""
    found = size_of_data(data_dir)
    if found is not None and found != nodes:
        sentence = f"The data in {data_dir} belong to a Kafka with {found} node{'s' if found > 1 else ''}"
        raise LocalServicesError(
            f"{sentence}: start it with `--nodes {found}`, or name another directory.", exit_code=2
        )


class KafkaCluster:
    """The nodes by their ids, 1 first."""

    def __init__(
        self,
        ports: Sequence[tuple[int, int]],
        data_dir: Path,
        java: tuple[str, ...],
        node_settings: NodeSettings = ours_alone,
        kept_format: Path | None = None,
    ) -> None:
        """Prepare the nodes; `ports` has each one's own port and its controller's, and all else is as in `Kafka`."""
        peers = tuple(Node(number, *pair) for number, pair in enumerate(ports, start=1))
        self.nodes = {
            peer.node_id: Kafka(peer, peers, data_dir, java, node_settings, kept_format=kept_format) for peer in peers
        }
        self._data_dir = data_dir

    @property
    def bootstrap_servers(self) -> str:
        """Every node's address, so that a client finds the others when one is dead."""
        return _addresses(self.nodes.values())

    @property
    def processes(self) -> dict[int, Process]:
        """The processes that have been started, by their nodes' ids."""
        return {number: process for number, node in self.nodes.items() if (process := node.process) is not None}

    @property
    def is_running(self) -> bool:
        """Whether a majority runs at this moment: one of three may be dead, as in production."""
        return majority(len(self.nodes), sum(is_running(process) for process in self.processes.values()))

    @property
    def address_is_taken(self) -> bool:
        """Whether some node found one of its ports taken."""
        return any(node.address_is_taken for node in self.nodes.values())

    def chosen(self, node_ids: Iterable[int]) -> tuple[Kafka, ...]:
        """Return these nodes, or all where none is named; LocalServicesError for an id that no node has."""
        wanted = tuple(node_ids) or tuple(self.nodes)
        for number in wanted:
            if number not in self.nodes:
                sentence = f"There is no Kafka node {number}: the local ones are {', '.join(map(str, self.nodes))}."
                raise LocalServicesError(sentence, exit_code=2)
        return tuple(self.nodes[number] for number in wanted)

    def prepare(self) -> None:
        """Write every node's files and format empty directories, in parallel: a format may take a Java of its own."""
        cluster_id = _cluster_id(self._data_dir)
        with ThreadPoolExecutor(len(self.nodes), thread_name_prefix="headrace-format") as pool:
            list(pool.map(lambda node: node.prepare(cluster_id), self.nodes.values()))

    def await_ready(self, nodes: Sequence[Kafka], abandon: threading.Event) -> None:
        """Wait until these nodes take part and a transaction can begin.

        Raises:
            LocalServicesError: One of them died, it took too long, or the owner gave up.
        """
        patience = PollTimer(READY_WITHIN_S, abandon)
        while not self._take_part(nodes):
            for node in nodes:
                if node.has_ended:
                    raise node.failure("ended instead of starting")
            if not patience.pause():
                raise nodes[0].failure(f"was not ready within {READY_WITHIN_S:.0f} s")

    def _take_part(self, nodes: Sequence[Kafka]) -> bool:
        return all(accepts(node.node.port) for node in nodes) and asyncio.run(_ready(nodes))


def majority(of: int, alive: int) -> bool:
    """Return whether `alive` nodes can elect a controller and acknowledge a write."""
    return alive > of // 2


async def _ready(nodes: Sequence[Kafka]) -> bool:
    """Ask each node itself: its peers believe for seconds that it never left, and only a node that serves knows."""
    wanted = {node.node.node_id for node in nodes}
    asked = (nodes_in_sync("127.0.0.1", node.node.port, timeout_s=_PROBE_S) for node in nodes)
    seen = await asyncio.gather(*asked)
    return all(wanted <= each for each in seen) and await reachable(_addresses(nodes), timeout_s=_PROBE_S)


def _addresses(nodes: Iterable[Kafka]) -> str:
    return ",".join(f"127.0.0.1:{node.node.port}" for node in nodes)


def _cluster_id(data_dir: Path) -> str:
    """Return the id in a formatted directory; else a new one."""
    for meta in sorted(data_dir.glob("kafka-*/data/meta.properties")):
        found = _CLUSTER_ID.search(_text(meta))
        if found is not None:
            return found[1]
    return random_id()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
