"""A process that stands still for as long as a test needs it to, and the commit that is lost by a Kafka that does."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil

from tests.integration.fleet import Process

LOST = '"transaction_unknown"'


@asynccontextmanager
async def standing_still(pid: int) -> AsyncIterator[None]:
    """From SIGSTOP to SIGCONT."""
    process = psutil.Process(pid)
    process.send_signal(signal.SIGSTOP)
    while process.status() != psutil.STATUS_STOPPED:
        await asyncio.sleep(0)  # the signal is on its way; until then the process still answers
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


async def lost_commit(leader: Process, *, at_least_s: float, within_s: float) -> float:
    """Wait, while Kafka stands still, until the leader says that a commit's outcome is unknown, and at least that long.

    Returns:
        After how many seconds it said so.

    Raises:
        AssertionError: It did not say so in time.
    """
    begun_s, before, lost, took_s = time.monotonic(), leader.said().count(LOST), False, 0.0
    while not lost and took_s < within_s:
        await asyncio.sleep(0.1)  # between two looks into its log
        lost, took_s = leader.said().count(LOST) > before, time.monotonic() - begun_s
    assert lost, f"no commit was lost, which {LOST} would say, though Kafka stood still for {took_s:.1f} s"
    assert took_s < within_s, (
        f"a commit was lost after {took_s:.1f} s; Kafka may stand still for {within_s:.0f} s at most"
    )
    await asyncio.sleep(at_least_s - took_s)  # not at all, if that is negative
    return took_s
