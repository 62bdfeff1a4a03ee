"""What every lease must do, whatever holds it: run on the double in memory and on a real Valkey."""

from typing import Protocol

import pytest

from headrace.broker.ports import Lease, LeaseForeign, LeaseMine, LeaseTaken, LeaseView

TTL_MS = 60_000
"""Long: the suite lets a lease expire by hand, so that a slow machine changes nothing."""


class StatusLease(Lease, Protocol):
    """A lease whose live status can be read back, and which knows the server's time."""

    async def read_status(self) -> str | None: ...

    async def server_time_ms(self) -> int: ...


class LeaseWorld(Protocol):
    """One lease key: any number of processes, and a hand on the server's side."""

    def lease(self, token: str) -> StatusLease:
        """The lease as the process `token` sees it."""

    async def expire(self) -> None:
        """Let everything under the key reach the end of its life, as if nobody had renewed it."""

    async def persist(self) -> None:
        """Take the expiry from the key, as a person can."""

    async def prolong(self, life_ms: int) -> None:
        """Let the key live so long, as a person can, or a clock that was put back."""


class LeaseContract:
    """Subclasses bring the fixture `world`."""

    @pytest.fixture
    async def world(self) -> LeaseWorld:
        raise NotImplementedError

    async def test_an_absent_lease_has_neither_value_nor_life(self, world: LeaseWorld) -> None:
        assert await world.lease("a").look() == LeaseView(None, None)

    async def test_an_absent_lease_can_be_taken(self, world: LeaseWorld) -> None:
        assert await world.lease("a").take() == LeaseTaken()
        view = await world.lease("b").look()
        assert view.value == "a"
        assert view.pttl_ms is not None
        assert 0 < view.pttl_ms <= TTL_MS

    async def test_a_held_lease_that_was_left_without_an_end_is_given_one(self, world: LeaseWorld) -> None:
        await world.lease("a").take()
        await world.persist()
        assert await world.lease("b").look() == LeaseView("a", None)
        view = await world.lease("b").look()
        assert view.value == "a"
        assert view.pttl_ms is not None
        await world.expire()
        assert await world.lease("b").take() == LeaseTaken()

    async def test_a_held_lease_whose_end_is_too_far_off_is_given_a_nearer_one(self, world: LeaseWorld) -> None:
        """Before: a dead holder kept it for as long."""
        await world.lease("a").take()
        await world.prolong(3_600_000)
        await world.lease("b").look()
        view = await world.lease("b").look()
        assert view.value == "a"
        assert view.pttl_ms is not None
        assert view.pttl_ms <= TTL_MS

    async def test_a_released_lease_keeps_having_none(self, world: LeaseWorld) -> None:
        await world.lease("a").take()
        await world.lease("a").release()
        for _ in range(2):
            assert await world.lease("b").look() == LeaseView("released", None)

    async def test_a_renewal_gives_a_lease_its_end_again(self, world: LeaseWorld) -> None:
        await world.lease("a").take()
        await world.persist()
        assert await world.lease("a").renew(restore=False) == LeaseMine()
        assert (await world.lease("b").look()).pttl_ms is not None

    async def test_a_held_lease_is_shown_and_not_taken(self, world: LeaseWorld) -> None:
        await world.lease("a").take()
        view = await world.lease("b").take()
        assert isinstance(view, LeaseView)
        assert view.value == "a"
        assert view.pttl_ms is not None
        assert await world.lease("a").renew(restore=False) == LeaseMine()

    async def test_a_take_whose_answer_was_lost_can_be_asked_again(self, world: LeaseWorld) -> None:
        await world.lease("a").take()
        assert await world.lease("a").take() == LeaseTaken()

    async def test_a_foreign_lease_is_not_renewed(self, world: LeaseWorld) -> None:
        await world.lease("a").take()
        assert await world.lease("b").renew(restore=True) == LeaseForeign("a")
        assert (await world.lease("b").look()).value == "a"

    async def test_an_expired_lease_is_renewed_only_to_restore_it(self, world: LeaseWorld) -> None:
        lease = world.lease("a")
        await lease.take()
        await world.expire()
        assert await lease.renew(restore=False) == LeaseForeign(None)
        assert await lease.look() == LeaseView(None, None)
        assert await lease.renew(restore=True) == LeaseMine()
        assert (await lease.look()).value == "a"

    async def test_an_expired_lease_goes_to_whoever_takes_it(self, world: LeaseWorld) -> None:
        await world.lease("a").take()
        await world.expire()
        assert await world.lease("b").take() == LeaseTaken()
        assert await world.lease("a").renew(restore=True) == LeaseForeign("b")

    async def test_a_released_lease_waits_without_expiry_for_the_next(self, world: LeaseWorld) -> None:
        await world.lease("a").take()
        await world.lease("a").release()
        assert await world.lease("b").look() == LeaseView("released", None)
        assert await world.lease("b").take() == LeaseTaken()
        view = await world.lease("b").look()
        assert view.value == "b"
        assert view.pttl_ms is not None

    async def test_a_released_lease_is_never_renewed(self, world: LeaseWorld) -> None:
        await world.lease("a").take()
        await world.lease("a").release()
        assert await world.lease("a").renew(restore=True) == LeaseForeign("released")

    async def test_a_foreign_or_absent_lease_is_not_released(self, world: LeaseWorld) -> None:
        await world.lease("b").release()
        assert await world.lease("b").look() == LeaseView(None, None)
        await world.lease("a").take()
        await world.lease("b").release()
        assert (await world.lease("b").look()).value == "a"

    async def test_standbys_are_known_while_their_note_stands(self, world: LeaseWorld) -> None:
        assert await world.lease("a").ready_standbys() == []
        await world.lease("c").note_ready()
        await world.lease("b").note_ready()
        assert await world.lease("a").ready_standbys() == ["b", "c"]
        await world.expire()
        assert await world.lease("a").ready_standbys() == []
        await world.lease("b").note_ready()
        assert await world.lease("a").ready_standbys() == ["b"]

    async def test_notes_do_not_touch_the_lease(self, world: LeaseWorld) -> None:
        await world.lease("b").note_ready()
        await world.lease("b").publish_status("{}")
        assert await world.lease("a").look() == LeaseView(None, None)

    async def test_the_live_status_is_there_for_others_until_it_is_old(self, world: LeaseWorld) -> None:
        assert await world.lease("b").read_status() is None
        await world.lease("a").publish_status('{"leader": "a"}')
        assert await world.lease("b").read_status() == '{"leader": "a"}'
        await world.expire()
        assert await world.lease("b").read_status() is None

    async def test_the_server_tells_the_time(self, world: LeaseWorld) -> None:
        first = await world.lease("a").server_time_ms()
        assert first <= await world.lease("b").server_time_ms() <= first + 60_000
