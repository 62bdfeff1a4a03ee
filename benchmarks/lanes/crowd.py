"""Tickets by the thousand for the core's lanes, without records, calls or time."""

from collections.abc import Iterator, Mapping
from itertools import count
from random import Random
from typing import Final

from headrace.broker.core.config import WEIGHT_ONE, LaneRule, TenantRule
from headrace.broker.core.identity.dedupe import Identity
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.ticket import Candidate, LanePartition, Source, Ticket, TicketNumber

LANE: Final = "bulk"
LIMIT: Final = "gpt-4o-mini"
RULE: Final = LaneRule(LANE, 0, 0, 0, 1 << 30, 1 << 40)
SMALLEST: Final = 50
LARGEST: Final = 4_000
WEIGHTS: Final = (1, 2, 3, 4, 5)
_PLACE: Final = LanePartition(LANE, 0)
_DEADLINE_MS: Final = 1 << 50


def tickets() -> Iterator[int]:
    """Return numbers for `ticket`."""
    return count(1)


def ticket(number: int, tenant: str, charge: int) -> Ticket:
    """Return a ticket that waits."""
    identity = Identity(number.to_bytes(16, "big"), 0, b"finger..")
    content = Candidate(identity, 0, LIMIT, LIMIT, Prices.flat(charge), _DEADLINE_MS, tenant=tenant)
    made = Ticket(TicketNumber(number), Source(_PLACE, number), 2_000, 0, content)
    made.charge = charge
    return made


def size(chance: Random) -> int:
    """Draw the size of a request evenly."""
    return chance.randint(SMALLEST, LARGEST)


def weights(tenants: int) -> dict[str, int]:
    """Return this number of tenants with their weights, each weight as often as the others."""
    return {f"tenant-{number:05}": WEIGHTS[number % len(WEIGHTS)] for number in range(tenants)}


def rules(weighed: Mapping[str, int]) -> dict[str, TenantRule]:
    """Return the tenants' rules for the core."""
    return {tenant: TenantRule(weight * WEIGHT_ONE) for tenant, weight in weighed.items()}
