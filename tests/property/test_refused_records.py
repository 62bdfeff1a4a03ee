"""Whatever Kafka refuses, and whenever it is away: all else is published once, and soon, and so is each culprit.

Decisions arrive at random; some are culprits, that Kafka refuses until they are written in a small enough form, with an
error that says so or with one that may be chance. In between transactions fail for no reason, and promotions make
tickets without an answer anew.
"""

from dataclasses import dataclass, field
from random import Random

import pytest

from headrace.broker.core.commands import Complete, DeadLetterOnly, Decision, Fail, Form
from headrace.broker.core.requests.outbox import Decided, Outbox
from headrace.broker.core.setback import Setback
from headrace.broker.core.ticket import Ticket, TicketNumber
from tests.long_proofs import with_long
from tests.unit.core.specimens import ticket

SEEDS = with_long(range(150), 50)
"""50 belong to every `make test`; the others, to `make test-long`."""
FORMS = list(Form)
DECISIONS: tuple[Decision, ...] = (Complete(), Fail("rejected", "No."), DeadLetterOnly("id_conflict", "Taken."))
FAILURES_A_CULPRIT = 70
"""Two, eight to halve two hundred, some twenty within an hour, and five more in each form, with room for what comes by
chance in between."""


@dataclass
class Culprit:
    """Kafka refuses it in every form before `until`."""

    until: Form
    setback: Setback


@dataclass
class Run:
    """One play of a seed."""

    seed: int
    chance: Random = field(init=False)
    outbox: Outbox = field(default_factory=Outbox)
    open: dict[TicketNumber, Decided] = field(default_factory=dict)
    culprits: dict[TicketNumber, Culprit] = field(default_factory=dict)
    ended: dict[TicketNumber, Form] = field(default_factory=dict)
    now_ms: int = 0
    refused: int = 0
    chance_failures: int = 0

    def __post_init__(self) -> None:
        self.chance = Random(self.seed)
        self.trouble = self.chance.choice((0.0, 0.0, 0.1, 0.3))
        self.culprits_share = self.chance.choice((0.0, 0.005, 0.02, 0.1))

    def arrive(self, count: int) -> None:
        for _ in range(count):
            made, decision = ticket(), self.chance.choice(DECISIONS)
            if self.chance.random() < self.culprits_share:
                setback = self.chance.choice((Setback.REFUSED, Setback.UNKNOWN))
                forms = FORMS[1:] if setback is Setback.REFUSED else FORMS[1:-1]  # of chance no outcome is given up
                self.culprits[made.number] = Culprit(self.chance.choice(forms), setback)
            self.decide(made, decision)

    def decide(self, made: Ticket, decision: Decision) -> None:
        decided = self.open[made.number] = Decided(made, decision, self.chance.randint(10, 50_000))
        self.outbox.add(decided, self.now_ms, at_once=True)

    def step(self) -> None:
        """One transaction."""
        due_ms = self.outbox.due_at()
        assert due_ms is not None
        self.now_ms = max(self.now_ms + 10, due_ms)
        batch = self.outbox.begin(self.now_ms)
        setback = self.setback(batch)
        if setback is None:
            for each in batch:
                assert each.ticket.number not in self.ended, "published twice"
                self.ended[each.ticket.number] = self.outbox.form(each.ticket)
                del self.open[each.ticket.number]
            self.outbox.end()
            return
        self.outbox.interrupt(setback)
        for each in list(self.open.values()):
            if isinstance(each.decision, DeadLetterOnly):
                self.outbox.withdraw(each.ticket)
                self.decide(each.ticket.fresh_copy(), each.decision)

    def setback(self, batch: list[Decided]) -> Setback | None:
        if self.chance.random() < self.trouble:
            self.chance_failures += 1
            return self.chance.choice((Setback.UNKNOWN, Setback.DENIED))
        for each in batch:
            culprit = self.culprits.get(each.ticket.number)
            if culprit is not None and FORMS.index(self.outbox.form(each.ticket)) < FORMS.index(culprit.until):
                self.refused += 1
                return culprit.setback
        return None


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_everything_ends_once_and_soon(seed: int) -> None:
    run = Run(seed)
    total = 0
    for _ in range(run.chance.randint(1, 8)):
        count = run.chance.randint(0, 150)
        run.arrive(count)
        total += count
        for _ in range(run.chance.randint(0, 20)):
            if run.open:
                run.step()
    steps = 0
    while any(number not in run.culprits for number in run.open):
        run.step()
        steps += 1
        assert steps < 2_000 + 100 * len(run.culprits), "the good ones starve"
    feed = 0
    while run.open:
        if feed % 3 == 0:  # what ends without an outcome waits for others that have one
            made = ticket()
            run.decide(made, Complete())
            total += 1
        feed += 1
        run.step()
        assert feed < 20_000, "the culprits never end"
    assert len(run.ended) == total
    assert run.refused <= FAILURES_A_CULPRIT * len(run.culprits)
    if not run.trouble:
        assert all(form is Form.WHOLE for number, form in run.ended.items() if number not in run.culprits)
        assert all(form is run.culprits[number].until for number, form in run.ended.items() if number in run.culprits)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_kafka_being_away_alone_makes_nothing_smaller(seed: int) -> None:
    """However often, and for however long: what fails by chance comes through by chance."""
    run = Run(seed)
    run.culprits_share, run.trouble = 0.0, run.chance.choice((0.05, 0.2, 0.4))
    for _ in range(20):
        run.arrive(run.chance.randint(0, 40))
        away = run.chance.randint(0, 30)
        for step in range(away + 10):
            if run.open:
                trouble, run.trouble = run.trouble, 1.0 if step < away else run.trouble
                run.step()
                run.trouble = trouble
    while run.open:
        run.step()
    assert set(run.ended.values()) <= {Form.WHOLE}
