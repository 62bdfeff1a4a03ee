"""A leader that has led for twelve hours, and then a commit whose outcome is unknown."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos.arena import DISPATCHER, Arena, arena
from tests.chaos.failover import only_plain
from tests.chaos.figures import Figure, settled
from tests.integration.ledger_of_hours import LINES_AN_HOUR, REQUESTS_PER_S, retention_strikes, write_lines

Say = Callable[[str], None]
STALL_S = 13.0
BACK_S = 5.0
CAUGHT_UP_WITHIN_S = 900.0
TRAFFIC_IDS = 2_000
"""What the traffic of a few seconds adds at most: a standby that learns no more than that has read the rest."""


async def led_for_long(directory: Path, say: Say, *, dispatchers: int, hours: int) -> list[Figure]:
    """Kafka stands still for 13 s, twice: behind the ledger of those hours, and with all of it removed."""
    verbs = (DISPATCHER,) * dispatchers
    async with arena(directory, 13, verbs=verbs, nodes=1, prepare=only_plain) as scene:
        leader = next(iter([place for place in scene.places.all if (await scene.status(place))["role"] == "leader"]))
        status, begun_s = await scene.status(leader), time.monotonic()
        written = await write_lines(scene.fleet.connection, scene.fleet.prefix, status, hours * LINES_AN_HOUR)
        say(
            f"{hours} hours at {REQUESTS_PER_S} requests/s: {written / 1_000_000:.0f} MB of ledger, "
            f"written in {time.monotonic() - begun_s:.0f} s"
        )
        await _followed(scene, say)
        behind = f"{dispatchers} dispatcher(s), led for {hours} hours"
        figures = [Figure(f"{behind}, a stall of {STALL_S:.0f} s, until outcomes flow", await _stalled(scene), BACK_S)]
        start = await retention_strikes(scene.fleet.connection, scene.fleet.prefix)
        say(f"retention has removed {start} offsets of the ledger")
        figures.append(Figure(f"{behind}, the same with the ledger gone", await _stalled(scene), BACK_S))
        process = scene.members[leader.name]
        unknown = process.said().count('"transaction_unknown"')
        say(
            f"{unknown} transactions of unknown outcome, {process.said().count('ledger_opened_anew')} times opened anew"
        )
        changed = (await scene.status(leader))["role"] != "leader" or (await scene.status(leader))["term"] != status[
            "term"
        ]
        return [
            *figures,
            Figure("transactions of unknown outcome", unknown, 2, "", at_least=True),
            Figure("changes of leader or term", float(changed), 0, ""),
            Figure("paid answers dropped, so that calls were made again", len(scene.answers.repeated), 0, "calls"),
            *await settled(scene, users_may_see=True),
        ]


async def _followed(scene: Arena, say: Say) -> None:
    """Wait until standbys have read what was written: they follow all the time, so in earnest they would have."""
    begun_s, known = time.monotonic(), list[int]()
    async with asyncio.timeout(CAUGHT_UP_WITHIN_S):
        while len(known) < 4 or abs(known[-1] - known[-4]) > TRAFFIC_IDS or not known[-1]:
            await asyncio.sleep(2)
            statuses = await scene.statuses()
            standbys = [each for each in statuses.values() if each["role"] != "leader"]
            if not standbys:
                return
            known.append(sum(int(each.get("dedupe", {}).get("ids", 0)) for each in standbys))
    say(f"a standby has read it after {time.monotonic() - begun_s:.0f} s, and knows {known[-1]} ids")


async def _stalled(scene: Arena) -> float:
    """Seconds from the end of the stall to the next outcome."""
    await scene.whole()
    os.kill(scene.services.kafka_pid, signal.SIGSTOP)
    await asyncio.sleep(STALL_S)
    before, begun_s = len(scene.outcomes.said), time.monotonic()
    os.kill(scene.services.kafka_pid, signal.SIGCONT)
    await scene.outcomes.until(before + 1, 120)
    flows_s = time.monotonic() - begun_s
    await scene.whole(120)
    return flows_s
