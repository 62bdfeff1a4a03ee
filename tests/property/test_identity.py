"""Submissions, retries, replays, duplicates and cancels in any order, with leaders that die.

One outcome for each (id, run), and no request that is called after its cancel was committed.
"""

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.broker.core.bounds import CANCEL_SLACK_MS
from headrace.broker.core.identity.dedupe import DedupeDecision, DedupeTable, Fate, Identity
from headrace.broker.core.identity.pending_cancels import CancelRecord

picks = st.integers(0, 1 << 30)
WINDOW = 3_600_000


@dataclass(frozen=True)
class Record:
    """A record on a lane; equal ones are told apart by their offset."""

    identity: Identity
    attempt: int
    offset: int
    at_ms: int = 0


class Lane(RuleBasedStateMachine):
    """The world around the index: a lane, a ledger, a retrier with copies, an operator who replays."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = DedupeTable(window_ms=WINDOW, ids_max=1_000)
        self.offset = 0
        self.lane: list[Record] = []  # incomplete: not taken, open, joined or waiting
        self.opened: list[Record] = []
        self.joined: list[Record] = []
        self.copies: list[Record] = []  # with the retrier
        self.failed: dict[bytes, Identity] = {}  # newest dead letter of each id
        self.ledger: list[tuple[Identity, int, Fate] | CancelRecord] = []
        self.now_ms = 0
        self.outcomes: dict[tuple[bytes, int], Fate] = {}
        self.submitted: set[tuple[bytes, int]] = set()

    @rule(number=st.integers(0, 1))
    def submit(self, number: int) -> None:
        self.arrive(Identity(bytes([number] * 16), 0, b"contents"), 0)

    @precondition(lambda self: self.failed)
    @rule(pick=picks)
    def replay(self, pick: int) -> None:
        dead = list(self.failed.values())[pick % len(self.failed)]
        self.arrive(Identity(dead.id_hash, dead.run + 1, dead.fingerprint), 0)

    @precondition(lambda self: self.copies)
    @rule(pick=picks)
    def put_back(self, pick: int) -> None:
        copy = self.copies.pop(pick % len(self.copies))
        self.arrive(copy.identity, copy.attempt)

    @precondition(lambda self: self.opened)
    @rule(
        pick=picks, fate=st.sampled_from([Fate.COMPLETED, Fate.FAILED, Fate.FAILED, Fate.PARKED]), called=st.booleans()
    )
    def settle(self, pick: int, fate: Fate, called: bool) -> None:  # noqa: FBT001 (a drawn value)
        record = self.opened.pop(pick % len(self.opened))
        self.lane.remove(record)
        attempt = record.attempt + (called and fate is Fate.PARKED)
        self.commit(record.identity, attempt, fate)
        if fate is Fate.PARKED:
            self.copies.append(Record(record.identity, attempt + 1, -1))
        self.judge_again()

    def judge_again(self) -> None:
        waiting, self.joined = self.joined, []
        for each in waiting:
            self.judge(each)

    @rule(number=st.integers(0, 1))
    def cancel(self, number: int) -> None:
        """What is open fails, what is parked is withdrawn, what failed or is unknown waits, Completed is done."""
        id_hash = bytes([number] * 16)
        first = next((each for each in self.opened if each.identity.id_hash == id_hash), None)
        parked, fate = self.ids.parked(id_hash), self.ids.fate(id_hash)
        if first is not None:
            self.opened.remove(first)
            self.lane.remove(first)
            self.commit(first.identity, first.attempt, Fate.FAILED, cancelled=True)
            self.judge_again()
        elif parked is not None:
            self.commit(*parked, Fate.WITHDRAWN)
            self.judge_again()
        elif fate is None or fate[0] is not Fate.COMPLETED:
            asked = CancelRecord(id_hash, self.now_ms)
            self.wait_for_request(asked if fate is None else asked.for_replays())

    def wait_for_request(self, cancel: CancelRecord) -> None:
        self.ledger.append(cancel)
        self.ids.record_cancel(cancel, 0)

    @rule(span_ms=st.sampled_from([1, CANCEL_SLACK_MS // 2, 2 * CANCEL_SLACK_MS]))
    def time_passes(self, span_ms: int) -> None:
        self.now_ms += span_ms

    @rule(heard=st.booleans())
    def another_leads(self, heard: bool) -> None:  # noqa: FBT001 (a drawn value)
        """A successor knows the ledger, perhaps hears parts of it twice, and reads what is incomplete again."""
        if heard:
            for each in self.opened:
                self.ids.forget_open(each.identity)
        else:
            self.ids = DedupeTable(window_ms=WINDOW, ids_max=1_000)
        for line in self.ledger + self.ledger[-6:-1]:
            if isinstance(line, CancelRecord):
                self.ids.record_cancel(line, 0)
            else:
                self.ids.settle(*line, 0)
        self.opened, self.joined, again = [], [], self.lane
        for record in again:
            self.judge(record)

    @rule()
    def renew(self) -> None:
        self.ledger += self.ids.renewals(WINDOW)
        self.ledger += self.ids.cancels.renewals(WINDOW)

    def arrive(self, identity: Identity, attempt: int) -> None:
        self.offset += 1
        self.submitted.add((identity.id_hash, identity.run))
        record = Record(identity, attempt, self.offset, self.now_ms)
        self.lane.append(record)
        self.judge(record)

    def judge(self, record: Record) -> None:
        match self.ids.judge(record.identity, record.attempt):
            case DedupeDecision.TAKE:
                self.ids.open(record.identity, record.attempt)
                if self.ids.cancels.covers(record.identity.id_hash, record.at_ms):
                    self.lane = [each for each in self.lane if each is not record]
                    self.commit(record.identity, record.attempt, Fate.FAILED, cancelled=True)
                else:
                    self.opened.append(record)
            case DedupeDecision.JOIN | DedupeDecision.WAIT:
                self.joined.append(record)
            case DedupeDecision.DONE:
                self.lane = [each for each in self.lane if each is not record]
                if self.ids.is_returning_copy(record.identity, record.attempt):
                    self.commit(record.identity, record.attempt, Fate.FAILED, again=True)
            case DedupeDecision.CONFLICT:
                raise AssertionError("every record here has the same content")

    def commit(
        self, identity: Identity, attempt: int, fate: Fate, *, again: bool = False, cancelled: bool = False
    ) -> None:
        self.ledger.append((identity, attempt, fate))
        self.ids.settle(identity, attempt, fate, 0)
        if fate is Fate.PARKED or again:
            return
        key = identity.id_hash, identity.run
        assert key not in self.outcomes, "a second outcome"
        self.outcomes[key] = fate
        if fate is Fate.FAILED and not cancelled:  # what is cancelled has no dead letter
            self.failed[identity.id_hash] = identity

    @invariant()
    def nothing_is_lost(self) -> None:
        """What has no outcome is open, waits for one that is, is parked, or is ruled out by a completed run."""
        alive = {(each.identity.id_hash, each.identity.run) for each in self.opened + self.joined + self.copies}
        for id_hash, run in self.submitted - alive - self.outcomes.keys():
            assert Fate.COMPLETED in {fate for (each, _), fate in self.outcomes.items() if each == id_hash}, run

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        under_way = {each.identity.id_hash for each in self.opened + self.copies}
        assert {each.identity.id_hash for each in self.joined} <= under_way

    @invariant()
    def no_cancel_waits_for_what_is_open(self) -> None:
        """Who is taken while its cancel is known ends there; who is open is younger than every cancel that waits."""
        for each in self.opened:
            assert not self.ids.cancels.covers(each.identity.id_hash, each.at_ms)

    @invariant()
    def answered_is_what_has_an_outcome(self) -> None:
        for id_hash, run in self.outcomes:
            known = self.ids.fate(id_hash)
            assert known is not None
            fate, known_run, _ = known
            later_one_waits = fate is Fate.PARKED and known_run > run
            answered = fate in {Fate.FAILED, Fate.WITHDRAWN} and known_run >= run
            assert fate is Fate.COMPLETED or later_one_waits or answered


class LaneAtLength(Lane):
    """The same with more examples, for `make test-long`."""


TestLane = pytest.mark.slow(Lane.TestCase)
TestLane.settings = settings(max_examples=75, stateful_step_count=40, deadline=None, derandomize=True)
TestLaneAtLength = pytest.mark.long(pytest.mark.slow(LaneAtLength.TestCase))
TestLaneAtLength.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)
