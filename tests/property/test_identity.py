"""Submissions, retries, replays and duplicates in any order, with leaders that die: one outcome for each (id, run)."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from broker.core.identity import Fate, Identities, Identity, Judgement

picks = st.integers(0, 1 << 30)
WINDOW = 3_600_000


@dataclass(frozen=True)
class Record:
    """A record on a lane; equal ones are told apart by their offset."""

    identity: Identity
    attempt: int
    offset: int


class Lane(RuleBasedStateMachine):
    """The world around the index: a lane, a ledger, a retrier with copies, an operator who replays."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = Identities(window_ms=WINDOW, ids_max=1_000)
        self.offset = 0
        self.lane: list[Record] = []  # incomplete: not taken, open, joined or waiting
        self.opened: list[Record] = []
        self.joined: list[Record] = []
        self.copies: list[Record] = []  # with the retrier
        self.failed: dict[bytes, Identity] = {}  # newest dead letter of each id
        self.ledger: list[tuple[Identity, int, Fate]] = []
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
        waiting, self.joined = self.joined, []
        for each in waiting:
            self.judge(each)

    @precondition(lambda self: self.copies)
    @rule(pick=picks)
    def cancel_while_parked(self, pick: int) -> None:
        copy = self.copies[pick % len(self.copies)]
        if self.ids.fate(copy.identity.id_hash) == (Fate.PARKED, copy.identity.run, copy.attempt - 1):
            self.commit(copy.identity, copy.attempt - 1, Fate.WITHDRAWN)

    @rule(heard=st.booleans())
    def another_leads(self, heard: bool) -> None:  # noqa: FBT001 (a drawn value)
        """A successor knows the ledger, perhaps hears parts of it twice, and reads what is incomplete again."""
        if heard:
            self.ids.clear_open()
        else:
            self.ids = Identities(window_ms=WINDOW, ids_max=1_000)
        for identity, attempt, fate in self.ledger + self.ledger[-6:-1]:
            self.ids.settle(identity, attempt, fate, 0)
        self.opened, self.joined, again = [], [], self.lane
        for record in again:
            self.judge(record)

    @rule()
    def renew(self) -> None:
        self.ledger += self.ids.renewals(WINDOW)

    def arrive(self, identity: Identity, attempt: int) -> None:
        self.offset += 1
        self.submitted.add((identity.id_hash, identity.run))
        record = Record(identity, attempt, self.offset)
        self.lane.append(record)
        self.judge(record)

    def judge(self, record: Record) -> None:
        match self.ids.judge(record.identity, record.attempt):
            case Judgement.TAKE:
                self.ids.open(record.identity, record.attempt)
                self.opened.append(record)
            case Judgement.JOIN | Judgement.WAIT:
                self.joined.append(record)
            case Judgement.DONE:
                self.lane = [each for each in self.lane if each is not record]
                if self.ids.fate(record.identity.id_hash) == (Fate.WITHDRAWN, record.identity.run, record.attempt - 1):
                    self.commit(record.identity, record.attempt, Fate.FAILED, again=True)
            case Judgement.CONFLICT:
                raise AssertionError("every record here has the same content")

    def commit(self, identity: Identity, attempt: int, fate: Fate, *, again: bool = False) -> None:
        self.ledger.append((identity, attempt, fate))
        self.ids.settle(identity, attempt, fate, 0)
        if fate is Fate.PARKED or again:
            return
        key = identity.id_hash, identity.run
        assert key not in self.outcomes, "a second outcome"
        self.outcomes[key] = fate
        if fate is Fate.FAILED:
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
    def answered_is_what_has_an_outcome(self) -> None:
        for id_hash, run in self.outcomes:
            assert self.ids.is_answered(Identity(id_hash, run, b"contents"))


TestLane = Lane.TestCase
TestLane.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)
