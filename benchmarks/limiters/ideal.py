"""The omniscient dispatcher with two lanes: it knows every window and when others come, and wastes nothing.

Other clients get all they ask: it takes nothing from them, although some would put up with less. An urgent call goes
first whenever one has come; bulk takes all that is left. It reserves nothing, so an urgent call waits for what it needs
to be freed. Its meters are the oracle's of `benchmarks.limits`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from benchmarks.limits.oracle import METERS, Burst, Kind, Limit, Meter

Cost = Callable[[int], int]


class Charge(NamedTuple):
    """What a call takes from limits of tokens and of input tokens; of requests it takes one."""

    tokens: int
    input_tokens: int


class CountedLimit(NamedTuple):
    """A limit, and the share of input tokens that it counts."""

    limit: Limit
    uncached: float


class _Taken(NamedTuple):
    """What another client takes of the limit of a number."""

    at_us: int
    meter: int
    units: int


class Ideal:
    """One account from `opened_us` on. A run uses it once: it moves forward only."""

    def __init__(self, limits: Sequence[CountedLimit], opened_us: int, bursts: Iterable[Burst] = ()) -> None:
        self._meters: list[tuple[Meter, Callable[[Charge], int]]] = [
            (METERS[Kind(each.limit.kind)](each.limit, opened_us), _counted(each)) for each in limits
        ]
        self._foreign = sorted(_foreign(limits, bursts, opened_us), reverse=True)
        self.now_us = opened_us

    def replay(self, at_us: int, charge: Charge) -> None:
        """Charge what another client was charged at that instant."""
        self._go_to(at_us)
        self._charge(charge)

    def admits(self, at_us: int, charge: Charge) -> bool:
        """Return whether a call that comes at that instant is admitted, and charge it then."""
        self._go_to(at_us)
        if self._wait_us(charge):
            return False
        self._charge(charge)
        return True

    def serve(
        self, bulk: Callable[[int, int], Charge], urgent: Sequence[tuple[int, Callable[[int], Charge]]], end_us: int
    ) -> tuple[int, list[int]]:
        """Serve until `end_us`; return the tokens charged, and the urgent waits in microseconds.

        `bulk` gives the charge of the bulk call of a number at an instant, `urgent` instants and charges in order.
        """
        charged, waits, number, come = 0, [], 0, 0
        while True:
            is_urgent = come < len(urgent) and urgent[come][0] <= self.now_us
            charge = urgent[come][1](self.now_us) if is_urgent else bulk(number, self.now_us)
            wait_us = self._wait_us(charge)
            happens_us = self._foreign[-1].at_us if self._foreign else None
            if wait_us == 0 and (happens_us is None or happens_us > self.now_us):
                self._charge(charge)
                charged += charge.tokens
                if is_urgent:
                    waits.append(self.now_us - urgent[come][0])
                    come += 1
                else:
                    number += 1
                continue
            at_us = self.now_us + wait_us
            if not is_urgent and come < len(urgent):
                at_us = min(at_us, urgent[come][0])
            if happens_us is not None:
                at_us = min(at_us, happens_us)
            if at_us > end_us:
                waits += [end_us - asked_us for asked_us, _ in urgent[come:] if asked_us <= end_us]
                return charged, waits
            self._go_to(at_us)

    def _wait_us(self, charge: Charge) -> int:
        return max(meter.wait_us(cost(charge)) for meter, cost in self._meters)

    def _go_to(self, now_us: int) -> None:
        while self._foreign and self._foreign[-1].at_us <= now_us:
            taken = self._foreign.pop()
            self._set(max(self.now_us, taken.at_us))
            self._meters[taken.meter][0].charge(taken.units)
        self._set(now_us)

    def _set(self, now_us: int) -> None:
        self.now_us = max(self.now_us, now_us)
        for meter, _ in self._meters:
            meter.go_to(self.now_us)

    def _charge(self, charge: Charge) -> None:
        for meter, cost in self._meters:
            meter.charge(cost(charge))


def _foreign(limits: Sequence[CountedLimit], bursts: Iterable[Burst], opened_us: int) -> Iterator[_Taken]:
    """Yield what other clients take of each limit: at once, or, where windows begin anew, from the window's beginning.

    A client that does not insist takes no more than a full window.
    """
    for burst in bursts:
        wanted = {"tokens": burst.tokens, "requests": burst.requests, "input-tokens": burst.tokens}
        for number, (limit, _) in enumerate(limits):
            units = wanted[limit.counts]
            if not burst.insists:
                units = min(units, limit.per_period * limit.window_us // limit.period_us)
            at_us = burst.at_us
            if limit.kind is Kind.FIXED:
                at_us = max(opened_us, at_us - (at_us - limit.mark_us) % limit.window_us)
            yield _Taken(at_us, number, units)


def _counted(each: CountedLimit) -> Callable[[Charge], int]:
    match each.limit.counts:
        case "tokens":
            return lambda charge: charge.tokens
        case "requests":
            return lambda _: 1
        case _:
            return lambda charge: round(charge.input_tokens * each.uncached)
