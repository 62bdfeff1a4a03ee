"""One limit's budget, and the requests that wait for it: in its lanes, or apart while their service tier rests.

A request of a tier that has no capacity must not hold up the others of its lane. So while the breaker of a tier
(`headrace.broker.core.budget.tier_breaker`) is open, its requests wait in lanes of their own. After each rest one of
them returns to the limit's lanes and waits for its turn there like any other; its call is the breaker's probe. When the
tier serves again all return, each to its place by deadline.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final

from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.lanes.durations import DurationsByTier
from headrace.broker.core.lanes.lanes import Lanes, Pick
from headrace.broker.core.ticket import ModelTier, Ticket

SORTED_AT_ONCE_MAX: Final = 1_000  # some ten milliseconds
LOOK_EVERY_MS: Final = 60_000
HELD_LOOK_MS: Final = 1_000  # after which a tier is looked at again whose waiting tenants have all reached a cap


class LimitQueue:
    """One limit's budget, and the requests that wait for it.

    Attributes:
        lanes: Those of the limit, from which calls are made.
        tier_lanes: The waiting requests of each tier that rests.
    """

    def __init__(
        self,
        budget: Budget,
        make_lanes: Callable[[DurationsByTier], Lanes],
        on_return: Callable[["LimitQueue", Ticket, int], None],
    ) -> None:
        """`make_lanes` makes empty lanes; `on_return` is called after a ticket has returned to the limit's lanes."""
        self.budget = budget
        self.lanes = make_lanes(DurationsByTier())
        self.tier_lanes: dict[ModelTier, Lanes] = {}
        self._make_lanes = make_lanes
        self._on_return = on_return
        self._probes: dict[tuple[ModelTier, str], Ticket] = {}  # by tier and lane: chosen, and waiting for their turn
        self._to_sort: list[Ticket] = []
        self._sorted_at = budget.tiers.version
        self._looked_ms = 0
        self._version = budget.tariff.version
        self._crowded: tuple[Ticket, int] | None = None  # head without room beside the reserve, and when it became next

    # ------------------------------------------------------------------ tickets come and go

    def enqueue(self, ticket: Ticket, *, front: bool = False) -> None:
        """Enqueue a ticket in its lane, or apart if its tier rests."""
        tier = ticket.candidate.model_tier
        ticket.in_tier_lanes = self.budget.tiers.any_open and self.budget.tiers.rests(tier)
        if ticket.in_tier_lanes and tier not in self.tier_lanes:
            self.tier_lanes[tier] = self._make_lanes(self.lanes.durations)
        self.lanes_of(ticket).queue(ticket.source.partition.lane).append(ticket, front=front)

    def remove(self, ticket: Ticket) -> None:
        """Remove a queued ticket that is not being called."""
        self.lanes_of(ticket).queue(ticket.source.partition.lane).remove(ticket)
        ticket.in_tier_lanes = False

    def lanes_of(self, ticket: Ticket) -> Lanes:
        """Return the lanes in which a ticket waits."""
        return self.tier_lanes[ticket.candidate.model_tier] if ticket.in_tier_lanes else self.lanes

    def waiting(self) -> int:
        """Return the number of tickets that wait for this limit, those of resting tiers included."""
        return self.lanes.waiting() + sum(lanes.waiting() for lanes in self.tier_lanes.values())

    def is_sound(self) -> bool:
        """Whether each lane's totals agree with the tickets it holds."""
        return self.lanes.is_sound() and all(lanes.is_sound() for lanes in self.tier_lanes.values())

    # ------------------------------------------------------------------ tiers rest and return

    def prepare(self, now_ms: int) -> None:
        """Sort the waiting tickets anew if a tier's breaker has opened or closed, and let the probes that are due join.

        To be called before the next ticket is chosen.
        """
        tiers = self.budget.tiers
        if self._sorted_at != tiers.version:
            self._sorted_at = tiers.version
            self._to_sort = [ticket for ticket in self._all_tickets() if self._is_misplaced(ticket)]
        if self._to_sort:
            self._sort(now_ms)
        if tiers.any_open:
            self._exchange_probes(now_ms)
            if now_ms >= self._looked_ms + LOOK_EVERY_MS:
                self._looked_ms = now_ms
                tiers.forget_idle({*self.tier_lanes, *(tier for tier, _ in self._probes)}, now_ms)

    @property
    def is_sorted(self) -> bool:
        """Whether each waiting ticket is where it belongs; if not, `prepare` goes on."""
        return not self._to_sort

    def sets_aside(self, ticket: Ticket, now_ms: int) -> bool:
        """Set a ticket aside whose turn came before `prepare` had come to it; return whether that was so."""
        if not self._to_sort or not self._is_misplaced(ticket):
            return False
        self._move(ticket, now_ms)
        return True

    def _all_tickets(self) -> Iterator[Ticket]:
        return chain.from_iterable(lanes.tickets() for lanes in (self.lanes, *self.tier_lanes.values()))

    def _is_misplaced(self, ticket: Ticket) -> bool:
        return ticket.in_tier_lanes is not self.budget.tiers.rests(ticket.candidate.model_tier)

    def _sort(self, now_ms: int) -> None:
        """Move some of the tickets that are misplaced: all of them at once would block the loop."""
        for _ in range(min(SORTED_AT_ONCE_MAX, len(self._to_sort))):
            ticket = self._to_sort.pop()
            if ticket.queued and self._is_misplaced(ticket):
                self._move(ticket, now_ms)
        self.tier_lanes = {tier: lanes for tier, lanes in self.tier_lanes.items() if lanes.waiting()}

    def _move(self, ticket: Ticket, now_ms: int) -> None:
        self.remove(ticket)
        self.enqueue(ticket)
        if not ticket.in_tier_lanes:
            self._on_return(self, ticket, now_ms)
        if self.lanes.durations.near_at(ticket) <= now_ms:
            self.lanes_of(ticket).apply_deadline(ticket, now_ms)

    def _exchange_probes(self, now_ms: int) -> None:
        """Let a ticket of each tier whose rest is over wait for its turn in its lane, and take back those too many.

        Each lane in which requests of the tier wait has one there: an urgent one must not wait for the turn of a bulk
        one.
        """
        for ticket in [ticket for ticket in self._probes.values() if not self._may_probe(ticket, now_ms)]:
            del self._probes[ticket.candidate.model_tier, ticket.source.partition.lane]
            if ticket.queued and not ticket.in_tier_lanes and self._is_misplaced(ticket):
                self._move(ticket, now_ms)
        for tier, lanes in list(self.tier_lanes.items()):
            if self._due_at(tier, now_ms) == now_ms:
                for lane in lanes.waiting_lanes():
                    chosen = None if (tier, lane) in self._probes else lanes.tier_probe(lane, now_ms)
                    if chosen is not None:
                        self._probes[tier, lane] = chosen
                        self.remove(chosen)
                        self.lanes.queue(lane).append(chosen, front=True)
                        self._on_return(self, chosen, now_ms)
            if not lanes.waiting():
                del self.tier_lanes[tier]

    def _may_probe(self, ticket: Ticket, now_ms: int) -> bool:
        """Whether a ticket that was chosen as a probe waits for its turn, and its tier may be probed now."""
        waits = ticket.queued and not (ticket.in_tier_lanes or ticket.late)
        return waits and self._due_at(ticket.candidate.model_tier, now_ms) == now_ms

    def _due_at(self, tier: ModelTier, now_ms: int) -> int | None:
        """Return when a tier may be probed, now at the earliest; None: it does not rest, or its probe is under way."""
        breaker = self.budget.tiers.find(tier)
        return None if breaker is None or breaker.closed else breaker.may_call_at(now_ms)

    def look_at(self, now_ms: int) -> int | None:
        """Return when `prepare` has something to do that no event announces; None: nothing."""
        if self._to_sort:
            return now_ms + 1
        instants = (self._due_at(tier, now_ms) for tier in self.tier_lanes)
        later = [at_ms if at_ms > now_ms else now_ms + HELD_LOOK_MS for at_ms in instants if at_ms is not None]
        return min(later, default=None)

    # ------------------------------------------------------------------ the next call

    def reprice(self) -> None:
        """Price the waiting tickets by the law that is believed now, if that has changed."""
        if self._version != self.budget.tariff.version:
            self._version = self.budget.tariff.version
            for lanes in (self.lanes, *self.tier_lanes.values()):
                lanes.reprice(self.budget.tariff.price)

    def least(self, ticket: Ticket) -> int:
        """Return the least that a call of the ticket takes, by any law that may still hold."""
        return ticket.charge if ticket.stated else self.budget.tariff.least(ticket.candidate.prices)

    def pick(self, now_ms: int) -> Pick | None:
        """Return the next request; before the first answer that of the most urgent lane, whatever others are owed."""
        return self.lanes.pick(now_ms) if self.budget.believed else self.lanes.foremost(now_ms)

    def next(self, now_ms: int, *, probe: bool) -> tuple[Pick, int] | None:
        """Return the next request and when it can be called; None if none waits, or if an answer must come first.

        A limit whose breaker is open is probed, and so is a whole account (`probe`). The request that serves as the
        probe is chosen when the rest is over.
        """
        self.reprice()
        breaker = self.budget.breaker
        if breaker.closed and not probe:
            pick = self.pick(now_ms)
            if self.lanes.probes:
                self.lanes.probes.clear()
        elif (rests_until_ms := breaker.rests_until(now_ms)) > now_ms:
            pick = self.lanes.pick(now_ms)
            return None if pick is None else (pick, rests_until_ms)
        else:
            pick = self.lanes.probe(now_ms)
        if pick is None:
            return None
        ticket = pick.ticket
        at_ms = self.budget.payable_at(
            ticket.charge, now_ms, reserved_ppm=pick.reserved_ppm, stated=ticket.stated, lane_order=ticket.lane_order
        )
        if at_ms is not None and at_ms > now_ms and pick.reserved_ppm:
            at_ms = min(at_ms, self._may_use_reserve_at(pick, now_ms) or at_ms)
        return None if at_ms is None else (pick, at_ms)

    def _may_use_reserve_at(self, pick: Pick, now_ms: int) -> int | None:
        """Return when a head that has no room beside the other lanes' reserve may use that reserve.

        It must first wait for the time of a full refill. Otherwise it would wait for a bucket that is nearly full,
        which never comes while a lane above it spends.
        """
        ticket = pick.ticket
        refill_ms = self.budget.refill_beside_reserve(ticket.charge, pick.reserved_ppm, stated=ticket.stated)
        if not refill_ms:
            return None
        if self._crowded is None or self._crowded[0] is not ticket:
            self._crowded = ticket, now_ms
        waited_ms = self._crowded[1] + refill_ms
        if waited_ms > now_ms:
            return waited_ms
        return self.budget.payable_at(ticket.charge, now_ms, stated=ticket.stated)
