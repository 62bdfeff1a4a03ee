"""A leader that has led for twelve hours, and then a commit whose outcome is unknown.

Twelve hours are written in a minute or two, and Kafka stamps each line as it comes. So an hour is told by the dedupe
window, which is a minute here: the lines of all hours but one are written, then the window passes, then the last hour's
are. A standby that begins then has to read that hour, as it would in earnest; one that stands by all the time
would have to read in a minute what it has twelve hours for.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.chaos.arena import DISPATCHER, SETTINGS, Arena, arena
from tests.chaos.failover import only_plain
from tests.chaos.figures import Figure, settled
from tests.chaos.places import Place
from tests.integration.ledger_of_hours import LINES_AN_HOUR, REQUESTS_PER_S, retention_strikes, write_lines

Say = Callable[[str], None]
STALL_S = 13.0
BACK_S = 5.0
WINDOW_S = 60
"""The shortest dedupe window there is. A line is older than it a moment after it."""
MARGIN_S = 5
READY_WITHIN_S = 120.0


async def led_for_long(directory: Path, say: Say, *, dispatchers: int, hours: int) -> list[Figure]:
    """Kafka stands still for 13 s, twice: behind the ledger of those hours, and with all of it removed."""
    verbs, settings = (DISPATCHER,) * dispatchers, {**SETTINGS, "HEADRACE_DEDUPE__WINDOW_S": str(WINDOW_S)}
    async with arena(directory, 13, verbs=verbs, nodes=1, settings=settings, prepare=only_plain) as scene:
        leader = next(iter([place for place in scene.places.all if (await scene.status(place))["role"] == "leader"]))
        standbys = [place for place in scene.places.all if place is not leader]
        status = await scene.status(leader)
        for standby in standbys:
            await scene.terminate(standby)
        await _write_hours(scene, status, hours, say)
        behind = f"{dispatchers} dispatcher(s), led for {hours} hours"
        figures = [
            Figure(f"{behind}, until a new standby is ready", await _ready(scene, each, say), READY_WITHIN_S)
            for each in standbys
        ]
        figures.append(
            Figure(f"{behind}, a stall of {STALL_S:.0f} s, until outcomes flow", await _stalled(scene), BACK_S)
        )
        start = await retention_strikes(scene.fleet.connection, scene.fleet.prefix)
        say(f"retention has removed {start} offsets of the ledger")
        figures.append(Figure(f"{behind}, the same with the ledger gone", await _stalled(scene), BACK_S))
        process = scene.members[leader.name]
        unknown = process.said().count('"transaction_unknown"')
        say(
            f"{unknown} transactions of unknown outcome, {process.said().count('ledger_opened_anew')} times opened anew"
        )
        now = await scene.status(leader)
        changed = (now["role"], now.get("term")) != ("leader", status["term"])
        return [
            *figures,
            Figure("transactions of unknown outcome", unknown, 2, "", at_least=True),
            Figure("changes of leader or term", float(changed), 0, ""),
            Figure("paid answers dropped, so that calls were made again", len(scene.answers.repeated), 0, "calls"),
            *await settled(scene, users_may_see=True),
        ]


async def _write_hours(scene: Arena, status: dict[str, Any], hours: int, say: Say) -> None:
    """The lines of all hours; those of the last one alone are in the window."""
    connection, prefix, begun_s = scene.fleet.connection, scene.fleet.prefix, time.monotonic()
    written = await write_lines(connection, prefix, status, (hours - 1) * LINES_AN_HOUR)
    await asyncio.sleep(WINDOW_S + MARGIN_S)
    written += await write_lines(connection, prefix, status, LINES_AN_HOUR)
    took_s = time.monotonic() - begun_s - WINDOW_S - MARGIN_S
    say(
        f"{hours} hours at {REQUESTS_PER_S} requests/s: {written / 1_000_000:.0f} MB of ledger,"
        f" written in {took_s:.0f} s"
    )


async def _ready(scene: Arena, place: Place, say: Say) -> float:
    """Seconds from its start until a process stands by and is ready, which knows the ids of the window then."""
    begun_s = time.monotonic()
    await scene.start(place)
    while True:
        status, took_s = await scene.status(place), time.monotonic() - begun_s
        if all(status.get("ready", {"": False}).values()) or took_s > READY_WITHIN_S:
            break
        await asyncio.sleep(0.1)
    say(f"a standby is ready after {took_s:.1f} s, and knows {status.get('dedupe', {}).get('ids')} ids")
    return took_s


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
