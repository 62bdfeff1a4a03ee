"""Retriers are killed (SIGKILL) twenty times while two thousand requests come back: each is on its lane once."""

import asyncio
import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from headrace.broker.local.services import LocalServices
from headrace.schemas.codec import encode_failure
from headrace.schemas.failure import FailureKind, RetryableFailure, key_fields
from tests.integration.fleet import AS_SHIPPED, LANES, Fleet, Process, producing, read_all

FAILURES = 2_000
KILLS = 20
OVER_S = 60.0
PROCESSES = 3
"""One works, one stands by, and one starts while the other two are killed in turn."""


async def park(producer: AIOKafkaProducer, fleet: Fleet, dice: random.Random) -> set[str]:
    """What a dispatcher would have written; returns where each stands."""
    now, futures = datetime.now(UTC), []
    for number in range(FAILURES):
        failure = RetryableFailure(
            id=f"lead-{number}",
            kind=FailureKind.OVERLOADED,
            attempt=1,
            not_before=now + timedelta(seconds=dice.uniform(0, OVER_S)),
            lane=dice.choice(LANES),
            submitted_at=now,
            request={"id": f"lead-{number}", "body": {"model": "gpt-4o-mini", "messages": []}},
            **key_fields(b"tenant-%d" % (number % 50)),
        )
        record = encode_failure(failure, time=now)
        futures.append(
            await producer.send(f"{fleet.prefix}.failures", record.value, key=record.key, headers=list(record.headers))
        )
    written = await asyncio.gather(*futures)
    return {f"{each.topic}/{each.partition}/{each.offset}" for each in written}


async def kill_in_turn(fleet: Fleet, dice: random.Random) -> list[int]:
    """Whoever works, soon after it begins; returns in which term each was."""
    terms: list[int] = []
    starting: set[asyncio.Task[Process]] = set()
    for _ in range(KILLS):
        leader = await fleet.leader("retrier")
        await asyncio.sleep(dice.uniform(0, 0.6))
        terms.append(int((await fleet.status(leader))["term"]))
        await fleet.kill(leader)
        starting.add(asyncio.create_task(fleet.start("retrier")))
    await asyncio.gather(*starting)
    return terms


@pytest.mark.timeout(240)
async def test_retriers_are_killed_twenty_times_and_each_request_is_back_on_its_lane_once(
    services: LocalServices, tmp_path: Path
) -> None:
    dice = random.Random(20261127)
    settings = {"HEADRACE_RETRIER__FLOOR_PER_S": "1000"}
    async with (
        Fleet(services, "killed", "http://127.0.0.1:1", tmp_path, settings, shapes=AS_SHIPPED) as fleet,
        producing(fleet) as producer,
    ):
        await asyncio.gather(*(fleet.start("retrier") for _ in range(PROCESSES)))
        parked = await park(producer, fleet, dice)
        began_s = time.monotonic()
        terms = await kill_in_turn(fleet, dice)
        killed_s = time.monotonic() - began_s
        back: Counter[str] = Counter()
        by_then = time.monotonic() + 60
        while len(back) < FAILURES and time.monotonic() < by_then:
            lanes = [await read_all(fleet, f"requests.{lane}") for lane in LANES]
            back = Counter(dict(each.headers)["headrace-failure"].decode() for lane in lanes for each in lane.records)
        print(f"{KILLS} kills in {killed_s:.0f} s, terms {terms}; all back after {time.monotonic() - began_s:.0f} s")
        assert back == dict.fromkeys(parked, 1)
        assert not (await read_all(fleet, "dead-letters")).records
        assert len(set(terms)) == KILLS, "each had begun a term of its own"
