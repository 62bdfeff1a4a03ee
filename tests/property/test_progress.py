"""One partition against a plain model: a dictionary from offset to open, held or done."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.broker.core.progress.offset_map import MAP_BYTES_MAX, METADATA_CHARS_MAX
from headrace.broker.core.progress.partition_progress import PartitionProgress
from tests.progress_seen import done_of, finish, holds, incomplete

OPEN, HELD = "open", "held"
picks = st.integers(0, 1 << 30)


class Partition(RuleBasedStateMachine):
    """Takes, completions in any order, crashes, claims that keep memory, retention."""

    def __init__(self) -> None:
        super().__init__()
        self.progress = PartitionProgress(17)
        self.state: dict[int, str] = {}  # what is not here is done, or never taken
        self.next = 17

    @rule(gap=st.sampled_from([0, 1, 3, 30_000]), records=st.sampled_from([1, 2, 40, 700]), markers=st.booleans())
    def read(self, gap: int, records: int, markers: bool) -> None:  # noqa: FBT001 (a drawn value)
        offset = self.next + gap
        for _ in range(records):
            if not self.progress.accepts(offset):
                break
            assert self.progress.take(offset, offset)
            self.state[offset] = HELD
            self.next = offset + 1
            offset += 2 if markers else 1

    @rule()
    def fill_the_room(self) -> None:
        for offset in range(self.next, self.next + min(self.progress.room(), 1_100)):
            assert self.progress.accepts(offset)
            assert self.progress.take(offset, offset)
            self.state[offset] = HELD
            self.next = offset + 1

    @rule(pick=picks)
    def read_again(self, pick: int) -> None:
        offset = self.next - 1 - pick % 50
        assert self.progress.take(offset, 0) == (self.state.get(offset) == OPEN)
        if offset in self.state:
            self.state[offset] = HELD

    @rule(pick=picks, share=st.sampled_from([1, 2, 3, 1_000]))
    def finish_some(self, pick: int, share: int) -> None:
        held = [offset for offset, state in self.state.items() if state == HELD]
        for offset in held[pick % share :: share]:
            finish(self.progress, offset)
            del self.state[offset]

    @rule()
    def crash(self) -> None:
        self.restore()
        self.state = dict.fromkeys(self.state, OPEN)

    @rule(lost=st.integers(0, 30))
    def claim_again(self, lost: int) -> None:
        """The last `lost` takes were never committed, and all that is held stays in memory."""
        before = self.progress
        held = {offset for offset, state in self.state.items() if state == HELD}
        self.restore()
        for offset in sorted(held)[lost:]:
            assert self.progress.hold(offset)
        assert incomplete(self.progress) == incomplete(before)
        for offset in sorted(held)[:lost]:
            self.state[offset] = OPEN

    @precondition(lambda self: self.state)
    @rule(pick=picks, beyond=st.integers(-900, 900))
    def retention(self, pick: int, beyond: int) -> None:
        start = max(0, sorted(self.state)[pick % len(self.state)] + beyond)
        lost = [offset for offset, state in self.state.items() if state == OPEN and offset < start]
        lost += [self.next] if self.next < start else []
        assert self.progress.lose_below(start) == (range(min(lost), start) if lost else None)
        self.state = {offset: state for offset, state in self.state.items() if offset not in lost}
        self.next = max(self.next, start)

    def restore(self) -> None:
        stored = self.progress.store(term=3)
        assert stored.offset == self.progress.base
        assert PartitionProgress.term_of(stored.metadata) == 3
        timestamp = self.progress.last_timestamp_ms
        self.progress = PartitionProgress.restore(stored.offset, stored.metadata)
        assert self.progress.last_timestamp_ms == timestamp

    @invariant()
    def agrees_with_the_model(self) -> None:
        assert self.progress.base == min(self.state, default=self.next)
        assert self.progress.next_offset == self.next
        assert incomplete(self.progress) == len(self.state)
        for offset in list(self.state)[-5:]:
            assert holds(self.progress, offset) == (self.state[offset] == HELD)
        done = [offset for offset in range(self.next - 20, self.next) if offset not in self.state]
        assert done_of(self.progress, range(self.next - 20, self.next + 2)) == done

    @invariant()
    def the_commit_fits_now_and_in_the_worst_case(self) -> None:
        assert len(self.progress.store(term=3).metadata) <= METADATA_CHARS_MAX
        if self.state:
            window = max(self.state) + 1 - min(self.state)
            lonely_runs = len(self.state) * 2 * next(size for size in range(1, 10) if window < 128**size)
            assert min((window + 7) // 8, lonely_runs) <= MAP_BYTES_MAX

    @invariant()
    def room_and_accepts_agree(self) -> None:
        assert (self.progress.room() > 0) == self.progress.accepts(self.next)


TestPartition = pytest.mark.slow(Partition.TestCase)
TestPartition.settings = settings(max_examples=40, stateful_step_count=25, deadline=None, derandomize=True)
