"""Which limits' levels one line of the ledger tells, and which the next one."""

from collections.abc import Callable

import pytest

from headrace.broker.core.bounds import (
    LEAN_MS,
    LEVEL_BYTES,
    LEVEL_NAME_CHAR_BYTES,
    LEVELS_A_LINE_MAX,
    LEVELS_BYTES_A_LINE_MAX,
    PROBE_EVERY_MS,
)
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.setback import Setback
from tests.unit.core.batching import NOW, Bench, settled_bench
from tests.unit.core.specimens import verdict


def told(bench: Bench, lines: int) -> list[list[str]]:
    """The limits of so many lines, one a second."""
    found = []
    for second in range(1, lines + 1):
        batch = bench.begin(NOW + second * PROBE_EVERY_MS)
        found.append([each.limit for each in batch.levels])
        assert bench.batches.end(batch.serial, 0) is not None
    return found


def test_one_line_has_the_levels_of_a_bounded_number_of_limits_and_all_get_their_turn() -> None:
    bench = settled_bench()
    names = {f"limit-{number:04}" for number in range(2 * LEVELS_A_LINE_MAX + 5)}
    for name in sorted(names):
        bench.limits.limit_queue(name, NOW)
    seen: list[str] = []
    for second in range(1, 4):
        batch = bench.begin(NOW + second * PROBE_EVERY_MS)
        assert len(batch.levels) <= LEVELS_A_LINE_MAX
        seen.extend(each.limit for each in batch.levels)
        assert bench.batches.end(batch.serial, 0) is not None
    assert set(seen) >= names


def test_limits_with_names_of_a_producer_that_is_out_for_size_take_turns_too() -> None:
    bench = settled_bench()
    names = {f"{number:04}".ljust(256, "\U0001f600") for number in range(59)}
    for name in sorted(names):
        bench.limits.limit_queue(name, NOW)
    seen: list[str] = []
    for second in range(1, 4):
        batch = bench.begin(NOW + second * PROBE_EVERY_MS)
        weight = sum(len(each.levels) * (LEVEL_BYTES + LEVEL_NAME_CHAR_BYTES * 256) for each in batch.levels)
        assert 0 < weight <= LEVELS_BYTES_A_LINE_MAX
        seen.extend(each.limit for each in batch.levels)
        assert bench.batches.end(batch.serial, 0) is not None
    assert set(seen) >= names


def test_a_line_is_filled_to_its_bound_and_the_next_one_goes_on_from_there() -> None:
    chars, fit = 640, 24
    assert fit * (LEVEL_BYTES + LEVEL_NAME_CHAR_BYTES * chars) == LEVELS_BYTES_A_LINE_MAX
    bench = settled_bench()
    names = [f"{number:04}".ljust(chars, "n") for number in range(fit + 1)]
    for name in names:
        bench.limits.limit_queue(name, NOW)
    assert told(bench, 2) == [names[:fit], [names[fit], *names[: fit - 1]]]


def test_limits_of_which_one_is_too_much_for_a_line_stand_in_one_each_in_turn() -> None:
    bench = settled_bench()
    names = [name * LEVELS_BYTES_A_LINE_MAX for name in "abc"]
    for name in names:
        bench.limits.limit_queue(name, NOW)
    assert told(bench, 4) == [names[:1], names[1:2], names[2:], names[:1]]


def stated(bench: Bench, at_ms: int, *, owed: bool = False) -> list[str]:
    """The limits of the line that is committed at this instant."""
    batch = bench.begin(at_ms, owed=owed)
    assert bench.batches.end(batch.serial, at_ms) is not None
    return [each.limit for each in batch.levels]


def named(count: int) -> Bench:
    """One with so many limits, none of which a line has stated."""
    bench = settled_bench()
    for number in range(count):
        bench.limits.limit_queue(f"{number:04}", NOW)
    return bench


def test_a_line_that_is_owed_states_at_once_what_has_changed_since_a_line_stated_it() -> None:
    bench, at_ms = named(3), NOW + PROBE_EVERY_MS
    assert stated(bench, at_ms) == ["0000", "0001", "0002"]
    assert not bench.batches.owes_line(bench.limits)
    bench.limits.limit_queue("0001", at_ms).budget.reserve(1, 10, at_ms)
    assert bench.batches.owes_line(bench.limits)
    assert stated(bench, at_ms + 1) == []
    assert stated(bench, at_ms + 2, owed=True) == ["0001"]
    assert not bench.batches.owes_line(bench.limits)


def test_a_line_that_is_owed_has_the_levels_in_turn_if_none_have_changed() -> None:
    bench, at_ms = named(2), NOW + PROBE_EVERY_MS
    assert stated(bench, at_ms) == ["0000", "0001"]
    assert stated(bench, at_ms + PROBE_EVERY_MS - 1, owed=True) == []
    assert stated(bench, at_ms + PROBE_EVERY_MS, owed=True) == ["0000", "0001"]


def test_lines_are_owed_until_every_limit_that_has_changed_is_stated() -> None:
    bench = named(LEVELS_A_LINE_MAX + 1)
    bench.limits.limit_queue("0000", NOW).budget.reserve(1, 10, NOW)
    assert stated(bench, NOW, owed=True) == [f"{number:04}" for number in range(LEVELS_A_LINE_MAX)]
    assert bench.batches.owes_line(bench.limits)
    assert stated(bench, NOW, owed=True) == [f"{LEVELS_A_LINE_MAX:04}"]
    assert not bench.batches.owes_line(bench.limits)


def test_owed_lines_take_no_turns() -> None:
    bench = named(LEVELS_A_LINE_MAX + 1)
    stated(bench, NOW, owed=True)
    assert stated(bench, NOW + PROBE_EVERY_MS)[:2] == ["0000", "0001"]


def test_a_limit_of_which_no_level_is_known_owes_no_line() -> None:
    bench = settled_bench()
    bench.limits.limit_queue("gpt", NOW).budget.believed = False
    assert not bench.batches.owes_line(bench.limits)


CHANGES: dict[str, Callable[[Budget], object]] = {
    "a call": lambda made: made.reserve(2, 10, NOW),
    "an answer": lambda made: made.record_answer(1, NOW, verdict()),
    "no answer": lambda made: made.abandon(1, NOW),
    "a call taken back": lambda made: made.abandon(1, NOW, sent=False),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_happens_while_the_line_is_committed_owes_another_one(change: Callable[[Budget], object]) -> None:
    bench = named(1)
    made = bench.limits.limit_queue("0000", NOW).budget
    made.reserve(1, 10, NOW)
    batch = bench.begin(owed=True)
    change(made)
    assert bench.batches.end(batch.serial, NOW) is not None
    assert bench.batches.owes_line(bench.limits)


def test_a_line_is_owed_until_it_is_committed_and_owed_again_if_that_fails() -> None:
    bench = named(1)
    first = bench.begin(owed=True)
    assert bench.batches.owes_line(bench.limits)
    bench.batches.interrupt()
    assert bench.batches.owes_line(bench.limits)
    assert bench.begin(owed=True).levels == first.levels


def test_a_limit_whose_line_was_not_committed_has_not_had_its_turn() -> None:
    bench, at_ms = named(LEVELS_A_LINE_MAX + 1), NOW + PROBE_EVERY_MS
    lost = bench.begin(at_ms)
    bench.batches.interrupt()
    assert stated(bench, at_ms) == [each.limit for each in lost.levels], "in the very next line"
    assert stated(bench, at_ms + PROBE_EVERY_MS)[0] == f"{LEVELS_A_LINE_MAX:04}"


def test_a_limit_whose_line_was_refused_has_its_turn_once_lines_have_levels_again() -> None:
    bench, at_ms = named(LEVELS_A_LINE_MAX + 1), NOW + PROBE_EVERY_MS
    refused = bench.begin(at_ms)
    bench.batches.interrupt(Setback.REFUSED)
    assert stated(bench, at_ms) == []
    assert stated(bench, at_ms + LEAN_MS) == [each.limit for each in refused.levels]


def test_a_commit_without_levels_puts_off_none() -> None:
    bench = named(1)
    assert stated(bench, NOW + PROBE_EVERY_MS) == ["0000"]
    assert stated(bench, NOW + 2 * PROBE_EVERY_MS - 1) == []
    assert stated(bench, NOW + 2 * PROBE_EVERY_MS) == ["0000"]
