"""A thousand good requests among two hundred bad records: the good ones are served, and nothing that is bad is lost."""

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Upstream, UpstreamSettings
from headrace.schemas.topics import TopicShape
from tests.integration.fleet import FEW, LANES, Fleet, Ledger, read_all, request

GOOD = 1_000
PROMPT, KEY = b"confidential-prompt-text", b"sk-secret-of-the-tests"
EIGHT_MIB = 8 * 1024 * 1024


@dataclass(frozen=True)
class Bad:
    """A kind of bad record; `outcome` tells whether an id can be read from it."""

    kind: str
    value: bytes | None
    outcome: bool


def bad_records(count: int, dice: random.Random) -> list[Bad]:
    made = [Bad("five megabytes", dice.randbytes(5_000_000), outcome=False) for _ in range(2)]
    while len(made) < count:
        made += _one_of_each(len(made), dice)
    return made[:count]


def _one_of_each(number: int, dice: random.Random) -> list[Bad]:
    def with_id(kind: str, **changed: object) -> Bad:
        shape = request(f"bad-{number}-{kind.replace(' ', '-')}") | changed
        return Bad(kind, json.dumps(shape).encode(), outcome=True)

    body = {"model": "gpt-4o-mini", "messages": []}
    return [
        Bad("no JSON", b"confidential-prompt-text {", outcome=False),
        Bad("not UTF-8", b"\xff\xfe\x00 confidential-prompt-text", outcome=False),
        Bad("garbage", dice.randbytes(900_000), outcome=False),
        Bad("null", None, outcome=False),
        Bad("wrong shape", b'["confidential-prompt-text"]', outcome=False),
        with_id("no body", body=None),
        with_id("body a string", body="confidential-prompt-text"),
        with_id("unknown endpoint", endpoint="images"),
        with_id("forbidden key", body=body | {"extra_headers": {"authorization": "confidential-prompt-text"}}),
        with_id("time-out asked", body=body | {"timeout": 5}),
    ]


async def feed(fleet: Fleet, values: list[tuple[str, bytes | None]]) -> None:
    """Send values to their lanes, spread over the partitions."""
    producer = AIOKafkaProducer(
        bootstrap_servers=fleet.services.endpoints.bootstrap_servers, max_request_size=EIGHT_MIB, linger_ms=5
    )
    await producer.start()
    try:
        sent = [
            await producer.send(f"{fleet.prefix}.requests.{lane}", value, key=None if value else b"null")
            for lane, value in values
        ]
        for each in sent:
            await each
    finally:
        await producer.stop()


def records(dice: random.Random, bad: list[Bad]) -> list[tuple[str, bytes | None]]:
    """The good ones and these, in any order, each with its lane."""
    values: list[tuple[str, bytes | None]] = [
        (dice.choice(LANES), json.dumps(request(f"good-{n}", words=20)).encode()) for n in range(GOOD)
    ]
    values += [(dice.choice(LANES), each.value) for each in bad]
    dice.shuffle(values)
    return values


async def served(
    fleet: Fleet, values: list[tuple[str, bytes | None]], bad: list[Bad], all_lead: asyncio.Barrier
) -> tuple[float, Ledger]:
    """Seconds from the first record sent to the last good outcome read."""
    await fleet.until(await fleet.start(), "leader")
    await all_lead.wait()
    started_s = time.monotonic()
    await feed(fleet, values)
    outcomes = GOOD + sum(each.outcome for each in bad)
    ledger = await read_all(fleet, "results", until=outcomes, within_s=120)
    return time.monotonic() - started_s, ledger


@pytest.mark.timeout(300)
async def test_bad_records_cost_only_themselves(services: LocalServices, tmp_path: Path) -> None:
    """Good requests alone are served at the same time by another dispatcher: the machine is as busy for both."""
    dice = random.Random(3)
    upstream_settings = UpstreamSettings(
        tokens_per_minute=6_000_000, requests_per_minute=600_000, law="chat-2025", latency_s=(0.4, 0.8), seed=7, port=0
    )
    settings = {
        "HEADRACE_DISPATCHER__INFLIGHT_MAX": "50",
        "HEADRACE_TOPICS__REQUESTS__MAX_MESSAGE_BYTES": str(EIGHT_MIB),
        "HEADRACE_LIMITS": '{"gpt-4o-mini": {}}',
    }
    bad = bad_records(200, dice)
    shapes = {**FEW, "requests": TopicShape(max_message_bytes=EIGHT_MIB)}
    async with Upstream(upstream_settings) as upstream:

        def fleet(prefix: str) -> Fleet:
            (tmp_path / prefix).mkdir()
            return Fleet(services, prefix, upstream.base_url, tmp_path / prefix, settings, shapes=shapes)

        all_lead = asyncio.Barrier(2)
        async with fleet("pure") as pure, fleet("mixed") as mixed:
            (pure_s, alone), (mixed_s, ledger) = await asyncio.gather(
                served(pure, records(dice, []), [], all_lead), served(mixed, records(dice, bad), bad, all_lead)
            )
            assert not (await read_all(pure, "dead-letters")).records
            letters = await read_all(mixed, "dead-letters", until=len(bad))
            process = mixed.processes[0]
            told = [process.log.read_bytes(), (await mixed.get(process, "/metrics"))[1].encode()]
            told.append(json.dumps(await mixed.status(process)).encode())
        print(f"good requests alone {pure_s:.1f} s, among bad records {mixed_s:.1f} s")
        assert mixed_s <= 1.2 * pure_s + 0.5
        assert alone.counts() == {(f"good-{n}", 0): 1 for n in range(GOOD)}
        completed = [value["id"] for value in ledger.values if value["status"] == "completed"]
        assert sorted(completed) == sorted(f"good-{n}" for n in range(GOOD))
        failed = [value for value in ledger.values if value["status"] == "failed"]
        assert Counter(value["reason"] for value in failed) == {"invalid_request": sum(each.outcome for each in bad)}
        assert len(letters.records) == len(bad)
        check_letters(letters, bad)
        for text in told:
            assert PROMPT not in text
            assert KEY not in text


def check_letters(letters: Ledger, bad: list[Bad]) -> None:
    """Every bad record has its dead letter, whole if it fits, with reason and origin; no good one has."""
    wanted = Counter(each.value for each in bad if each.kind != "five megabytes")
    found: Counter[bytes | None] = Counter()
    reasons: Counter[str] = Counter()
    for record in letters.records:
        headers = {name: value.decode() for name, value in record.headers}
        reasons[headers["headrace-reason"]] += 1
        topic, partition, offset = headers["headrace-origin"].rsplit("/", 2)
        assert topic.startswith("mixed.requests.")
        assert int(partition) >= 0
        assert int(offset) >= 0
        if "headrace-sha256" in headers:
            assert int(headers["headrace-length"]) == 5_000_000
        else:
            found[record.value] += 1
    assert found == wanted
    with_id = sum(each.outcome for each in bad)
    assert reasons == {"invalid_request": with_id, "undecodable": len(bad) - with_id}
