"""`headrace status` and `headrace dead-letters` as an operator uses them, with Kafka, Redis or both away."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import cluster_id, create_missing
from headrace.broker.adapters.redis.lease import RedisLease, status_key
from headrace.broker.adapters.redis.lifetimes import STATUS_KEPT_MS
from headrace.broker.adapters.redis.status import RedisStatus
from headrace.broker.cli.main import main
from headrace.broker.local.services import LocalServices
from headrace.consumers.dead_letters import DeadLetterReader
from headrace.schemas.codec import encode_dead_letter
from headrace.schemas.record import Record
from headrace.schemas.topics import TopicShape, dead_letters_topic, topics
from tests.integration.fleet import Fleet
from tests.integration.test_frozen_kafka import frozen

AWAY = "127.0.0.1:1"
PROMPT = "confidential-prompt"
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def prefix(services: LocalServices, monkeypatch: pytest.MonkeyPatch) -> str:
    named = f"ops-{uuid4().hex[:8]}"
    monkeypatch.setenv("HEADRACE_KAFKA__BOOTSTRAP_SERVERS", services.endpoints.bootstrap_servers)
    monkeypatch.setenv("HEADRACE_REDIS__URL", services.endpoints.redis_url)
    monkeypatch.setenv("HEADRACE_KAFKA__TOPIC_PREFIX", named)
    return named


# ---------------------------------------------------------------------------------------------------- status


def reported(services: LocalServices, name: str, cluster: str, *, term: int, age_s: float = 0.0) -> str:
    """What a leader of that cluster would leave, and a standby beside it; the lease's key."""
    key = f"headrace:{cluster}:{name}"

    async def leave() -> None:
        lease = RedisLease(services.endpoints.redis_url, key, ttl_ms=60_000, token="t")
        redis: Redis = Redis.from_url(services.endpoints.redis_url)
        try:
            await lease.take()
            ready = {"kafka": True, "redis": True}
            told = {"role": "leader", "owner": "t", "host": "h", "term": term, "ready": ready, "topic_prefix": name}
            await lease.publish_status(json.dumps(told))
            await lease.note_ready()
            if age_s:
                await redis.pexpire(status_key(key), STATUS_KEPT_MS - round(age_s * 1_000))
        finally:
            await lease.close()
            await redis.aclose()

    asyncio.run(leave())
    return key


def real_cluster(services: LocalServices) -> str:
    return asyncio.run(cluster_id(KafkaConnection(services.endpoints.bootstrap_servers)))


def status(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["status", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_the_status_of_our_cluster_is_read_with_the_retriers_beside_it(
    services: LocalServices, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = real_cluster(services)
    key = reported(services, f"{prefix}.dispatcher", cluster, term=3)
    reported(services, f"{prefix}.dispatcher", "another-cluster", term=4)
    reported(services, f"{prefix}.retrier", cluster, term=7)
    code, told = status(capsys)
    assert (code, told["term"], told["retrier"]["term"]) == (0, 3, 7)
    assert told["source"] == {"kind": "redis", "place": f"{key}:status"}
    assert 0 <= told["age_s"] < 3
    assert (told["holder"], told["standbys"], told["remarks"]) == ("t", 1, [])


def test_without_kafka_it_is_found_by_walking_and_nobody_guesses_between_clusters(
    services: LocalServices, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reported(services, f"{prefix}.dispatcher", "east", term=3, age_s=90)
    code, told = status(capsys, "--bootstrap-servers", AWAY)
    assert (code, told["term"]) == (1, 3)
    assert 90 <= told["age_s"] < 93
    assert told["findings"][0]["sentence"].startswith("No dispatcher has reported for 1 min 3")
    assert "a search through Redis" in told["remarks"][0]
    reported(services, f"{prefix}.dispatcher", "west", term=4)
    assert main(["status", "--bootstrap-servers", AWAY]) == 2
    assert "2 clusters have reported" in (said := capsys.readouterr().err)
    assert "east (9" in said
    assert "--cluster ID" in said
    code, told = status(capsys, "--bootstrap-servers", AWAY, "--cluster", "west")
    assert (code, told["term"]) == (0, 4)


def test_a_report_of_another_cluster_is_never_taken_for_ours(
    services: LocalServices, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reported(services, f"{prefix}.dispatcher", "another-cluster", term=4)
    code, told = status(capsys)
    assert (code, told["age_s"]) == (1, None)
    assert "term" not in told
    assert "this Redis has reports of another-cluster: check redis.url." in told["remarks"][0]


async def test_names_are_taken_as_they_stand_and_not_as_patterns(services: LocalServices) -> None:
    redis: Redis = Redis.from_url(services.endpoints.redis_url)
    ours, mark = RedisStatus(services.endpoints.redis_url), uuid4().hex
    await redis.set(status_key(f"{mark}[a]*:c?:p-x.dispatcher"), "{}")
    await redis.set(status_key(f"{mark}a:c:p-x.dispatcher"), "{}")
    assert await ours.clusters(f"{mark}[a]*", "p-x.dispatcher") == ["c?"]
    assert await ours.clusters(f"{mark}?", "p-x.dispatcher") == []
    await ours.close()
    await redis.aclose()


async def test_a_real_leader_is_seen_though_kafka_is_frozen_and_though_redis_is_away(
    services: LocalServices,
    prefix: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def told(*arguments: str) -> dict[str, Any]:
        await asyncio.to_thread(main, ["status", "--json", *arguments])
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    async with Fleet(services, prefix, f"http://{AWAY}", tmp_path) as fleet:
        leader = await fleet.start()
        term = (await fleet.until(leader, "leader"))["term"]
        while (await told()).get("term") != term:
            await asyncio.sleep(0.1)
        async with frozen(services):
            while_frozen = await told()
        asked = await told("--url", f"127.0.0.1:{leader.port}")
        monkeypatch.setenv("HEADRACE_DISPATCHER__HTTP_PORT", str(leader.port))
        monkeypatch.setenv("HEADRACE_REDIS__URL", f"redis://{AWAY}/0")
        here = await told("--timeout", "0.1")
        await fleet.kill(leader)
    assert (while_frozen["term"], while_frozen["pid"], while_frozen["source"]["kind"]) == (term, leader.pid, "redis")
    assert while_frozen["age_s"] < 5
    assert "Kafka does not answer from here" in while_frozen["remarks"][0]
    assert (asked["term"], asked["source"]["kind"]) == (term, "url")
    assert (here["term"], here["source"]["kind"]) == (term, "url")
    assert "So the dispatcher on this machine was asked." in here["remarks"][0]


def test_with_neither_it_is_exit_3_and_names_the_way_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADRACE_REDIS__URL", f"redis://{AWAY}/0")
    monkeypatch.setenv("HEADRACE_DISPATCHER__HTTP_PORT", "1")
    assert main(["status", "--bootstrap-servers", AWAY, "--timeout", "0.1"]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("headrace: No Headrace runs here. No Redis listens at 127.0.0.1:1: start it, ")
    assert said.err.endswith("or name a dispatcher with --url http://HOST:PORT.\n")


# ---------------------------------------------------------------------------------------------------- dead letters


def value(request_id: str, *, model: str = "gpt-4o-mini", tenant: str = "acme", text: str = PROMPT) -> bytes:
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    return json.dumps({"id": request_id, "tenant": tenant, "body": body, "metadata": {"note": PROMPT}}).encode()


def letter(content: bytes | None, number: int, *, key: bytes | None = b"acme", **fields: Any) -> Record:
    told: dict[str, Any] = {"reason": "rejected", "attempts": 1, "run": 0, "max_bytes": 1_000_000}
    headers = fields.pop("headers", (("x-note", b"\x1b[31m"),))
    failed_at = NOW - timedelta(minutes=100 - number)
    origin = ("t.requests.bulk", 0, number)
    return encode_dead_letter(key, content, headers, origin=origin, failed_at=failed_at, **(told | fields))


PLANTED = (
    letter(value("lead-0"), 0),
    letter(value("lead-1", model="gpt-4.1"), 1, reason="deadline_exceeded", attempts=3),
    letter(value("lead-2", text="x" * 5_000_000), 2),
    letter(b"\xff\xfe\x1b[2J no JSON " + PROMPT.encode(), 3, reason="undecodable", headers=()),
    letter(None, 4, headers=(("ce_subject", b"lead-4"),)),
    letter(b"", 5, key=None, reason="lost_by_retention", headers=()),
    letter(value("lead-0"), 6, run=1, reason="exhausted", attempts=8),
    letter(value("lead-7", tenant="zeta", text="y" * 5_000_000), 7, max_bytes=6_000_000),
)


async def plant(connection: KafkaConnection, prefix: str) -> None:
    """Committed ones in turn over three partitions, a stranger's record, and one that was never committed."""
    shapes = {"dead_letters": TopicShape(partitions=3, max_message_bytes=8 * 1024 * 1024)}
    await create_missing(connection, topics(prefix, ["bulk"], shapes, nodes=1))
    topic = dead_letters_topic(prefix)
    producer = AIOKafkaProducer(
        **connection.client_kwargs(), transactional_id=f"{prefix}.planter", max_request_size=8 * 1024 * 1024
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        for number, record in enumerate(PLANTED):
            at_ms = round(NOW.timestamp() * 1_000) - (100 - number) * 60_000
            await producer.send_and_wait(
                topic, record.value, record.key, number % 3, at_ms, headers=list(record.headers)
            )
        await producer.send_and_wait(topic, b"a stranger's", partition=1)
        await producer.commit_transaction()
        await producer.begin_transaction()
        await producer.send_and_wait(topic, PLANTED[0].value, b"aborted", 0, headers=list(PLANTED[0].headers))
        await producer.abort_transaction()
    finally:
        await producer.stop()


@pytest.fixture(scope="module")
def planted(services: LocalServices) -> str:
    named = f"dead-{uuid4().hex[:8]}"
    asyncio.run(plant(KafkaConnection(services.endpoints.bootstrap_servers), named))
    return named


@pytest.fixture
def at_planted(services: LocalServices, planted: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HEADRACE_KAFKA__BOOTSTRAP_SERVERS", services.endpoints.bootstrap_servers)
    monkeypatch.setenv("HEADRACE_KAFKA__TOPIC_PREFIX", planted)
    return planted


def numbers(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[int]:
    """Which of the planted ones a listing holds, in its order."""
    assert main(["dead-letters", "list", "--json", *arguments]) == 0
    said = capsys.readouterr()
    assert PROMPT not in said.out + said.err
    return [int(json.loads(line)["origin"].rsplit("/", 1)[1]) for line in said.out.splitlines()]


ALL = list(range(len(PLANTED)))


@pytest.mark.usefixtures("at_planted")
@pytest.mark.parametrize(
    ("filters", "held"),
    [
        ([], ALL),
        (["--reason", "exhausted", "--reason", "undecodable"], [3, 6]),
        (["--model", "gpt-4o*", "--tenant", "acme"], [0, 2, 6]),
        (["--since", "98m"], [2, 3, 4, 5, 6, 7]),
        (["--until", "98m"], [0, 1]),
        (["--limit", "2"], [6, 7]),
        (["--limit", "0", "--since", "1m"], []),
    ],
)
def test_a_listing_holds_what_was_asked_for_newest_last(
    filters: Sequence[str], held: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    shift = {"98m": (NOW - timedelta(minutes=98)).isoformat()}
    assert numbers(capsys, *(shift.get(each, each) for each in filters)) == held


@pytest.mark.usefixtures("at_planted")
def test_a_listing_for_a_person_counts_what_it_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dead-letters", "list"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 1 + len(PLANTED)
    assert PROMPT not in said.out
    assert said.out.replace("\n", "").isprintable()
    assert "lead-0#1  exhausted" in said.out
    assert ". 64 KiB of 4.8 MiB are kept." in said.out
    assert "8 dead letters in " in said.err
    assert said.err.endswith("1 record in it is not a dead letter: skipped.\n")


def test_one_is_shown_by_id_by_origin_and_by_its_own_place(at_planted: str, capsys: pytest.CaptureFixture[str]) -> None:
    def shown(which: str) -> dict[str, Any]:
        assert main(["dead-letters", "show", which, "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    newest = shown("lead-0")
    assert (newest["run"], newest["older"]) == (1, [f"{at_planted}.dead-letters/0/0"])
    assert shown(newest["place"]) == newest | {"older": []}
    assert shown(newest["origin"]) == newest | {"older": []}
    cut = shown("lead-2")
    assert (cut["cut"], cut["bytes_kept"], cut["bytes"]) == (True, 65_536, len(value("lead-2", text="x" * 5_000_000)))
    assert (shown("t.requests.bulk/0/4")["bytes_kept"], shown("lead-4")["id"]) == (None, "lead-4")
    for nowhere in (
        "lead-99",
        f"{at_planted}.dead-letters/1/3",
        f"{at_planted}.dead-letters/9/0",
        "t.requests.bulk/0/99",
    ):
        assert main(["dead-letters", "show", nowhere]) == 1, nowhere
        assert "headrace: " in capsys.readouterr().err


@pytest.mark.usefixtures("at_planted")
def test_the_exact_bytes_of_five_megabytes_go_into_a_pipe(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["dead-letters", "show", "lead-7", "--raw"]) == 0
    assert capfdbinary.readouterr() == (PLANTED[7].value, b"")


async def test_a_reader_gives_typed_dead_letters_and_ends_where_the_topic_ended(
    services: LocalServices, planted: str
) -> None:
    connection = KafkaConnection(services.endpoints.bootstrap_servers)
    async with DeadLetterReader(connection=connection, topic_prefix=planted) as reader:
        found = [each async for each in reader]
        assert (reader.offsets_done, reader.unreadable) == (reader.offsets, 1)
        assert [each.letter.value for each in found[:2]] == [PLANTED[0].value, PLANTED[1].value]
        assert [each.letter.origin.offset for each in found] == ALL
        assert found[3].letter.headers == ()
        assert found[4].letter.value is None
    late = DeadLetterReader(connection=connection, topic_prefix=planted, since=NOW - timedelta(minutes=95, seconds=30))
    async with late:
        assert [each.letter.origin.offset async for each in late] == [5, 6, 7]
