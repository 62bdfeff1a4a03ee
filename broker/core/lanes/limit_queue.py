"""One limit's budget, and the requests that wait for it: in its lanes, or apart while their service tier rests.

A request of a tier that has no capacity must not hold up the others of its lane. So while the breaker of a tier
(`headrace.broker.core.budget.tier_breaker`) is open, its requests wait in lanes of their own. After each rest one of
each lane returns to the limit's lanes and waits for its turn there; the first call is the breaker's probe. When the
tier serves again all return, each to its place by deadline.

A probe that waited for its tokens like any other request would hold up the others after each rest, and most are
refused. So one that cannot be paid when its turn comes steps aside, and comes back once it can be paid at once. Where
the others take all tokens that would be never. So once in `PATIENCE_MS` a probe of a limit may hold up the others until
it can be paid; the one that stepped aside first has the first turn, lane by lane. None holds up others for longer than
`HOLDS_UP_MAX_MS`.
"""

from collections.abc import Callable
from itertools import chain
from typing import Final

from headrace.broker.core.budget.breaker import ACCOUNT, Breaker
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.lanes.durations import DurationsByTier
from headrace.broker.core.lanes.lanes import Lanes, Pick
from headrace.broker.core.ticket import ModelTier, Ticket

SORTED_AT_ONCE_MAX: Final = 1_000  # moved in some milliseconds
LOOKED_AT_ONCE_MAX: Final = 8 * SORTED_AT_ONCE_MAX
PATIENCE_MS: Final = 900_000
HOLDS_UP_MAX_MS: Final = 120_000
ASIDE_LOOK_MS: Final = 1_000  # after which a probe that stepped aside is looked at again, at the latest
ASIDE_WAKE_MS: Final = 250  # before which the loop need not wake for that

ProbeKey = tuple[ModelTier, str]
"""A tier, and a lane in which its requests wait."""


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
        self._probes: dict[ProbeKey, Ticket] = {}  # chosen, and waiting for their turn
        # where a probe stepped aside, the first one first: what goes next, and when to look whether it can be paid
        self._aside: dict[ProbeKey, tuple[Ticket | None, int]] = {}
        self._holds_up_since: dict[ProbeKey, int] = {}
        self._patience_at_ms = 0  # when the next probe may hold up others
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
        if self._aside and ticket.in_tier_lanes:
            self._compare_aside(ticket)

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
        if not self.waiting():
            self.forget_sorting()
            return
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

    def forget_sorting(self) -> None:
        """Keep none of the tickets that were to be sorted, nor any empty lanes; to be called once no ticket waits."""
        self._to_sort, self._sorted_at = [], self.budget.tiers.version
        self._drop_empty_lanes()

    @property
    def is_sorted(self) -> bool:
        """Whether each waiting ticket is where it belongs; if not, `sort` goes on."""
        return not self._to_sort and self._sorted_at == self.budget.tiers.version

    def prepare(self, now_ms: int) -> None:
        """Let the probes that are due join; to be called before the next ticket is chosen."""
        if self.budget.tiers.any_open or self._probes:
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
        if self._aside:
            self._aside = {key: each for key, each in self._aside.items() if self._waits_for_probe(key, now_ms)}
        for tier, lanes in list(self.tier_lanes.items()):
            if self._due_at(tier, now_ms) == now_ms:
                for lane in lanes.waiting_lanes():
                    chosen = None if (tier, lane) in self._probes else self._choose_probe((tier, lane), now_ms)
                    if chosen is not None:
                        self._join(chosen, now_ms)
        self._drop_empty_lanes()

    def _take_back(self, probe: Ticket, now_ms: int) -> None:
        """Let a ticket be no probe any more, whether it still waits for its turn or not."""
        key = probe.candidate.model_tier, probe.source.partition.lane
        del self._probes[key]
        self._holds_up_since.pop(key, None)
        if probe.queued and not probe.in_tier_lanes and self._is_misplaced(probe):
            self._move(probe, now_ms)

    def _choose_probe(self, key: ProbeKey, now_ms: int) -> Ticket | None:
        """Choose the next probe of a tier and lane, if one may join now.

        Where one stepped aside, it is the cheapest request. A search looks at the requests of many tenants, so what it
        has found is kept, and a cheaper one that comes takes its place.
        """
        (tier, lane), aside = key, self._aside.get(key)
        lanes = self.tier_lanes[tier]
        if aside is None:
            chosen = lanes.tier_probe(lane, now_ms)
            if chosen is None:
                self._set_aside(key, now_ms + ASIDE_LOOK_MS, now_ms)
            return chosen
        ticket, look_at_ms = aside
        waits_alone = ticket is not None and not self.lanes.waiting()
        if look_at_ms > now_ms and not waits_alone:
            return None
        if ticket is None or not self._may_join(ticket, now_ms):
            ticket = lanes.tier_probe(lane, now_ms, cheapest=True)
        at_ms = None if ticket is None else self._payable_at(ticket, now_ms)
        next_ms = now_ms + ASIDE_LOOK_MS
        is_payable = at_ms is not None and at_ms <= now_ms
        self._aside[key] = ticket, next_ms if at_ms is None or is_payable else min(at_ms, next_ms)
        if self._holds_up_since:
            return None  # it would take the tokens that another one waits for
        return ticket if is_payable or not self.lanes.waiting() or self._may_hold_up_next(key, now_ms) else None

    def _set_aside(self, key: ProbeKey, look_at_ms: int, now_ms: int) -> None:
        """Note that the probe of a tier and lane has stepped aside; what goes next is not looked for yet."""
        if not self._aside:
            self._patience_at_ms = max(self._patience_at_ms, now_ms + PATIENCE_MS)
        self._aside[key] = None, look_at_ms

    def _compare_aside(self, ticket: Ticket) -> None:
        """Let a ticket that has come take the place of a dearer one that stepped aside."""
        key = ticket.candidate.model_tier, ticket.source.partition.lane
        aside = self._aside.get(key)
        if aside is not None and (aside[0] is None or _is_cheaper(ticket, aside[0])):
            self._aside[key] = ticket, 0

    def _may_join(self, ticket: Ticket, now_ms: int) -> bool:
        """Whether a ticket that stepped aside may be a probe still."""
        return ticket.queued and ticket.in_tier_lanes and not ticket.late and self.lanes.is_free(ticket, now_ms)

    def _may_hold_up_next(self, key: ProbeKey, now_ms: int) -> bool:
        """Whether a probe may hold up others now, and this is the one of its lane that stepped aside first."""
        return now_ms >= self._patience_at_ms and key == next(each for each in self._aside if each[1] == key[1])

    def _payable_at(self, ticket: Ticket, now_ms: int, reserved_ppm: int | None = None) -> int | None:
        lane = ticket.source.partition.lane
        return self.budget.payable_at(
            ticket.charge,
            now_ms,
            reserved_ppm=self.lanes.reserved_ppm(lane) if reserved_ppm is None else reserved_ppm,
            stated=ticket.stated,
            lane_order=ticket.lane_order,
            prices=ticket.candidate.prices,
        )

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

    def _steps_aside(self, ticket: Ticket, at_ms: int, now_ms: int) -> bool:
        """Take the next ticket back if it is a probe that may not hold up others until it can be paid.

        Return whether that was so.
        """
        key = ticket.candidate.model_tier, ticket.source.partition.lane
        if at_ms <= now_ms or self._probes.get(key) is not ticket or self.lanes.waiting() == 1 or self._rests(now_ms):
            return False
        held_up_since_ms = self._holds_up_since.get(key, now_ms)
        is_hopeless = at_ms > held_up_since_ms + HOLDS_UP_MAX_MS
        if not is_hopeless and self._may_hold_up(key, ticket, now_ms):
            return False
        self._take_back(ticket, now_ms)
        if key not in self._aside:
            self._set_aside(key, now_ms, now_ms)
            return True
        following, _ = self._aside.pop(key) if is_hopeless else self._aside[key]  # a hopeless one goes last
        self._aside[key] = following, min(at_ms, now_ms + ASIDE_LOOK_MS)
        return True

    def _may_hold_up(self, key: ProbeKey, ticket: Ticket, now_ms: int) -> bool:
        """Whether a probe may hold up others: for the floor its lane is owed, like any request, or in its turn."""
        if key not in self._holds_up_since:
            if not self.lanes.queue(key[1]).is_owed(ticket):
                if key not in self._aside or now_ms < self._patience_at_ms:
                    return False
                self._patience_at_ms = now_ms + PATIENCE_MS
            self._holds_up_since[key] = now_ms
        return True

    def _waits_for_probe(self, key: ProbeKey, now_ms: int) -> bool:
        """Whether requests of a lane wait for their tier to be probed, or one waits for its turn as the probe."""
        if key in self._probes:
            return True
        (tier, lane), lanes = key, self.tier_lanes.get(key[0])
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
        rests = (self._due_at(tier, now_ms) for tier in self.tier_lanes)
        instants = [at_ms for at_ms in rests if at_ms is not None and at_ms > now_ms]
        if self._aside:
            looks = (look_at_ms for key, (_, look_at_ms) in self._aside.items() if key not in self._probes)
            instants.extend(max(look_at_ms, now_ms + ASIDE_WAKE_MS) for look_at_ms in looks)
        return min(instants, default=None)

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

    def choose(self, now_ms: int, *, probe: bool) -> tuple[Pick, int] | None:
        """Let probes that may not hold up others step aside; then return what `next` does, which moves no ticket."""
        found = self.next(now_ms, probe=probe)
        while self._probes and found is not None and self._steps_aside(found[0].ticket, found[1], now_ms):
            found = self.next(now_ms, probe=probe)
        return found

    def next(self, now_ms: int, *, probe: bool) -> tuple[Pick, int] | None:
        """Return the next request and when it can be called; None if none waits, or if an answer must come first.

        A limit whose breaker is open is probed, and so is a whole account (`probe`). The request that serves as the
        probe is chosen when the rest is over. While tickets are sorted, one that is to be set aside lets none pass.
        """
        self.reprice()
        found = self._find_next(now_ms, probe=probe)
        if found is None or (not self.is_sorted and self._is_misplaced(found[0].ticket)):
            return None  # `sort` comes to one that is misplaced
        pick, at_ms = found
        return None if at_ms is None else (pick, at_ms)

    def _rests(self, now_ms: int) -> bool:
        return self.budget.breaker.rests_until(now_ms) > now_ms

    def _find_next(self, now_ms: int, *, probe: bool) -> tuple[Pick, int | None] | None:
        """Return the next request and when it can be called (None: an answer must come first), if one waits."""
        breaker, pick = self.budget.breaker, None
        while pick is None or self.lanes.reprice_one(pick.ticket, self.budget.price):  # then others may be next
            if breaker.closed and not probe:
                pick = self.pick(now_ms)
                if self.lanes.probes:
                    self.lanes.probes.clear()
            elif (rests_until_ms := breaker.rests_until(now_ms)) > now_ms:
                pick = self.lanes.pick(now_ms)
                return None if pick is None else (pick, rests_until_ms)
            else:
                pick = self.lanes.probe(now_ms, of_account=probe or breaker.tripped_by in ACCOUNT)
            if pick is None:
                return None
        ticket = pick.ticket
        at_ms = self._payable_at(ticket, now_ms, pick.reserved_ppm)
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
        return self.budget.payable_at(ticket.charge, now_ms, stated=ticket.stated, prices=ticket.candidate.prices)


def _is_cheaper(ticket: Ticket, other: Ticket) -> bool:
    """Whether a ticket is the better probe of two: it costs less, or as much and has more time left."""
    return (ticket.charge, -ticket.candidate.deadline_ms) < (other.charge, -other.candidate.deadline_ms)
