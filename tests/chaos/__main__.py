"""Chaos from the command line: `run` plays faults at random, each other name measures one promise.

python -m tests.chaos run --faults 200
python -m tests.chaos leader-kills
python -m tests.chaos all
"""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from tests.chaos.after_deaths import after_deaths
from tests.chaos.endurance import endurance
from tests.chaos.failover import hand_overs, leader_kills, long_hand_over, stopped_leaders
from tests.chaos.faults import FAULTS
from tests.chaos.figures import Figure
from tests.chaos.led_for_long import led_for_long
from tests.chaos.outages import cluster_away, failover_429s, nodes_away, redis_away, redis_emptied_often
from tests.chaos.run import HOSTILE_SHARE, play
from tests.chaos.stuck_head import stuck_head

ALL, LONGEST = "all", "endurance"
HOSTILE_MAX = 10
"""Per cent: at most one record in 1,000 is a bomb then."""
Measurement = Callable[[Path, Callable[[str], None]], Awaitable[list[Figure]]]


def measurements(times: int | None, minutes: float) -> dict[str, tuple[Measurement, str]]:
    """By name, each with how long it takes."""
    return {
        "leader-kills": (partial(leader_kills, nodes=1, times=times or 50), "50 kills, one node: 6 min"),
        "leader-kills-3": (partial(leader_kills, nodes=3, times=times or 50), "50 kills, three nodes: 7 min"),
        "hand-overs": (partial(hand_overs, times=times or 3), "SIGTERM, calls up to 10 s: 2 min"),
        "long-hand-over": (long_hand_over, "SIGTERM, calls of 60 s: 1 min"),
        "stopped-leaders": (partial(stopped_leaders, times=times or 5), "SIGSTOP: 2 min"),
        "redis-away": (redis_away, "Redis killed for a minute while tokens are scarce: 3 min"),
        "redis-emptied": (partial(redis_emptied_often, times=times or 20), "FLUSHALL, 20 times: 1 min"),
        "nodes-away": (
            partial(nodes_away, times=times or 3),
            "one Kafka node killed, then stopped, then without a disk: 4 min",
        ),
        "cluster-away": (cluster_away, "all Kafka nodes killed for two minutes: 3 min"),
        "failover-429s": (partial(failover_429s, times=times or 3), "kills at 95 % load: 5 min"),
        "led-for-long": (
            partial(led_for_long, dispatchers=1, hours=times or 12),
            "a ledger of --times 12 hours, Kafka stalled twice, its lines removed: 4 min",
        ),
        "led-for-long-2": (
            partial(led_for_long, dispatchers=2, hours=times or 12),
            "the same with a standby that starts behind those hours: 4 min",
        ),
        "stuck-head": (stuck_head, "10,000 answered behind one that is not, then a kill: 3 min"),
        "one-death": (partial(after_deaths, deaths=1), "SIGKILL with 6,000 taken, and the rate after it: 2 min"),
        "three-deaths": (partial(after_deaths, deaths=3), "three of them in a row: 2 min"),
        "endurance": (partial(endurance, minutes=minutes), "50 calls a second for --minutes 60"),
    }


def main() -> int:
    known = measurements(None, 60)
    told = "\n".join(f"  {name:<16} {what}" for name, (_, what) in known.items())
    told += f"\n  {ALL:<16} all of these but {LONGEST}, one after the other: 40 min"
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="run: faults at random, 15 s each. Or one of:\n" + told,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=["run", *known, ALL], metavar="NAME")
    parser.add_argument("--faults", type=int, default=200, help="of run: how many")
    parser.add_argument("--seed", type=int, default=None, help="of run: which; without it a new one, which is told")
    parser.add_argument(
        "--hostile",
        type=float,
        default=100 * HOSTILE_SHARE,
        help="of run: per cent of all records that are hostile; 0: none",
    )
    parser.add_argument("--only", action="append", choices=list(FAULTS), help="of run: this fault; may be given again")
    parser.add_argument("--json", type=Path, default=None, help="of run: where the report goes as JSON")
    parser.add_argument("--times", type=int, default=None, help="of a measurement: how often")
    parser.add_argument("--minutes", type=float, default=60, help="of endurance")
    parser.add_argument("--logs", type=Path, default=None, help="where the processes' logs go")
    asked = parser.parse_args()
    if not 0 <= asked.hostile <= HOSTILE_MAX:
        parser.error(f"--hostile is a share from 0 to {HOSTILE_MAX} per cent")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)  # what our own clients raise is in the report
    logs = asked.logs or Path(tempfile.mkdtemp(prefix="headrace-chaos-"))
    logs.mkdir(parents=True, exist_ok=True)
    if asked.what == "run":
        return _run(asked, logs)
    names = [name for name in known if name != LONGEST] if asked.what == ALL else [asked.what]
    return max([_measure(name, asked, logs / name) for name in names])


def _run(asked: argparse.Namespace, logs: Path) -> int:
    seed = random.SystemRandom().randrange(1_000_000) if asked.seed is None else asked.seed
    names, share = asked.only or tuple(FAULTS), asked.hostile / 100
    report = asyncio.run(play(logs, seed, asked.faults, say=_say, names=names, hostile_share=share))
    for line in report.summary():
        _say(line)
    if asked.json is not None:
        asked.json.write_text(report.as_json() + "\n")
    return 0 if report.is_fine else 1


def _measure(name: str, asked: argparse.Namespace, logs: Path) -> int:
    measure, _ = measurements(asked.times, asked.minutes)[name]
    logs.mkdir(parents=True, exist_ok=True)
    begun_s = time.monotonic()
    try:
        figures = asyncio.run(_measured(measure, logs))
    except AssertionError as broken:
        _say(f"BROKEN  {name}: {broken}")
        return 1
    for figure in figures:
        _say(figure.line())
    _say(f"{name}: {time.monotonic() - begun_s:.0f} s, logs in {logs}")
    return 0 if all(figure.is_kept for figure in figures) else 1


async def _measured(measure: Measurement, logs: Path) -> list[Figure]:
    return await measure(logs, _say)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
