"""One limit's budget, and the requests that wait for it: in its lanes, or apart while their service tier rests.

A request of a tier that has no capacity must not hold up the others of its lane. So while the breaker of a tier
(`headrace.broker.core.budget.tier_breaker`) is open, its requests wait in lanes of their own. After each rest one of
them returns to the limit's lanes and waits for its turn there like any other; its call is the breaker's probe. When the
tier serves again all return, each to its place by deadline.
"""

from collections.abc import Callable
from itertools import chain
from typing import Final

from headrace.broker.core.budget.breaker import Breaker
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.lanes.durations import DurationsByTier
from headrace.broker.core.lanes.lanes import Lanes, Pick
from headrace.broker.core.ticket import ModelTier, Ticket

SORTED_AT_ONCE_MAX: Final = 1_000  # moved in some milliseconds
LOOKED_AT_ONCE_MAX: Final = 8 * SORTED_AT_ONCE_MAX
PATIENCE_MS: Final = 900_000
PATIENT_FOR_MS: Final = 120_000
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
        self._gave_way: dict[tuple[ModelTier, str], None] = {}  # where a probe too large to be paid was taken back
        self._patient: Ticket | None = None  # the last probe that was allowed to wait for its tokens
        self._patient_since_ms = -PATIENCE_MS
        self._to_sort: list[Ticket] = []
        self._sorted_at = budget.tiers.version
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

    def sort(self, now_ms: int) -> None:
        """Move some of the waiting tickets that are misplaced since a tier's breaker has opened or closed.

        To be called once in a turn of the loop: all of them at once would block it.
        """
        if self._sorted_at != self.budget.tiers.version:
            self._sorted_at = self.budget.tiers.version
            self._to_sort = self._perhaps_misplaced()
        moved, left = 0, max(0, len(self._to_sort) - LOOKED_AT_ONCE_MAX)
        while len(self._to_sort) > left and moved < SORTED_AT_ONCE_MAX:
            ticket = self._to_sort.pop()
            if ticket.queued and self._is_misplaced(ticket):
                self._move(ticket, now_ms)
                moved += 1
        self._drop_empty_lanes()

    @property
    def is_sorted(self) -> bool:
        """Whether each waiting ticket is where it belongs; if not, `sort` goes on."""
        return not self._to_sort and self._sorted_at == self.budget.tiers.version

    def prepare(self, now_ms: int) -> None:
        """Let the probes that are due join; to be called before the next ticket is chosen."""
        if self.budget.tiers.any_open:
            self._exchange_probes(now_ms)

    def forget_idle_tiers(self, now_ms: int) -> list[tuple[ModelTier, Breaker]]:
        """Forget the tiers that no request has waited for since long ago; return them with their open breakers."""
        if not self.budget.tiers.any_open:
            return []
        self._drop_empty_lanes()
        probed = {tier for (tier, _), ticket in self._probes.items() if ticket.queued}
        return self.budget.tiers.forget_idle({*self.tier_lanes, *probed}, now_ms)

    def _perhaps_misplaced(self) -> list[Ticket]:
        """Return all tickets that are to be looked at, the most urgent at the end."""
        tiers = self.budget.tiers
        lanes = [lanes for tier, lanes in self.tier_lanes.items() if not tiers.rests(tier)]
        if tiers.any_open:
            lanes.insert(0, self.lanes)
        found = [*chain.from_iterable(each.tickets() for each in lanes)]
        found.reverse()
        return found

    def _is_misplaced(self, ticket: Ticket) -> bool:
        tier = ticket.candidate.model_tier
        if not self.budget.tiers.rests(tier):
            return ticket.in_tier_lanes
        return not (ticket.in_tier_lanes or self._probes.get((tier, ticket.source.partition.lane)) is ticket)

    def _drop_empty_lanes(self) -> None:
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
            self._take_back(ticket, now_ms)
        if self._gave_way:
            self._gave_way = {key: None for key in self._gave_way if self._may_wait_for_tokens(*key, now_ms)}
        for tier, lanes in list(self.tier_lanes.items()):
            if self._due_at(tier, now_ms) == now_ms:
                for lane in lanes.waiting_lanes():
                    chosen = None if (tier, lane) in self._probes else self._choose_probe(tier, lane, now_ms)
                    if chosen is not None:
                        self._join(chosen, now_ms)
        self._drop_empty_lanes()

    def _take_back(self, probe: Ticket, now_ms: int) -> None:
        """Let a ticket be no probe any more, whether it still waits for its turn or not."""
        del self._probes[probe.candidate.model_tier, probe.source.partition.lane]
        if probe is self._patient:
            self._patient = None
        if probe.queued and not probe.in_tier_lanes and self._is_misplaced(probe):
            self._move(probe, now_ms)

    def _choose_probe(self, tier: ModelTier, lane: str, now_ms: int) -> Ticket | None:
        """Choose the next probe of a lane; where a former one gave way, one that can be paid at once or a patient one.

        A probe that waited for its tokens would hold up the others again after each rest, and most are refused. But
        where the others take all tokens, none larger than theirs would ever go. So one at a time may wait for its
        tokens for two minutes, like any other request, a quarter of an hour after the first gave way or the last one
        began to wait so.
        """
        if self._patient is not None:
            if now_ms >= self._patient_since_ms + PATIENT_FOR_MS:
                self._patient = None
            elif self._patient.source.partition.lane == lane:
                return None  # it would take the tokens that the patient one has waited for
        lanes = self.tier_lanes[tier]
        chosen = lanes.tier_probe(lane, now_ms)
        if chosen is None or (tier, lane) not in self._gave_way or not self.lanes.waiting():
            return chosen
        if now_ms >= self._patient_since_ms + PATIENCE_MS and next(iter(self._gave_way)) == (tier, lane):
            self._patient, self._patient_since_ms = chosen, now_ms
            return chosen
        if not self._is_payable(chosen, now_ms):
            chosen = lanes.tier_probe(lane, now_ms, cheapest=True)
        return chosen if chosen is not None and self._is_payable(chosen, now_ms) else None

    def _is_payable(self, ticket: Ticket, now_ms: int) -> bool:
        at_ms = self.budget.payable_at(
            ticket.charge,
            now_ms,
            reserved_ppm=self.lanes.reserved_ppm(ticket.source.partition.lane),
            stated=ticket.stated,
            lane_order=ticket.lane_order,
        )
        return at_ms is not None and at_ms <= now_ms

    def _join(self, probe: Ticket, now_ms: int) -> None:
        """Let a probe wait for its turn in its lane, before the others of its tenant."""
        lane = probe.source.partition.lane
        self._probes[probe.candidate.model_tier, lane] = probe
        self.remove(probe)
        self.lanes.queue(lane).append(probe, front=True)
        self._on_return(self, probe, now_ms)
        durations = self.lanes.durations
        if durations.near_at(probe) <= now_ms < durations.late_at(probe):  # a late one goes all the same
            self.lanes.apply_deadline(probe, now_ms)

    def _give_way(self, pick: Pick, now_ms: int) -> bool:
        """Take a probe back that would hold up others until it can be paid; return whether that was so.

        A lane that is owed its floor may hold up the others for it, as for any request.
        """
        ticket, lane = pick.ticket, pick.ticket.source.partition.lane
        key = ticket.candidate.model_tier, lane
        if self._probes.get(key) is not ticket or ticket is self._patient or self.lanes.waiting() == 1:
            return False
        if self.lanes.queue(lane).is_owed(ticket):
            return False
        if not self._gave_way:
            self._patient_since_ms = max(self._patient_since_ms, now_ms)
        self._gave_way[key] = None
        self._take_back(ticket, now_ms)
        return True

    def _may_wait_for_tokens(self, tier: ModelTier, lane: str, now_ms: int) -> bool:
        """Whether a tier may be probed now, and requests of that lane wait for it."""
        lanes = self.tier_lanes.get(tier)
        return lanes is not None and bool(lanes.queue(lane).count) and self._due_at(tier, now_ms) == now_ms

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
        probe is chosen when the rest is over. While tickets are sorted, one that is to be set aside lets none pass.
        """
        self.reprice()
        while (found := self._find_next(now_ms, probe=probe)) is not None:
            pick, at_ms = found
            if not self.is_sorted and self._is_misplaced(pick.ticket):
                return None  # `sort` comes to it
            if at_ms is None or at_ms <= now_ms or self._rests(now_ms) or not self._give_way(pick, now_ms):
                return None if at_ms is None else (pick, at_ms)
        return None

    def _rests(self, now_ms: int) -> bool:
        return self.budget.breaker.rests_until(now_ms) > now_ms

    def _find_next(self, now_ms: int, *, probe: bool) -> tuple[Pick, int | None] | None:
        """Return the next request and when it can be called (None: an answer must come first), if one waits."""
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
        return pick, at_ms

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
