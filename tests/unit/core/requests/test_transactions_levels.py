"""Which limits' levels one line of the ledger tells, and which the next one."""

from headrace.broker.core.bounds import (
    LEVEL_BYTES,
    LEVEL_NAME_CHAR_BYTES,
    LEVELS_A_LINE_MAX,
    LEVELS_BYTES_A_LINE_MAX,
    PROBE_EVERY_MS,
)
from tests.unit.core.batching import NOW, Bench, settled_bench


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


def test_each_line_has_the_levels_while_the_leader_leaves() -> None:
    bench = settled_bench()
    bench.limits.limit_queue("gpt", NOW)
    bench.batches.leaves = True
    for at_ms in (NOW + PROBE_EVERY_MS, NOW + PROBE_EVERY_MS + 1):
        batch = bench.begin(at_ms)
        assert [each.limit for each in batch.levels] == ["gpt"]
        assert bench.batches.end(batch.serial, 0) is not None
