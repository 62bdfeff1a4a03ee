"""What must wait longer than the dispatcher sits out travels over the failures topic and back, whatever dies."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Upstream, UpstreamSettings
from headrace.schemas.headers import ORIGIN
from headrace.schemas.ledger import LedgerKind, LedgerRecord, decode_ledger
from tests.integration.fleet import LANES, Fleet, Ledger, producing, read_all, request, send

REQUESTS = 300
KILLS = 5


def troubled() -> UpstreamSettings:
    """Answers a tenth with a 5xx, and refuses some for longer than `retry.in_place_max_s` of this test."""
    return UpstreamSettings(
        tokens_per_minute=6_000_000,
        requests_per_minute=600_000,
        law="chat-2025",
        latency_s=(1.0, 3.0),
        seed=11,
        port=0,
        error_rate=0.1,
        long_429_rate=0.06,
        long_429_s=1.2,
    )


async def kill_one(fleet: Fleet, verb: str, dice: random.Random) -> None:
    """The one that leads, at a random instant; another takes its place."""
    leader = await fleet.leader(verb)
    await fleet.standby(verb)
    await asyncio.sleep(dice.uniform(0, 1.5))
    await fleet.kill(leader)
    await fleet.start(verb)


def alone_at_deaths(lines: Iterable[LedgerRecord]) -> Counter[str]:
    """Count for each position the terms that died with it named alone: after two deaths it is `crashed`, by design.

    A kill at random takes a record's reader with it as a deadly record does, and the ledger cannot tell them apart
    (docs/design/caution.md): two kills in the few milliseconds in which one record is named alone convict it.
    """
    deaths: Counter[str] = Counter()
    last: LedgerRecord | None = None
    for line in lines:
        if last is not None and line.kind is LedgerKind.CLAIM and _died_alone(last, line.owner):
            deaths[last.suspects[0]] += 1
        last = line
    return deaths


async def ended_requests(fleet: Fleet) -> tuple[Ledger, dict[str, Any]]:
    """Return the outcomes, and the dead letters by id, once each request has one.

    A record that is convicted is not decoded: without an id in its headers it has a dead letter alone.
    """
    until = time.monotonic() + 180
    while True:
        letters = {json.loads(each.value)["id"]: each for each in (await read_all(fleet, "dead-letters")).records}
        outcomes = await read_all(fleet, "results")
        if len(letters.keys() | {value["id"] for value in outcomes.values}) == REQUESTS:
            return outcomes, letters
        if time.monotonic() > until:
            await read_all(fleet, "results", until=REQUESTS - len(letters), within_s=5)  # says what is missing


def _died_alone(last: LedgerRecord, successor: str) -> bool:
    return last.kind is LedgerKind.STEP and last.owner != successor and len(last.suspects) == 1


def test_only_a_term_that_died_with_one_record_named_counts_against_it() -> None:
    def line(kind: str, owner: str, *suspects: str) -> LedgerRecord:
        return LedgerRecord(kind=LedgerKind(kind), term=1, owner=owner, suspects=suspects)

    lived = [line("claim", "a"), line("step", "a", "t/0/7"), line("step", "a"), line("claim", "b")]
    shared = [line("step", "b", "t/0/7", "t/0/8"), line("claim", "c", "t/0/7")]
    alone = [line("step", "c", "t/0/7"), line("claim", "d")]
    left = [line("step", "d", "t/0/7"), line("left", "d"), line("claim", "e")]
    assert alone_at_deaths([*lived, *shared, *alone, *left]) == {"t/0/7": 1}


@pytest.mark.timeout(240)
async def test_retriers_and_dispatchers_are_killed_and_each_request_has_one_outcome(
    services: LocalServices, tmp_path: Path
) -> None:
    dice = random.Random(20261125)
    async with Upstream(troubled()) as upstream:
        settings = {
            "HEADRACE_DISPATCHER__INFLIGHT_MAX": "60",
            "HEADRACE_LIMITS": '{"gpt-4o-mini": {}}',
            "HEADRACE_RETRY__IN_PLACE_MAX_S": "1",
            "HEADRACE_RETRY__ATTEMPTS_MAX": "30",
        }
        async with (
            Fleet(services, "retries", upstream.base_url, tmp_path, settings) as fleet,
            producing(fleet) as producer,
        ):
            for lane, share in zip(LANES, (0.1, 0.3, 0.6), strict=True):
                await send(producer, fleet, lane, [request(f"{lane}-{n}") for n in range(int(REQUESTS * share))])
            for verb in ("dispatcher", "retrier"):
                await fleet.start(verb)
                await fleet.start(verb)
            for _ in range(KILLS):
                await asyncio.gather(kill_one(fleet, "retrier", dice), kill_one(fleet, "dispatcher", dice))
            early = len((await read_all(fleet, "results")).records)
            ledger, letters = await ended_requests(fleet)
            assert ledger.counts() == {(value["id"], 0): 1 for value in ledger.values}
            lines = [decode_ledger(record.value) for record in (await read_all(fleet, "ledger", until=1)).records]
            hit = {place for place, deaths in alone_at_deaths(lines).items() if deaths >= 2}
            origins = {dict(each.headers)[ORIGIN].decode() for each in letters.values()}
            assert origins <= hit, "none failed but by two kills"
            failed = {value["id"] for value in ledger.values if value["status"] != "completed"}
            assert failed <= letters.keys()
            parked = await read_all(fleet, "failures", until=1)
            back = [
                (dict(record.headers)["headrace-failure"], record.timestamp)
                for lane in LANES
                for record in (await read_all(fleet, f"requests.{lane}", until=1)).records
                if "headrace-failure" in dict(record.headers)
            ]
            print(f"{early} outcomes after the last kill, {upstream.books().calls} calls")
            print(f"{len(parked.records)} parked, {len(back)} put back")
            assert early < REQUESTS, "the last of the killed processes had nothing to do"
            assert len(parked.records) >= 10, "the test parked too little to say anything"
            assert len({position for position, _ in back}) == len(back) == len(parked.records)
