"""The lease on a real Valkey."""

import asyncio
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from headrace.broker.adapters.redis.lease import RedisLease, index_key, note_key, status_key
from headrace.broker.adapters.redis.status import RedisStatus
from headrace.broker.errors import AuthenticationError, LeaseUnavailable, RightsError, SettingsError
from headrace.broker.local.free_ports import free_ports
from headrace.broker.local.services import LocalServices
from headrace.broker.ports import LeaseForeign, LeaseMine, LeaseTaken, LeaseView
from tests.contract.lease_contract import TTL_MS, LeaseContract
from tests.tcp_server import tcp_server


class RedisWorld:
    def __init__(self, url: str) -> None:
        self.url = url
        self.key = f"headrace:{uuid4()}"
        self.server: Redis = Redis.from_url(url, decode_responses=True)
        self._leases: dict[str, RedisLease] = {}

    def lease(self, token: str) -> RedisLease:
        if token not in self._leases:
            self._leases[token] = RedisLease(self.url, self.key, ttl_ms=TTL_MS, token=token)
        return self._leases[token]

    async def expire(self) -> None:
        async for key in self.server.scan_iter(match=f"{self.key}*"):
            if await self.server.pttl(key) > 0 and not key.endswith(":standbys"):
                await self.server.delete(key)

    async def persist(self) -> None:
        await self.server.persist(self.key)

    async def prolong(self, life_ms: int) -> None:
        await self.server.pexpire(self.key, life_ms)

    async def close(self) -> None:
        for lease in self._leases.values():
            await lease.close()
        await self.server.aclose()


@pytest.fixture
async def world(services: LocalServices) -> AsyncIterator[RedisWorld]:
    world = RedisWorld(services.endpoints.redis_url)
    yield world
    await world.close()


class TestRedisLease(LeaseContract):
    @pytest.fixture
    async def world(self, services: LocalServices) -> AsyncIterator[RedisWorld]:
        world = RedisWorld(services.endpoints.redis_url)
        yield world
        await world.close()


async def test_scripts_survive_a_server_that_has_forgotten_them(world: RedisWorld) -> None:
    lease = world.lease("a")
    await lease.take()
    await world.server.script_flush()
    assert await lease.renew(restore=False) == LeaseMine()
    await world.server.script_flush()
    await lease.release()
    await world.server.script_flush()
    assert await lease.take() == LeaseTaken()


async def test_bytes_that_are_no_text_are_somebody_elses_and_end_nobody(world: RedisWorld) -> None:
    lease, status = world.lease("a"), RedisStatus(world.url)
    await lease.take()
    for key in (world.key, status_key(world.key)):
        await world.server.set(key, b"\xff\xfe", px=TTL_MS)
    await world.server.sadd(index_key(world.key), b"\xff")
    assert isinstance(await lease.renew(restore=True), LeaseForeign)
    assert isinstance(await lease.take(), LeaseView)
    assert (await lease.look()).value not in {None, "a"}
    assert await lease.ready_standbys() == []
    await lease.note_ready()
    await lease.release()
    assert (await status.read(world.key)).holder not in {None, "a"}
    await world.server.delete(world.key)
    assert await lease.take() == LeaseTaken(), "once it has gone"
    await status.close()


async def test_a_leader_keeps_its_lease_in_a_redis_whose_memory_is_used_up(world: RedisWorld) -> None:
    """Writes that need memory are refused, and said so: a standby, and a key that must be set, see a Redis away."""
    lease, other = world.lease("a"), world.lease("b")
    await lease.take()
    await world.server.config_set("maxmemory", "1")
    try:
        assert await lease.renew(restore=True) == LeaseMine()
        assert (await other.look()).value == "a"
        for refused in (other.note_ready(), lease.publish_status("{}")):
            with pytest.raises(LeaseUnavailable, match=r"OOM|maxmemory"):
                await refused
    finally:
        await world.server.config_set("maxmemory", "0")
    assert await lease.renew(restore=False) == LeaseMine()


async def test_a_replica_that_takes_no_writes_is_a_redis_that_is_away(world: RedisWorld) -> None:
    lease = world.lease("a")
    await lease.take()
    await world.server.replicaof("127.0.0.1", "1")
    try:
        for refused in (lease.renew(restore=True), lease.release(), world.lease("b").note_ready()):
            with pytest.raises(LeaseUnavailable, match=r"read only|READONLY"):
                await refused
    finally:
        await world.server.replicaof("NO", "ONE")


async def test_a_lease_of_another_type_is_no_holders_and_is_left_as_it_is(world: RedisWorld) -> None:
    """Neither who leads nor who stands by can tell; both are told the same sentence, and go on once it is removed."""
    leader, standby, status = world.lease("a"), world.lease("b"), RedisStatus(world.url)
    await leader.take()
    await world.server.delete(world.key)
    await world.server.lpush(world.key, "another's")
    asked = (
        leader.check(), leader.look(), leader.take(), leader.renew(restore=True), leader.release(),
        standby.look(), standby.take(),
    )  # fmt: skip
    for each in asked:
        with pytest.raises(LeaseUnavailable, match=rf"^The key {world.key} in Redis is of another type .* with DEL\.$"):
            await each
    assert await world.server.lrange(world.key, 0, -1) == ["another's"]
    assert await world.server.pttl(world.key) == -1
    await leader.publish_status("{}")
    found = await status.read(world.key)
    assert (found.status, found.holder, found.standbys) == ("{}", None, 0)
    assert [each.split()[2] for each in found.spoilt] == [world.key]
    await status.close()
    await world.server.delete(world.key)
    assert await leader.renew(restore=True) == LeaseMine()


async def test_an_index_of_another_type_hides_the_standbys_and_is_left_as_it_is(world: RedisWorld) -> None:
    """A note is written all the same, and the list that stands there does not expire by our hand."""
    index, status = index_key(world.key), RedisStatus(world.url)
    await world.server.rpush(index, "another's")
    for each in (world.lease("b").note_ready(), world.lease("a").ready_standbys()):
        with pytest.raises(LeaseUnavailable, match=rf"^The key {index} in Redis is of another type"):
            await each
    assert await world.server.pttl(index) == -1
    assert await world.server.lrange(index, 0, -1) == ["another's"]
    found = await status.read(world.key)
    assert (found.standbys, [each.split()[2] for each in found.spoilt]) == (None, [index])
    await status.close()
    await world.server.delete(index)
    await world.lease("b").note_ready()
    assert await world.lease("a").ready_standbys() == ["b"]


async def test_a_status_and_a_note_of_another_type_are_written_over_as_any_older_one(world: RedisWorld) -> None:
    lease, status = world.lease("a"), RedisStatus(world.url)
    for key in (status_key(world.key), note_key(world.key, "a")):
        await world.server.hset(key, "field", "another's")
    with pytest.raises(LeaseUnavailable, match=rf"^The key {status_key(world.key)} in Redis is of another type"):
        await lease.read_status()
    found = await status.read(world.key)
    assert (found.status, found.age_s, len(found.spoilt)) == (None, None, 1)
    await world.server.sadd(index_key(world.key), "a")
    assert await lease.ready_standbys() == []
    await lease.publish_status("{}")
    await lease.note_ready()
    assert (await lease.read_status(), await lease.ready_standbys()) == ("{}", ["a"])
    assert (await status.read(world.key)).spoilt == ()
    await status.close()


async def test_a_release_wakes_whoever_listens(world: RedisWorld) -> None:
    lease = world.lease("a")
    await lease.take()
    async with world.server.pubsub(ignore_subscribe_messages=True) as listener:
        await listener.subscribe(lease.wake_channel)
        await listener.get_message(ignore_subscribe_messages=False, timeout=5)
        await lease.release()
        message = await listener.get_message(timeout=5)
    assert message is not None
    assert message["data"] == "released"


async def test_notes_and_status_have_the_lives_of_the_protocol(world: RedisWorld) -> None:
    lease = world.lease("a")
    await lease.note_ready()
    await lease.publish_status("{}")
    assert 0 < await world.server.pttl(f"{world.key}:standby:a") <= 2_000
    assert 0 < await world.server.pttl(f"{world.key}:status") <= 86_400_000


async def test_the_index_of_notes_forgets_who_is_gone(world: RedisWorld) -> None:
    await world.lease("b").note_ready()
    await world.expire()
    await world.lease("a").ready_standbys()
    assert not await world.server.exists(f"{world.key}:standbys")


@pytest.mark.timed
async def test_a_dead_server_is_noticed_at_once() -> None:
    (port,) = free_ports(1)
    lease = RedisLease(f"redis://127.0.0.1:{port}/0", "k", ttl_ms=TTL_MS, token="a")
    before = time.monotonic()
    with pytest.raises(LeaseUnavailable, match=r"^No Redis listens at 127\.0\.0\.1:\d+: start it"):
        await lease.renew(restore=True)
    assert time.monotonic() - before < 0.5
    await lease.close()


@pytest.mark.timed
async def test_a_stalled_server_is_noticed_within_half_a_second_and_asked_only_once() -> None:
    asked: list[bytes] = []

    async def swallow(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(65_536))
        await reader.read()

    async with tcp_server(swallow) as port:
        lease = RedisLease(f"redis://127.0.0.1:{port}/0", "k", ttl_ms=TTL_MS, token="a")
        before = time.monotonic()
        with pytest.raises(LeaseUnavailable):
            await lease.look()
        assert time.monotonic() - before < 0.9
        assert len(asked) == 1
        await lease.close()


async def test_a_wrong_password_ends_a_start_and_is_said_to_a_leader(world: RedisWorld) -> None:
    place = urlsplit(world.url)
    lease = RedisLease(f"redis://nobody:hush@{place.hostname}:{place.port}/0", world.key, ttl_ms=TTL_MS, token="a")
    with pytest.raises(AuthenticationError, match=r"refuses the user or the password of redis\.url") as caught:
        await lease.check()
    assert "hush" not in str(caught.value)
    assert caught.value.exit_code == 2
    with pytest.raises(LeaseUnavailable, match=r"refuses the user or the password of redis\.url"):
        await lease.renew(restore=True)
    await lease.close()


async def test_a_password_that_is_missing_is_asked_for(world: RedisWorld) -> None:
    await world.server.config_set("requirepass", "hush")
    lease = world.lease("a")
    try:
        with pytest.raises(AuthenticationError, match=r"requires a password: add it to redis\.url"):
            await lease.check()
    finally:
        await world.server.config_set("requirepass", "")
    await lease.close()


async def test_a_user_without_rights_is_said_to_lack_them(world: RedisWorld) -> None:
    place = urlsplit(world.url)
    await world.server.acl_setuser("guest", enabled=True, passwords=["+hush"], keys=["other:*"], categories=["+@all"])
    lease = RedisLease(f"redis://guest:hush@{place.hostname}:{place.port}/0", world.key, ttl_ms=TTL_MS, token="a")
    with pytest.raises(RightsError, match="change its ACL"):
        await lease.check()
    with pytest.raises(LeaseUnavailable, match="change its ACL"):
        await lease.take()
    await lease.close()
    await world.server.acl_deluser("guest")


async def test_tls_where_none_is_spoken_is_asked_about(world: RedisWorld) -> None:
    place = urlsplit(world.url)
    lease = RedisLease(f"rediss://{place.hostname}:{place.port}/0", world.key, ttl_ms=TTL_MS, token="a")
    with pytest.raises(LeaseUnavailable, match="use rediss:// only if Redis speaks TLS"):
        await lease.check()
    await lease.close()


def test_a_url_that_cannot_be_read_is_a_mistake_in_the_settings() -> None:
    with pytest.raises(SettingsError, match=r"^redis\.url must begin with redis://"):
        RedisLease("http://h", "k", ttl_ms=TTL_MS, token="a")
