"""A request whose call ends dispatchers is called three or four times and then Failed; no other is failed with it."""

import asyncio
from collections.abc import Callable, Mapping
from itertools import count

import pytest

from headrace.broker.core.bounds import DEATHS_BEFORE_CAUTION, DEATHS_BY_CALL
from headrace.broker.core.events import Draining
from headrace.broker.ports import UpstreamApi, UpstreamReply
from headrace.broker.service.publishing.ledger_lines import ledger_read
from headrace.broker.testing.upstream import ScriptedUpstream
from headrace.schemas.delta import Delta, Head
from headrace.schemas.ledger import LedgerKind
from tests.unit.service.mortal import Mortal as DiesOfDecoding
from tests.unit.service.mortal import letters, poison
from tests.unit.service.rig import Process, World, led, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

DEADLY = "deadly"


class DeadlyUpstream(ScriptedUpstream):
    """Answers, but for the one request, whose call ends the process."""

    def __init__(self, die: Callable[[], None], latency_s: float, after_s: float, seen: list[str]) -> None:
        super().__init__(latency_s=latency_s)
        self.die, self.after_s, self.seen = die, after_s, seen

    async def call(
        self,
        endpoint: str,
        body: Mapping[str, object],
        client_request_id: str,
        on_delta: Callable[[Delta], None] | None = None,
        *,
        on_head: Callable[[Head], None] | None = None,
    ) -> UpstreamReply:
        self.seen.append(client_request_id)
        if client_request_id == DEADLY:
            await asyncio.sleep(self.after_s)
            self.die()
        return await super().call(endpoint, body, client_request_id, on_delta, on_head=on_head)


class Mortal(Process):
    """Dies of the call of DEADLY, `after_s` after it began."""

    after_s, latency_s = 1.5, 1.0
    seen: list[str]

    def __init__(self, world: World, owner: str, seen: list[str]) -> None:
        self.seen = seen
        super().__init__(world, owner)

    def upstream(self) -> UpstreamApi:
        return DeadlyUpstream(self.die, self.latency_s, self.after_s, self.seen)

    @property
    def is_dead(self) -> bool:
        return self.lease.is_cut


class DeadAtOnce(Mortal):
    """Dies before the ledger could say that the call began."""

    after_s = 0.0


class Slow(Mortal):
    """All calls are under way when it dies."""

    after_s, latency_s = 1.5, 5.0


def dead_or_answered(process: Mortal | DiesOfDecoding, outcomes: int) -> Callable[[], bool]:
    return lambda: process.is_dead or len(process.world.outcomes()) == outcomes


async def lived_through(world: World, outcomes: int, make: type[Mortal]) -> tuple[int, list[str], Process]:
    """One process after the other, until so many have been answered; how many died, and who was called."""
    seen: list[str] = []
    for deaths in count():
        process = make(world, f"p{deaths}", seen)
        process.start()
        await until(dead_or_answered(process, outcomes), 600)
        if not process.is_dead:
            return deaths, seen, process
        await process.kill()
        assert deaths < 20
    raise AssertionError


@pytest.mark.slow
async def test_a_request_that_ends_three_dispatchers_by_its_call_is_not_called_a_fourth_time() -> None:
    """Before: there was no end to it, and each round was paid."""
    world = World()
    for number in range(20):
        world.submit(DEADLY if number == 10 else f"good-{number}", "standard")
    deaths, seen, process = await lived_through(world, 20, Mortal)
    assert (deaths, seen.count(DEADLY)) == (DEATHS_BY_CALL, DEATHS_BY_CALL)
    assert set(world.counts().values()) == {1}
    (failed,) = [outcome for outcome in world.outcomes() if outcome["status"] == "failed"]
    assert (failed["id"], failed["reason"]) == (DEADLY, "crashed")
    assert [(reason, value is not None) for reason, _, value in letters(world)] == [(b"crashed", True)]
    await until(lambda: process.core.idle)
    assert not any(desk.budget.inflight for desk in process.core.limits.limit_queues().values())
    await process.end()


@pytest.mark.slow
@pytest.mark.parametrize(("requests", "counted"), [(10, DEATHS_BY_CALL), (20, DEATHS_BY_CALL + 1)])
async def test_a_call_that_ends_its_dispatcher_at_once_does_so_twice_more(requests: int, counted: int) -> None:
    """Before: no successor knew that it had been called, and there was no end to it."""
    world = World()
    for number in range(requests):
        world.submit(DEADLY if number == requests // 2 else f"good-{number}", "standard")
    deaths, seen, process = await lived_through(world, requests, DeadAtOnce)
    assert deaths == seen.count(DEADLY) == DEATHS_BEFORE_CAUTION + counted
    (failed,) = [outcome for outcome in world.outcomes() if outcome["status"] == "failed"]
    assert (failed["id"], failed["reason"]) == (DEADLY, "crashed")
    assert set(world.counts().values()) == {1}
    await process.end()


@pytest.mark.slow
async def test_of_many_that_shared_the_deaths_only_the_deadly_one_fails() -> None:
    world = World()
    names = [DEADLY if number == 30 else f"good-{number}" for number in range(60)]
    for name in names:
        world.submit(name, "standard")
    deaths, seen, process = await lived_through(world, len(names), Slow)
    assert deaths <= DEATHS_BY_CALL + 1
    assert seen.count(DEADLY) == deaths
    assert [outcome["id"] for outcome in world.outcomes() if outcome["status"] == "failed"] == [DEADLY]
    assert set(world.counts().values()) == {1}
    await process.end()


@pytest.mark.slow
async def test_of_long_calls_in_flight_at_three_unrelated_kills_all_but_one_are_answered() -> None:
    """The one that was called alone when the third came cannot be told from one that has caused it."""
    world = World(latency_s=20)
    for number in range(10):
        world.submit(f"r{number}", "standard")
    for kill in range(3):
        process = Process(world, f"p{kill}").start()
        await led(process)
        await until(lambda: world.upstream.inflight > 0)
        await asyncio.sleep(3)
        await process.kill()
    process = Process(world, "last").start()
    await until(lambda: len(world.outcomes()) == 10, 600)
    assert [outcome["status"] for outcome in world.outcomes()].count("completed") == 9
    assert set(world.counts().values()) == {1}
    await process.end()


async def test_a_call_that_was_cut_off_by_hand_overs_is_held_against_nothing() -> None:
    world = World(latency_s=30)
    world.submit("long", "standard")
    for number in range(5):
        process = Process(world, f"p{number}").start()
        await led(process)
        await until(lambda: world.upstream.inflight == 1)
        await asyncio.sleep(2)
        process.driver.post(Draining(process.clock.now_ms()))
        process.driver.cancel_calls()
        await process.end()
    assert [line.kind for line in world.ledger()].count(LedgerKind.LEFT) == 5
    process = Process(world, "last").start()
    await led(process)
    await until(lambda: world.upstream.inflight == 1, 5)
    await until(lambda: len(world.outcomes()) == 1)
    assert world.outcomes()[0]["status"] == "completed"
    await process.end()


async def test_a_record_that_ends_its_readers_is_held_against_no_call_beside_it() -> None:
    """The request before it is called in each term, alone, and each term dies at once of decoding the next record."""
    world = World(latency_s=20)
    world.submit("innocent", "standard", partition=0)
    poison(world, "x")
    for deaths in count():
        process = DiesOfDecoding(world, f"p{deaths}")
        process.start()
        await until(dead_or_answered(process, 2), 600)
        if not process.is_dead:
            break
        await process.kill()
        assert deaths < 20
    told = {outcome["id"]: outcome["status"] for outcome in world.outcomes()}
    assert told == {"innocent": "completed", "x": "failed"}
    await process.end()


async def test_the_count_stands_in_the_ledger_alone_in_whatever_pieces_it_is_read() -> None:
    world = World()
    seen: list[str] = []
    world.submit(DEADLY, "standard")
    for number in range(DEATHS_BY_CALL):
        process = Mortal(world, f"p{number}", seen)
        process.start()
        await until(dead_or_answered(process, 1), 600)
        await process.kill()
    reader = Process(world, "reader")
    lines = world.ledger()
    for begin in (0, 0, len(lines) // 2, 1):
        for line in lines[begin:]:
            reader.core.on(ledger_read(line, 0), 0)
    reader.start()
    await until(lambda: len(world.outcomes()) == 1)
    assert world.outcomes()[0]["reason"] == "crashed"
    assert seen == [DEADLY] * DEATHS_BY_CALL
    await reader.end()
