"""The lease in memory does what the real one does, and can be away."""

import pytest

from headrace.broker.errors import LeaseUnavailable
from headrace.broker.testing.lease import MemoryLease, MemoryLeaseStore
from tests.contract.lease_contract import TTL_MS, LeaseContract, LeaseWorld


class _MemoryWorld:
    def __init__(self) -> None:
        self.now_ms = 1_000
        self.store = MemoryLeaseStore(lambda: self.now_ms)

    def lease(self, token: str) -> MemoryLease:
        return MemoryLease(self.store, "headrace:lease", ttl_ms=TTL_MS, token=token)

    async def expire(self) -> None:
        self.now_ms += TTL_MS

    async def persist(self) -> None:
        entry = self.store.get("headrace:lease")
        assert entry is not None
        self.store.set("headrace:lease", entry[0])

    async def prolong(self, life_ms: int) -> None:
        entry = self.store.get("headrace:lease")
        assert entry is not None
        self.store.set("headrace:lease", entry[0], px=life_ms)


class TestMemoryLease(LeaseContract):
    @pytest.fixture
    async def world(self) -> LeaseWorld:
        return _MemoryWorld()


async def test_every_question_is_left_open_while_redis_is_away() -> None:
    world = _MemoryWorld()
    lease = world.lease("a")
    await lease.take()
    world.store.available = False
    for question in (
        lease.look,
        lease.take,
        lease.release,
        lease.note_ready,
        lease.ready_standbys,
        lease.server_time_ms,
        lease.read_status,
    ):
        with pytest.raises(LeaseUnavailable):
            await question()
    with pytest.raises(LeaseUnavailable):
        await lease.renew(restore=True)
    with pytest.raises(LeaseUnavailable):
        await lease.publish_status("{}")
    world.store.available = True
    assert (await lease.look()).value == "a"


async def test_an_emptied_store_has_forgotten_the_lease_and_a_release_wakes() -> None:
    world = _MemoryWorld()
    lease = world.lease("a")
    await lease.take()
    world.store.empty()
    assert (await lease.look()).value is None
    await lease.take()
    await lease.release()
    assert world.store.wakes == 1
    await lease.close()


async def test_the_life_of_a_lease_runs_from_its_renewal() -> None:
    world = _MemoryWorld()
    lease = world.lease("a")
    await lease.take()
    world.now_ms += TTL_MS - 1
    await lease.renew(restore=False)
    world.now_ms += TTL_MS - 1
    assert (await lease.look()).pttl_ms == 1
