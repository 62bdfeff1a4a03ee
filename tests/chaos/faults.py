"""What can go wrong, as coroutines: each does its harm, holds it, undoes it, and says whom it hit."""

import asyncio
import os
import random
import resource
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

import psutil

from tests.chaos.arena import DISPATCHER, NODES, RETRIER, Arena
from tests.chaos.links import Link
from tests.chaos.places import KAFKA, OPENAI, REDIS, Place

RESTARTED_AFTER_S = 1.0
"""A platform starts a dead process again; it does not do so at once."""

Fault = Callable[[Arena, random.Random], Awaitable[str]]
Whom = Callable[[Arena], Awaitable[Place]]


async def _leader(scene: Arena) -> Place:
    return await scene.leader(DISPATCHER)


async def _standby(scene: Arena) -> Place:
    return await scene.standby(DISPATCHER)


async def _retrier(scene: Arena) -> Place:
    return await scene.leader(RETRIER)


# ---------------------------------------------------------------------- processes


async def killed(whom: Whom, scene: Arena, _: random.Random) -> str:
    place = await whom(scene)
    await scene.kill(place)
    await asyncio.sleep(RESTARTED_AFTER_S)
    await scene.start(place)
    return place.name


async def told_to_leave(whom: Whom, scene: Arena, _: random.Random) -> str:
    place = await whom(scene)
    code = await scene.terminate(place)
    assert code == 0, f"{place.name} left with {code}"
    await scene.start(place)
    return place.name


async def stopped(whom: Whom, seconds: tuple[float, float], scene: Arena, dice: random.Random) -> str:
    place, for_s = await whom(scene), dice.uniform(*seconds)
    scene.signal(place, signal.SIGSTOP)
    await asyncio.sleep(for_s)
    scene.signal(place, signal.SIGCONT)
    return f"{place.name}, {for_s:.1f} s"


# ---------------------------------------------------------------------- links


@dataclass(frozen=True)
class Trouble:
    """What is done to links, and for how long."""

    do: Callable[[Link], Awaitable[None]]
    seconds: tuple[float, float]
    to: str
    one_only: bool = False


async def cut(whom: Whom, trouble: Trouble, scene: Arena, dice: random.Random) -> str:
    place, for_s = await whom(scene), dice.uniform(*trouble.seconds)
    links = place.links(trouble.to)
    if trouble.one_only:
        links = [dice.choice(links)]
    for link in links:
        await trouble.do(link)
    await asyncio.sleep(for_s)
    for link in links:
        await link.mend()
    return f"{links[0].name if trouble.one_only else place.name}, {for_s:.1f} s"


async def _narrow(link: Link) -> None:
    await link.narrow(20_000)


async def _slow(link: Link) -> None:
    await link.slow(0.2)


async def _very_slow(link: Link) -> None:
    await link.slow(0.6)


# ---------------------------------------------------------------------- Kafka and Redis


async def node_killed(scene: Arena, dice: random.Random) -> str:
    node, for_s = dice.choice(NODES), dice.uniform(1, 6)
    os.kill(scene.services.kafka_pids[node], signal.SIGKILL)
    await asyncio.sleep(for_s)
    await scene.services.restart_kafka(node)
    return f"node {node}, {for_s:.1f} s"


async def node_stopped(seconds: tuple[float, float], scene: Arena, dice: random.Random) -> str:
    node, for_s = dice.choice(NODES), dice.uniform(*seconds)
    pid = scene.services.kafka_pids[node]
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(for_s)
    os.kill(pid, signal.SIGCONT)
    return f"node {node}, {for_s:.1f} s"


async def node_full(scene: Arena, dice: random.Random) -> str:
    """A node whose disk is full: whatever it appends fails, until somebody makes room and starts it again."""
    node, for_s = dice.choice(NODES), dice.uniform(1, 6)
    ended_after_s = await fill_disk_of(scene, node)
    await asyncio.sleep(for_s)
    await scene.services.restart_kafka(node)
    return f"node {node}, out by itself in {ended_after_s:.1f} s"


async def fill_disk_of(scene: Arena, node: int, within_s: float = 20) -> float:
    """No file of that node may grow any more: seconds until it has ended by itself, as Kafka does without a disk.

    The limit is the process's own and ends with it. An append fails with "File too large" instead of "No space left
    on device"; to Kafka both are the same IOException.
    """
    pid, begun_s = scene.services.kafka_pids[node], time.monotonic()
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    async with asyncio.timeout(within_s):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.02)
    return time.monotonic() - begun_s


async def redis_killed(scene: Arena, dice: random.Random) -> str:
    for_s = dice.uniform(1, 6)
    os.kill(scene.services.valkey_pid, signal.SIGKILL)
    await asyncio.sleep(for_s)
    await scene.services.restart_valkey()
    return f"{for_s:.1f} s"


async def redis_stopped(scene: Arena, dice: random.Random) -> str:
    pid, for_s = scene.services.valkey_pid, dice.uniform(1, 5)
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(for_s)
    os.kill(pid, signal.SIGCONT)
    return f"{for_s:.1f} s"


async def redis_emptied(scene: Arena, _: random.Random) -> str:
    port = scene.places.all[0].redis.target
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"FLUSHALL\r\n")
    await writer.drain()
    said = await reader.readline()
    writer.close()
    assert said.startswith(b"+OK"), said
    return ""


async def leader_and_redis_killed(scene: Arena, dice: random.Random) -> str:
    place = await _leader(scene)
    os.kill(scene.services.valkey_pid, signal.SIGKILL)
    await asyncio.sleep(dice.uniform(0, 1))
    await scene.kill(place)
    await asyncio.sleep(dice.uniform(1, 3))
    await scene.services.restart_valkey()
    await scene.start(place)
    return place.name


async def leader_and_node_killed(scene: Arena, dice: random.Random) -> str:
    place, node = await _leader(scene), dice.choice(NODES)
    os.kill(scene.services.kafka_pids[node], signal.SIGKILL)
    await asyncio.sleep(dice.uniform(0, 1))
    await scene.kill(place)
    await scene.services.restart_kafka(node)
    await scene.start(place)
    return f"{place.name}, node {node}"


SHORT, LONG, HAND_OVER = (0.3, 1.5), (3.0, 6.0), (18.0, 22.0)
"""Shorter than the lease lives; longer; longer than a leader without Kafka keeps its lease."""

FAULTS: Mapping[str, Fault] = {
    "leader killed": partial(killed, _leader),
    "leader told to leave": partial(told_to_leave, _leader),
    "leader stopped, shorter than its lease": partial(stopped, _leader, SHORT),
    "leader stopped, longer than its lease": partial(stopped, _leader, LONG),
    "leader's links to Kafka severed": partial(cut, _leader, Trouble(Link.sever, (1, 6), KAFKA)),
    "leader's links to Kafka silent": partial(cut, _leader, Trouble(Link.silence, (1, 8), KAFKA)),
    "leader's links to Kafka silent until it hands over": partial(
        cut, _leader, Trouble(Link.silence, HAND_OVER, KAFKA)
    ),
    "leader's link to one node severed": partial(cut, _leader, Trouble(Link.sever, (2, 8), KAFKA, one_only=True)),
    "leader's link to one node silent": partial(cut, _leader, Trouble(Link.silence, (2, 8), KAFKA, one_only=True)),
    "leader's link to one node silent until it hands over": partial(
        cut, _leader, Trouble(Link.silence, HAND_OVER, KAFKA, one_only=True)
    ),
    "leader's links to Kafka slow": partial(cut, _leader, Trouble(_slow, (3, 6), KAFKA)),
    "leader's link to Redis severed": partial(cut, _leader, Trouble(Link.sever, (1, 6), REDIS)),
    "leader's link to Redis silent": partial(cut, _leader, Trouble(Link.silence, (1, 6), REDIS)),
    "leader's link to Redis very slow": partial(cut, _leader, Trouble(_very_slow, (2, 6), REDIS)),
    "leader's link to OpenAI severed": partial(cut, _leader, Trouble(Link.sever, (1, 5), OPENAI)),
    "leader's link to OpenAI silent": partial(cut, _leader, Trouble(Link.silence, (1, 6), OPENAI)),
    "leader's link to OpenAI narrow": partial(cut, _leader, Trouble(_narrow, (3, 6), OPENAI)),
    "standby killed": partial(killed, _standby),
    "standby stopped": partial(stopped, _standby, LONG),
    "standby's links to Kafka silent": partial(cut, _standby, Trouble(Link.silence, LONG, KAFKA)),
    "standby's link to Redis severed": partial(cut, _standby, Trouble(Link.sever, LONG, REDIS)),
    "retrier killed": partial(killed, _retrier),
    "retrier told to leave": partial(told_to_leave, _retrier),
    "retrier stopped, shorter than its lease": partial(stopped, _retrier, SHORT),
    "retrier stopped, longer than its lease": partial(stopped, _retrier, LONG),
    "retrier's links to Kafka severed": partial(cut, _retrier, Trouble(Link.sever, (1, 6), KAFKA)),
    "retrier's links to Kafka silent": partial(cut, _retrier, Trouble(Link.silence, (1, 8), KAFKA)),
    "retrier's link to Redis silent": partial(cut, _retrier, Trouble(Link.silence, (1, 6), REDIS)),
    "Kafka node killed": node_killed,
    "Kafka node stopped, briefly": partial(node_stopped, SHORT),
    "Kafka node stopped": partial(node_stopped, LONG),
    "Kafka node's disk full": node_full,
    "Redis killed": redis_killed,
    "Redis stopped": redis_stopped,
    "Redis emptied": redis_emptied,
    "leader and Redis killed": leader_and_redis_killed,
    "leader and a Kafka node killed": leader_and_node_killed,
}
