"""The omniscient dispatcher against every schedule there is, on cases small enough to try them all.

What is admissible is written here from the definitions, a second time: whole schedules are judged, or a level is moved
on microsecond by microsecond. Microseconds are few and limits small, so that nothing but the law is left.
"""

import ast
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from benchmarks.limits import oracle as module
from benchmarks.limits.oracle import Burst, Change, Kind, Limit, Oracle

Schedule = list[tuple[int, int]]
Admissible = Callable[[Schedule], bool]

END = 10


def oracle(limits: Sequence[Limit], costs: Sequence[int], events: Sequence[Change | Burst] = ()) -> Oracle:
    return Oracle(limits, 0, events, price=lambda number, _: costs[number % len(costs)])


def schedules(costs: Sequence[int], admissible: Admissible, begun: Schedule | None = None) -> Iterator[Schedule]:
    """Every admissible schedule up to END of calls in this order."""
    begun = begun or []
    yield begun
    earliest = begun[-1][0] if begun else 0
    for at_us in range(earliest, END + 1):
        longer = [*begun, (at_us, costs[len(begun) % len(costs)])]
        if admissible(longer):
            yield from schedules(costs, admissible, longer)


def bucket(limit: Limit) -> Admissible:
    """No stretch of calls takes more than a full bucket and what came in meanwhile."""

    def judged(made: Schedule) -> bool:
        last_us = made[-1][0]
        return all(
            sum(cost for _, cost in made[first:]) * limit.period_us
            <= limit.per_period * (limit.window_us + last_us - at_us)
            for first, (at_us, _) in enumerate(made)
        )

    return judged


def fixed(limit: Limit) -> Admissible:
    """No window holds more than its share."""

    def judged(made: Schedule) -> bool:
        window = (made[-1][0] - limit.mark_us) // limit.window_us
        taken = sum(cost for at_us, cost in made if (at_us - limit.mark_us) // limit.window_us == window)
        return taken <= limit.per_period * limit.window_us // limit.period_us

    return judged


def sliding(limit: Limit) -> Admissible:
    """No window that ends with a call holds more than the limit."""

    def judged(made: Schedule) -> bool:
        last_us = made[-1][0]
        return sum(cost for at_us, cost in made if at_us > last_us - limit.window_us) <= limit.per_period

    return judged


def two(limit: Limit) -> Admissible:
    """The last window's count, as far as it overlaps, and this one's stay within the limit."""

    def judged(made: Schedule) -> bool:
        window, into_us = divmod(made[-1][0] - limit.mark_us, limit.window_us)
        taken = [0, 0]
        for at_us, cost in made:
            ago = window - (at_us - limit.mark_us) // limit.window_us
            if ago < 2:
                taken[ago] += cost
        overlap = Fraction(limit.window_us - into_us, limit.window_us)
        return taken[0] + taken[1] * overlap <= limit.per_period

    return judged


LAWS = {Kind.BUCKET: bucket, Kind.FIXED: fixed, Kind.SLIDING: sliding, Kind.TWO: two}


def judged_by(limits: Sequence[Limit]) -> Admissible:
    judges = [(LAWS[limit.kind](limit), limit.counts) for limit in limits]
    return lambda made: all(
        judge(made if counts == "tokens" else [(at_us, 1) for at_us, _ in made]) for judge, counts in judges
    )


def cases() -> Iterator[tuple[str, list[Limit], list[int]]]:
    for kind in Kind:
        for seed in range(8):
            chance = Random(f"{kind}/{seed}")
            costs = [chance.randint(2, 4) for _ in range(3)]
            limits = [Limit(kind, "tokens", chance.randint(4, 6), 6, 6, mark_us=-chance.randint(0, 5))]
            if kind in {Kind.BUCKET, Kind.FIXED} and seed % 2:
                hidden = Limit(kind, "tokens", 12, 6, 3, limits[0].mark_us)  # 6 in 3: never less than a call
                limits = [Limit(kind, "tokens", 12, 6, 6, limits[0].mark_us), hidden]
                costs = [cost + 2 for cost in costs]
            if seed % 3 == 0:
                limits.append(Limit(kind, "requests", 2, 6, 6, limits[0].mark_us))
            yield f"{kind}-{seed}", limits, costs


CASES = [pytest.param(limits, costs, id=name) for name, limits, costs in cases()]


@pytest.mark.parametrize(("limits", "costs"), CASES)
def test_no_admissible_schedule_is_charged_more_or_is_done_earlier_and_one_is_as_good(
    limits: list[Limit], costs: list[int]
) -> None:
    most, earliest = [0] * (END + 1), dict.fromkeys(range(1, END), END + 1)
    for made in schedules(costs, judged_by(limits)):
        if made:
            at_us, charged = made[-1][0], sum(cost for _, cost in made)
            most[at_us] = max(most[at_us], charged)
            earliest[len(made)] = min(earliest[len(made)], at_us)
    for until_us in range(END + 1):
        assert oracle(limits, costs).charged_until(until_us) == max(most[: until_us + 1])
    admitted = [calls for calls, at_us in earliest.items() if at_us <= END]
    assert len(admitted) >= 2
    for calls in admitted:
        assert oracle(limits, costs).admitted_at(calls) == earliest[calls]


def stepped(limit: Limit, events: Sequence[Change | Burst]) -> Admissible:
    """A bucket whose level is moved on by the microsecond, with others who come first at their instants.

    All is counted in quarters of a token, which a float holds exactly.
    """

    def judged(made: Schedule) -> bool:
        full = level = float(limit.per_period)
        rate = full / limit.period_us
        for now_us in range(made[-1][0] + 1):
            if now_us:
                level = min(full, level + rate)
            for event in events:
                if event.at_us == now_us and isinstance(event, Burst):
                    level -= event.tokens if event.insists else min(event.tokens, max(0, int(level)))
                elif event.at_us == now_us and isinstance(event, Change):
                    used, debt = full - level, min(0.0, level)
                    full = float(max(1, round(full * event.factor)))
                    rate = full / limit.period_us
                    assert rate * 4 == int(rate * 4)
                    level = max(full - used, debt)
            for cost in (cost for at_us, cost in made if at_us == now_us):
                if cost > level:
                    return False
                level -= cost
        return True

    return judged


def eventful() -> Iterator[tuple[list[int], list[Change | Burst]]]:
    for seed in range(10):
        chance = Random(seed)
        events: list[Change | Burst] = [
            Burst(chance.randint(1, END - 4), chance.randint(2, 5), 0, insists=chance.random() < 0.5) for _ in range(2)
        ]
        events.append(Change(chance.randint(1, END - 3), chance.choice((0.5, 2.0))))
        yield [chance.choice((2, 3, 3)) for _ in range(3)], events


@pytest.mark.parametrize(("costs", "events"), list(eventful()))
def test_no_schedule_does_better_when_others_come_and_limits_change(
    costs: list[int], events: list[Change | Burst]
) -> None:
    limit = Limit(Kind.BUCKET, "tokens", 6, 12, 12)
    ordered = sorted(events, key=lambda event: event.at_us)
    best = max(sum(cost for _, cost in made) for made in schedules(costs, stepped(limit, ordered)))
    assert oracle([limit], costs, events).charged_until(END) == best


def test_a_call_larger_than_a_hidden_window_waits_until_it_is_empty_and_the_next_ones_pay() -> None:
    visible = Limit(Kind.BUCKET, "tokens", 60, 60, 60)
    assert list(islice(oracle([visible, Limit(Kind.BUCKET, "tokens", 60, 60, 5)], [8]).admissions(), 3)) == [
        (0, 8),
        (8, 8),
        (16, 8),
    ]
    fixed_windows = Limit(Kind.FIXED, "tokens", 60, 60, 5)
    assert list(islice(oracle([visible, fixed_windows], [8]).admissions(), 3)) == [(0, 8), (10, 8), (20, 8)]


def test_what_another_was_admitted_is_where_the_oracle_goes_on() -> None:
    limit = Limit(Kind.SLIDING, "tokens", 10, 10, 10)
    later = oracle([limit], [5])
    later.replay([(0, 5, 1), (4, 3, 1)])
    assert list(islice(later.admissions(), 3)) == [(10, 5), (14, 5), (20, 5)]


def test_calls_that_were_noted_together_count_as_so_many_requests() -> None:
    later = oracle([Limit(Kind.FIXED, "requests", 3, 10, 10)], [5])
    later.replay([(1, 10, 2)])
    assert list(islice(later.admissions(), 2)) == [(1, 5), (10, 5)]


def test_the_oracle_imports_nothing_of_broker() -> None:
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    assert imported
    assert not [name for name in imported if name.startswith(("headrace", "benchmarks"))]
