"""However records come, leave and processes die in between: each leaves once, in order, and never early."""

import random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from headrace.broker.ports import StoredOffset
from headrace.consumers.retries.releases import Releases, choose

LANES = ("urgent", "bulk")


def leave(releases: Releases, now_ms: int, count_max: int, refused: str = "") -> list[int]:
    return [offset for _, offset in choose({0: releases}, now_ms, count_max, lambda lane: lane != refused)]


class Retrying(RuleBasedStateMachine):
    """A partition as a list, what Kafka stores, and a process that may die before or after its commit."""

    @initialize()
    def begin(self) -> None:
        self.log: list[tuple[str, int] | None] = []
        self.now_ms = 0
        self.released: list[int] = []
        self.kept: StoredOffset | None = None
        self.releases = Releases(0)

    @rule(lane=st.sampled_from(LANES), wait_ms=st.integers(-50, 200))
    def park(self, lane: str, wait_ms: int) -> None:
        self.log.append((lane, max(0, self.now_ms + wait_ms)))

    @rule()
    def marker(self) -> None:
        self.log.append(None)

    @rule(wait_ms=st.integers(1, 100))
    def wait(self, wait_ms: int) -> None:
        self.now_ms += wait_ms

    @rule(count=st.integers(1, 5))
    def read(self, count: int) -> None:
        for offset in range(self.releases.next_offset, min(len(self.log), self.releases.next_offset + count)):
            record = self.log[offset]
            if record is not None:
                self.releases.see(offset, *record)

    @rule(
        count_max=st.integers(1, 4),
        refused=st.sampled_from((*LANES, "")),
        stored=st.booleans(),
        dies=st.booleans(),
    )
    def release(self, count_max: int, refused: str, stored: bool, dies: bool) -> None:  # noqa: FBT001
        may = [offset for offset in self.due_and_seen() if self.log[offset][0] != refused]  # type: ignore[index]
        chosen = leave(self.releases, self.now_ms, count_max, refused)
        assert set(chosen) <= set(may)
        assert len(chosen) == min(count_max, len(may)), "a lane that is refused holds up another"
        progress = self.releases.stored(1)
        if stored:
            self.released += chosen
            self.kept = progress
        if dies or not stored:
            self.restart()

    def due_and_seen(self) -> list[int]:
        """What has been read, is due and has not left; nothing before all is read again."""
        if not self.releases.caught_up:
            return []
        waiting = set(range(self.releases.next_offset)) - set(self.released)
        return [offset for offset in waiting if (record := self.log[offset]) and record[1] <= self.now_ms]

    @rule()
    def restart(self) -> None:
        self.releases = Releases(0) if self.kept is None else Releases.restore(self.kept.offset, self.kept.metadata)

    @rule()
    def claim(self) -> None:
        self.kept = self.releases.stored(2)

    @invariant()
    def nothing_leaves_twice_or_early(self) -> None:
        assert len(set(self.released)) == len(self.released)
        for offset in self.released:
            record = self.log[offset]
            assert record is not None
            assert record[1] <= self.now_ms

    def teardown(self) -> None:
        self.now_ms += 1_000
        self.restart()
        self.read(len(self.log))
        while chosen := leave(self.releases, self.now_ms, 2):
            self.released += chosen
            self.kept = self.releases.stored(3)
        assert sorted(self.released) == [offset for offset, record in enumerate(self.log) if record is not None]


TestRetrying = pytest.mark.slow(Retrying.TestCase)


@pytest.mark.slow
def test_long_plays_with_much_that_is_late() -> None:
    """The machine's own search is short of steps for what needs a late record, a refused lane and a death in a row."""
    for seed in range(200):
        dice, play = random.Random(seed), Retrying()
        play.begin()
        for _ in range(80):
            for _ in range(dice.randint(0, 2)):
                play.park(lane=dice.choice(LANES), wait_ms=dice.randint(-50, 60))
            play.wait(wait_ms=dice.randint(1, 20))
            play.read(count=dice.randint(1, 4))
            if dice.random() < 0.1:
                play.claim()
            refused = dice.choice((*LANES, ""))
            play.release(
                count_max=dice.randint(1, 4), refused=refused, stored=dice.random() < 0.9, dies=dice.random() < 0.1
            )
            play.nothing_leaves_twice_or_early()
        play.teardown()
