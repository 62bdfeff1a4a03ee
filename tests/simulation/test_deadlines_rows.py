"""A short run of the row with far more work than quota: what it promises is kept, and what is paid is not in vain."""

from benchmarks.lanes.deadlines import Scene, measure

CROWDED = Scene("crowded", "", (6.0, 6.0))


def test_deadlines_are_told_when_they_are_certain_and_calls_are_not_cut_off() -> None:
    figures = {check.what: check.value for check in measure(CROWDED, 6_000).checks}
    assert figures["answered in time"] < 0.95, "or nothing is tried"
    assert figures["called after their deadline"] == 0
    assert figures["failed later than provable"] == 0
    assert figures["failed early without proof"] == 0
    assert figures["paid in vain"] < 0.02
    assert figures["answered, relative to the omniscient scheduler"] > 0.95
