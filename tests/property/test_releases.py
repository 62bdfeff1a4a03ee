"""However records come, leave and processes die in between: each leaves once, in order, and never early."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from consumers.retries.releases import Releases, StoredReleases

LANES = ("urgent", "bulk")


class Retrying(RuleBasedStateMachine):
    """A partition as a list, what Kafka stores, and a process that may die before or after its commit."""

    @initialize()
    def begin(self) -> None:
        self.log: list[tuple[str, int] | None] = []
        self.now_ms = 0
        self.released: list[int] = []
        self.kept: StoredReleases | None = None
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

    @rule(count_max=st.integers(1, 4), stored=st.booleans(), dies=st.booleans())
    def release(self, count_max: int, stored: bool, dies: bool) -> None:  # noqa: FBT001
        chosen = self.releases.choose(self.now_ms, count_max)
        progress = self.releases.stored(1)
        if stored:
            self.released += chosen
            self.kept = progress
        if dies or not stored:
            self.restart()

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
        while chosen := self.releases.choose(self.now_ms, 2):
            self.released += chosen
            self.kept = self.releases.stored(3)
        assert sorted(self.released) == [offset for offset, record in enumerate(self.log) if record is not None]


TestRetrying = Retrying.TestCase
