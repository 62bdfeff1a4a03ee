"""Tenants of one lane against their shares and caps, in exact fractions.

Each tenant with somebody waiting has had so many tokens over its weight; their weighted mean is what each should have.
Whatever comes and leaves, who is called had no more than the mean, unless it is new and may go at once; and everybody
stays within two of the largest requests of its share: one for the order, one for newcomers let pass and for those who
leave. Caps are looked at from the calls alone: no minute and no instant has more than its cap.
"""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS
from headrace.broker.core.budget.sliding_sum import SLOT_MS
from headrace.broker.core.config import WEIGHT_ONE, TenantRule
from headrace.broker.core.lanes.fair_queue import FairQueue
from headrace.broker.core.lanes.lanes import Lanes
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.ticket import Ticket
from tests.unit.core.specimens import LANES, candidate, ticket

pytestmark = pytest.mark.timeout(300)  # what fails is made small first

NAMES = "abcd"
TINY = Fraction(1, 1_000)  # the core counts in millionths of a token
WEIGHTS = st.tuples(*[st.sampled_from([1, 1, 2, 5])] * len(NAMES))
CHARGES = st.one_of(st.sampled_from([10, 100, 1_000]), st.integers(1, 4_000))
ASKING = st.tuples(st.sampled_from(NAMES), CHARGES, st.integers(1, 4))
STEPS = st.lists(st.one_of(ASKING, st.integers(1, 6), st.just("look")), min_size=20, max_size=60)


class Ledger:
    """What each tenant had, by itself."""

    def __init__(self, weights: dict[str, int]) -> None:
        self.weights = weights
        self.waiting: dict[str, list[int]] = {name: [] for name in weights}
        self.had: dict[str, Fraction] = {}
        self.new: list[str] = []
        self.owed = self.largest = 0

    @property
    def present(self) -> list[str]:
        """Who has somebody waiting."""
        return [name for name, charges in self.waiting.items() if charges]

    @property
    def mean(self) -> Fraction:
        """What each of them should have had, over its weight."""
        present = self.present
        return sum((self.had[name] * self.weights[name] for name in present), Fraction(0)) / (
            sum(self.weights[name] for name in present) or 1
        )

    def ask(self, tenant: str, charge: int) -> None:
        """A request comes; a tenant begins where the others are, or where it had got to."""
        if not self.waiting[tenant]:
            if not self.present:
                self.had, self.new, self.owed, self.largest = {}, [], 0, 0
            elif self.had.get(tenant, self.mean) <= self.mean:
                self.new.append(tenant)
            self.had[tenant] = max(self.had.get(tenant, Fraction(0)), self.mean)
        self.waiting[tenant].append(charge)
        self.largest = max(self.largest, charge)

    def may_go(self) -> set[str]:
        """Of whom the next call may be."""
        if self.new and not self.owed:
            return {self.new[0]}
        after = {name: self.had[name] + Fraction(self.waiting[name][0], self.weights[name]) for name in self.present}
        surely = [name for name in after if self.had[name] <= self.mean - TINY]
        soonest = min((after[name] for name in surely), default=None)
        return {
            name
            for name in after
            if self.had[name] <= self.mean + TINY and (soonest is None or after[name] <= soonest + TINY)
        }

    def serve(self, tenant: str) -> None:
        """The first of a tenant is called."""
        others = [name for name in self.present if name != tenant]
        charge = self.waiting[tenant].pop(0)
        passes = tenant in self.new and bool(others)
        self.owed = self.owed + charge if passes else max(0, self.owed - charge)
        self.new = [name for name in self.new if name != tenant]
        self.had[tenant] += Fraction(charge, self.weights[tenant])

    def furthest(self) -> Fraction:
        """By how many tokens somebody who waits is away from its share."""
        mean = self.mean
        return max((abs(self.had[name] - mean) * self.weights[name] for name in self.present), default=Fraction(0))


def request(tenant: str, charge: int) -> Ticket:
    return ticket(candidate(tenant=tenant, charge=charge))


@pytest.mark.slow
@given(weights=WEIGHTS, steps=STEPS)
@settings(max_examples=200)
def test_who_has_had_least_goes_first_and_everybody_stays_near_its_share(
    weights: tuple[int, ...], steps: list[tuple[str, int, int] | int | str]
) -> None:
    rules = {name: TenantRule(weight * WEIGHT_ONE) for name, weight in zip(NAMES, weights, strict=True)}
    fair, ledger = FairQueue(Tenants(rules)), Ledger(dict(zip(NAMES, weights, strict=True)))
    held: str | None = None
    for step in [*steps, *(["look", 1] * 40)]:
        if isinstance(step, tuple):
            for _ in range(step[2]):
                fair.add(request(step[0], step[1]))
                ledger.ask(step[0], step[1])
            continue
        for _ in range(step if isinstance(step, int) else 1):
            found = fair.next(0)
            assert (found is None) == (not ledger.present)
            if found is None:
                break
            tenant = found.candidate.tenant
            assert tenant in ({held} if held else ledger.may_go())
            held = tenant
            if isinstance(step, int):
                fair.serve(found)
                ledger.serve(tenant)
                held = None
                assert ledger.furthest() <= 2 * ledger.largest


# ------------------------------------------------------------------ caps

CAPS = st.one_of(st.none(), st.integers(1, 3_000))
PLACES = st.one_of(st.none(), st.integers(1, 3))
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(NAMES), st.sampled_from(["urgent", "bulk"]), CHARGES),
        st.integers(1, 40_000),
        st.sampled_from(NAMES),
    ),
    min_size=30,
    max_size=80,
)


class Till:
    """Two lanes whose limit never runs short, so that caps alone keep anybody waiting."""

    def __init__(self, rules: dict[str, TenantRule]) -> None:
        self.rules = rules
        self.tenants = Tenants(rules)
        self.lanes = Lanes(LANES, self.tenants)
        self.calls: list[tuple[int, str, int]] = []
        self.inflight: Counter[str] = Counter()
        self.waiting: dict[tuple[str, str], list[int]] = {}

    def ask(self, tenant: str, lane: str, charge: int) -> None:
        """A request comes."""
        self.lanes.queue(lane).append(ticket(candidate(tenant=tenant, charge=charge), lane=lane))
        self.waiting.setdefault((lane, tenant), []).append(charge)

    def taken(self, tenant: str, since: int) -> int:
        """Tokens that it took after then."""
        return sum(charge for at, name, charge in self.calls if name == tenant and at > since)

    def call(self, now: int) -> None:
        """Everybody whom no cap keeps out is called, and nobody else."""
        while (pick := self.lanes.pick(now)) is not None:
            tenant, charge = pick.ticket.candidate.tenant, pick.ticket.charge
            self.lanes.serve(pick.ticket, now)
            assert self.waiting[pick.ticket.source.partition.lane, tenant].pop(0) == charge
            self.calls.append((now, tenant, charge))
            self.inflight[tenant] += 1
            rule = self.rules[tenant]
            if rule.cap_tokens is not None:
                assert self.taken(tenant, now - MINUTE_MS) <= max(rule.cap_tokens, charge)
            assert rule.inflight_max is None or self.inflight[tenant] <= rule.inflight_max
        for (_, tenant), charges in self.waiting.items():
            assert not charges or self.is_out(tenant, charges[0], now), f"{tenant} may be called and is not"

    def is_out(self, tenant: str, charge: int, now: int) -> bool:
        """Whether a cap keeps it out; a minute may be taken for a moment longer."""
        rule = self.rules[tenant]
        if rule.inflight_max is not None and self.inflight[tenant] >= rule.inflight_max:
            return True
        taken = self.taken(tenant, now - MINUTE_MS - SLOT_MS)
        return rule.cap_tokens is not None and taken + min(charge, rule.cap_tokens) > rule.cap_tokens


@pytest.mark.slow
@given(caps=st.tuples(*[CAPS] * len(NAMES)), places=st.tuples(*[PLACES] * len(NAMES)), events=EVENTS)
@settings(max_examples=100)
def test_no_minute_and_no_instant_has_more_than_its_cap_and_nobody_else_is_kept_out(
    caps: tuple[int | None, ...], places: tuple[int | None, ...], events: list[tuple[str, str, int] | int | str]
) -> None:
    rules = {
        name: TenantRule(cap_tokens=cap, inflight_max=most) for name, cap, most in zip(NAMES, caps, places, strict=True)
    }
    till, now = Till(rules), 0
    for event in events:
        if isinstance(event, tuple):
            till.ask(*event)
        elif isinstance(event, int):
            now += event
        elif till.inflight[event]:
            till.inflight[event] -= 1
            till.tenants.record_end(event)
        till.call(now)
