"""Submissions, copies, replays, cancels and forged headers in any order, under leaders that come and go.

The whole core is played, with the runs that the service would believe. Each (id, run) that is truly asked for has
exactly one outcome in the end, whatever any producer writes into its headers.
"""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.bounds import OVERDUE_AFTER_MS
from headrace.broker.core.commands import Complete, Fail, Park, Withdraw
from headrace.broker.core.identity.dedupe import Identity
from headrace.broker.core.requests.ledger_notes import observe
from headrace.broker.core.ticket import Candidate, Garbage, TicketNumber
from tests.unit.core.shell import WALL_MS, Shell, leading
from tests.unit.core.specimens import candidate, identity, verdict

picks = st.integers(0, 1 << 30)
names = st.sampled_from(["a", "b"])
PATIENCE_MS = 100_000
LONG_MS = PATIENCE_MS + OVERDUE_AFTER_MS + 1_000
"""After it a copy is overdue; three of them are less than the dedupe window."""
ANSWERS = [verdict(), verdict(Meaning.REJECTED), verdict(Meaning.RATE_LIMITED, wait_ms=500)]
Key = tuple[str, int]


class Forged(RuleBasedStateMachine):
    """Lanes that anybody may write to, a retrier, an operator with dead letters, and a leader."""

    def __init__(self) -> None:
        super().__init__()
        self.shell: Shell = leading(in_place_max_ms=100)
        self.taken: dict[TicketNumber, Key] = {}
        self.cancels: dict[TicketNumber, str] = {}
        self.asked: set[Key] = set()
        self.copies: list[tuple[str, int, int, int]] = []  # with the retrier: id, run, attempt, failures
        self.dead: list[Key] = []  # dead letters that can be replayed
        self.seen = 0  # transactions that the retrier and the operator have looked at
        self.told = 0  # transactions whose ledger lines count
        self.serial = 0
        self.long_times = 0

    # ------------------------------------------------------------------ who writes what

    @rule(name=names)
    def submit(self, name: str) -> None:
        self.asked.add((name, 0))
        self.send(name, 0, 0, 0)

    @precondition(lambda self: self.copies)
    @rule(pick=picks)
    def put_back(self, pick: int) -> None:
        name, run, attempt, failures = self.copies.pop(pick % len(self.copies))
        self.send(name, run, attempt, failures)

    @precondition(lambda self: self.copies)
    @rule(pick=picks)
    def put_back_what_nobody_can_read(self, pick: int) -> None:
        name, run, attempt, _ = self.copies.pop(pick % len(self.copies))
        content = Garbage(identity(name, run=run), "Too deep.", "invalid_request", attempt=attempt)
        self.taken[self.shell.take(content)] = name, run

    @precondition(lambda self: self.dead)
    @rule(pick=picks)
    def replay(self, pick: int) -> None:
        name, run = self.dead[pick % len(self.dead)]
        self.asked.add((name, run + 1))
        self.send(name, run + 1, 0, 0)

    @rule(name=names, run=st.integers(0, 9), attempt=st.integers(0, 300), failures=st.integers(0, 9))
    def forge(self, name: str, run: int, attempt: int, failures: int) -> None:
        """The service believes a run without a grant if the index knows the run before it."""
        believed = run if run == 0 or self.shell.core.identities.knows_run(identity(name).id_hash, run - 1) else 0
        self.asked.add((name, believed))
        self.send(name, believed, attempt, failures)

    @rule(name=names, run=st.integers(0, 1), attempt=st.integers(0, 300))
    def forge_garbage(self, name: str, run: int, attempt: int) -> None:
        """It names the id of a request that there is, and cannot name its content."""
        if (name, 0) in self.asked and self.shell.core.identities.knows_run(identity(name).id_hash, run):
            forged = Identity(identity(name).id_hash, run, b"forgedby")
            self.shell.take(Garbage(forged, "No body.", "invalid_request", attempt=attempt))

    @precondition(lambda self: self.copies)
    @rule(pick=picks)
    def lose_a_copy(self, pick: int) -> None:
        """Retention removes it: only its deadline ends the request."""
        self.copies.pop(pick % len(self.copies))

    @rule(name=names)
    def cancel(self, name: str) -> None:
        self.cancels[self.shell.cancel(name, at_ms=WALL_MS + self.shell.now_ms)] = name

    def send(self, name: str, run: int, attempt: int, failures: int) -> None:
        self.serial += 1
        made = candidate(
            name, run=run, attempt=attempt, limit=f"limit-{self.serial}", deadline_ms=self.shell.now_ms + PATIENCE_MS
        )
        content: Candidate = replace(made, failures=failures, name=name)
        number = self.shell.take(content, timestamp_ms=WALL_MS + self.shell.now_ms)
        self.taken[number] = name, run

    # ------------------------------------------------------------------ what happens

    @precondition(lambda self: self.shell.calls)
    @rule(pick=picks, answer=st.sampled_from(ANSWERS))
    def answer(self, pick: int, answer: object) -> None:
        number = list(self.shell.calls)[pick % len(self.shell.calls)]
        self.shell.answer(number, answer)  # type: ignore[arg-type]  # a verdict

    @rule(name=names)
    def park(self, name: str) -> None:
        """A submission that waits for the retrier, if its id is unknown."""
        self.submit(name)
        number = next(reversed(self.taken))
        if number in self.shell.calls:
            self.shell.answer(number, ANSWERS[2])
            self.commit()
            self.commit()

    @rule()
    def commit(self) -> None:
        if self.shell.core.outbox or self.shell.batch is not None:
            self.shell.commit()
            self.told = len(self.shell.committed)
            self.look()

    @precondition(lambda self: self.long_times < 2)
    @rule()
    def a_long_time_passes(self) -> None:
        self.long_times += 1
        self.pass_time()

    @rule(stored=st.booleans())
    def lose_the_producer(self, stored: bool) -> None:  # noqa: FBT001 (a drawn value)
        """Its last transaction is unknown; the ledger is read again from further back than needed."""
        if stored and self.shell.batch is not None:
            self.shell.store()
        self.shell.suspend()
        self.read_the_ledger(max(0, self.told - 3))
        self.shell.lead(self.shell.restored())
        self.drop_cancelled_calls()
        self.look()

    def read_the_ledger(self, start: int) -> None:
        for batch in self.shell.committed[start:]:
            observe(
                self.shell.core.identities, batch.settled, batch.awaited, batch.cancels, WALL_MS + self.shell.now_ms
            )
        self.told = len(self.shell.committed)

    def drop_cancelled_calls(self) -> None:
        gone = set(self.shell.cancelled)
        self.shell.calls = {number: call for number, call in self.shell.calls.items() if call.call not in gone}

    def look(self) -> None:
        """The retrier and the operator see what is committed."""
        for batch in self.shell.committed[self.seen :]:
            for each in batch.settlements:
                if isinstance(each.decision, Park):
                    name, run = self.taken[each.number]
                    self.copies.append((name, run, each.decision.attempts + 1, each.decision.failures))
                if isinstance(each.decision, Fail) and each.decision.reason != "cancelled":
                    self.dead.append(self.taken[each.number])
        self.seen = len(self.shell.committed)

    # ------------------------------------------------------------------ in the end

    def teardown(self) -> None:
        for _ in range(200):
            self.settle_all()
            if not self.copies:
                break
            self.put_back(0)
        self.copies_are_lost()
        counts = self.counts()
        assert all(count == 1 for count in counts.values()), counts
        completed = {name for name, each in self.completed}
        for name, run in self.asked - counts.keys():
            assert run > 0, f"{name} has no outcome"
            assert name in completed, f"{name}, run {run}, has no outcome"

    def settle_all(self) -> None:
        """Until nothing is in flight, waits or is to be committed."""
        for _ in range(1_000):
            self.drop_cancelled_calls()
            for number in list(self.shell.calls):
                self.shell.answer(number)
            if not self.shell.core.outbox and self.shell.batch is None and not self.shell.calls:
                break
            if self.shell.core.outbox or self.shell.batch is not None:
                self.commit()
        self.look()

    def copies_are_lost(self) -> None:
        """What is parked now never comes back."""
        self.pass_time()
        self.settle_all()

    def pass_time(self) -> None:
        self.shell.now_ms += LONG_MS
        self.shell.renew()
        self.shell.carry_out()
        self.drop_cancelled_calls()

    def counts(self) -> Counter[Key]:
        """Outcomes by id and run, as they are published."""
        counts: Counter[Key] = Counter()
        self.completed: set[Key] = set()
        for batch in self.shell.committed:
            for each in batch.settlements:
                match each.decision:
                    case Complete():
                        counts[self.taken[each.number]] += 1
                        self.completed.add(self.taken[each.number])
                    case Fail():
                        counts[self.taken[each.number]] += 1
                    case Withdraw():
                        counts[self.cancels[each.number], each.decision.run] += 1
                    case _:
                        pass
            counts.update((each.name, each.identity.run) for each in batch.overdue)
        return counts


class ForgedAtLength(Forged):
    """The same with more examples, for `make test-long`."""


TestForged = pytest.mark.slow(Forged.TestCase)
TestForged.settings = settings(max_examples=100, stateful_step_count=50, deadline=None, derandomize=True)
TestForgedAtLength = pytest.mark.long(pytest.mark.slow(ForgedAtLength.TestCase))
TestForgedAtLength.settings = settings(max_examples=300, stateful_step_count=50, deadline=None, derandomize=True)
