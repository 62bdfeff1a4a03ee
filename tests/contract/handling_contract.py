"""What a service's handler may do, and what becomes of its outcomes: on a broker in memory, and on real ones."""

import asyncio
from collections import Counter
from typing import Protocol

import pytest

from headrace.broker.errors import MissingTopic
from headrace.consumers.handling import Refused
from headrace.consumers.results import ResultReader
from headrace.schemas.outcome import Outcome
from tests.contract.broker_contract import WITHIN_S, BrokerContract, BrokerWorld


class HandlingWorld(BrokerWorld, Protocol):
    """`own_topic` is one of the service's own, for what it gives up."""

    own_topic: str


class HandlingContract(BrokerContract):
    """The suite; whoever inherits it has a fixture `world`."""

    async def test_what_a_handler_takes_at_last_is_handled_once(self, world: HandlingWorld) -> None:
        asked = await self.answered(world, 3)
        tried: Counter[str] = Counter()

        async def handle(outcome: Outcome) -> None:
            tried[outcome.id] += 1
            if outcome.id == asked[1] and tried[outcome.id] < 3:
                raise ConnectionError

        group = self.new_id()
        async with self.reader(world, group, follow=False) as results:
            handling = await results.handle(handle, dead_letters=world.own_topic, pause_s=0.01)
        assert [tried[request_id] for request_id in asked] == [1, 3, 1]
        assert (handling.failed_attempts, handling.dead_lettered) == (2, 0)
        assert await self.left(world, group) == []

    @pytest.mark.parametrize(
        ("error", "attempts", "reason"),
        [(ValueError("secret"), 3, "handler_failed"), (Refused(), 1, "handler_refused")],
    )
    async def test_what_it_never_takes_becomes_a_dead_letter_of_its_own_and_can_be_handled_again(
        self, world: HandlingWorld, error: Exception, attempts: int, reason: str
    ) -> None:
        asked = await self.answered(world, 5)
        poison, taken = asked[0], []

        async def handle(outcome: Outcome) -> None:
            if outcome.id == poison:
                raise error
            taken.append(outcome.id)

        group = self.new_id()
        async with self.reader(world, group, follow=False) as results:
            handling = await results.handle(
                handle, dead_letters=world.own_topic, attempts_max=3, pause_s=0.01, concurrency=2
            )
        assert handling.dead_lettered == 1
        assert set(asked[1:]) <= set(taken)
        assert await self.left(world, group) == []
        async with self.letters(world, topic=world.own_topic) as letters:
            [letter] = [found.letter async for found in letters if found.original().id == poison]
        assert (letter.reason, letter.attempts, letter.origin.topic) == (reason, attempts, f"{world.prefix}.results")
        assert letter.error_type == type(error).__name__
        async with self.reader(world, None, topic=world.own_topic, follow=False) as results:
            [again] = [outcome async for outcome in results if outcome.id == poison]
        assert again == (await self.seen_by_all(world, poison))[0]

    async def test_what_it_gives_up_again_stays_what_it_was_however_often(self, world: HandlingWorld) -> None:
        [asked] = await self.answered(world, 1)
        group, seen = self.new_id(), list[Outcome]()

        async def handle(outcome: Outcome) -> None:
            if outcome.id == asked:
                seen.append(outcome)
                raise Refused

        async with self.reader(world, self.new_id(), follow=False) as results:
            await results.handle(handle, dead_letters=world.own_topic)
        for _ in range(2):
            async with self.reader(world, group, topic=world.own_topic, follow=False) as results:
                await results.handle(handle, dead_letters=world.own_topic)
        assert seen == 3 * (await self.seen_by_all(world, asked))[:1]
        async with self.letters(world, topic=world.own_topic) as letters:
            found = [letter async for letter in letters if letter.original().id == asked]
        assert [letter.letter.headers for letter in found] == 3 * [found[0].letter.headers]

    async def test_without_dead_letters_the_exception_is_raised_and_the_outcome_comes_again(
        self, world: HandlingWorld
    ) -> None:
        [asked] = await self.answered(world, 1)

        async def handle(outcome: Outcome) -> None:
            if outcome.id == asked:
                raise ZeroDivisionError

        group = self.new_id()
        async with self.reader(world, group, follow=False) as results:
            with pytest.raises(ZeroDivisionError):
                await results.handle(handle, dead_letters=None, attempts_max=2, pause_s=0.01)
        assert asked in await self.left(world, group)

    async def test_a_missing_topic_for_dead_letters_is_named_before_anything_is_handled(
        self, world: HandlingWorld
    ) -> None:
        await self.answered(world, 1)
        taken: list[str] = []

        async def handle(outcome: Outcome) -> None:
            taken.append(outcome.id)

        async with self.reader(world, self.new_id()) as results:
            with pytest.raises(MissingTopic, match="nobody-made-this"):
                await results.handle(handle, dead_letters="nobody-made-this")
        assert taken == []

    async def test_many_are_handled_at_once_and_none_is_passed_over_when_the_reader_stops(
        self, world: HandlingWorld
    ) -> None:
        asked = await self.answered(world, 30)
        group, held = self.new_id(), asyncio.Event()
        taken: list[str] = []

        async with self.reader(world, group) as results:

            async def handle(outcome: Outcome) -> None:
                if outcome.id == asked[0]:
                    await held.wait()
                    raise ConnectionError
                taken.append(outcome.id)
                if set(asked[1:]) <= set(taken):
                    results.stop()
                    held.set()

            async with asyncio.timeout(WITHIN_S):
                handling = await results.handle(handle, dead_letters=world.own_topic, pause_s=60, concurrency=8)
        assert (handling.failed_attempts, handling.dead_lettered) == (1, 0)
        assert asked[0] in await self.left(world, group), "it was tried, and not handled"

    async def test_a_reader_that_is_stopped_ends_its_loop_with_what_was_in_hand_handled(
        self, world: HandlingWorld
    ) -> None:
        asked = await self.answered(world, 4)
        group = self.new_id()
        async with self.reader(world, group) as results:
            first: list[str] = []
            async with asyncio.timeout(WITHIN_S):
                async for outcome in results:
                    first.append(outcome.id)
                    if outcome.id in asked:
                        results.stop()
        assert set(await self.left(world, group)) & set(asked) == set(asked) - set(first)

    # ------------------------------------------------------------------ helpers

    async def left(self, world: HandlingWorld, group: str) -> list[str]:
        """What the group has not handled yet."""
        reader: ResultReader = self.reader(world, group, follow=False)
        async with asyncio.timeout(WITHIN_S), reader as results:
            return [outcome.id async for outcome in results]
