"""However slow Kafka is, as long as it answers within two seconds: no call starts later than with one that is quick."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.core.ticket import TicketNumber
from tests.unit.core.shell import Shell
from tests.unit.core.specimens import candidate

SLOW_MS = 2_000
SPAN_MS = 25_000
STEP_MS = 50


def starts(commits_ms: list[int], arrivals: list[tuple[int, int]], answer_ms: int) -> dict[int, int]:
    """When the call of each arrival starts, in milliseconds; commits take so long, in turn."""
    shell = Shell(tokens=60_000).lead()
    shell.hangs = True  # commits are ours
    begun_ms, returns_ms, commits = shell.now_ms, 0, 0
    numbers, started = list[TicketNumber](), dict[int, int]()
    ends: dict[TicketNumber, int] = {}
    waiting = sorted(arrivals)
    while shell.now_ms - begun_ms < SPAN_MS:
        now_ms = shell.now_ms - begun_ms
        while waiting and waiting[0][0] <= now_ms:
            numbers.append(shell.take(candidate(f"r{len(numbers)}", charge=waiting.pop(0)[1])))
        for place, number in enumerate(numbers):
            if number in shell.calls and place not in started:
                started[place], ends[number] = now_ms, now_ms + answer_ms
        for number in [number for number, end_ms in ends.items() if end_ms <= now_ms]:
            del ends[number]
            shell.answer(number)
        if shell.batch is not None and returns_ms == 0:
            returns_ms = now_ms + commits_ms[commits % len(commits_ms)] + 1
            commits += 1
        if shell.batch is not None and 0 < returns_ms <= now_ms:
            returns_ms = 0
            shell.commit()
        shell.wait(STEP_MS)
    return started


@pytest.mark.slow
@given(
    commits_ms=st.lists(st.integers(0, SLOW_MS), min_size=1, max_size=5),
    arrivals=st.lists(st.tuples(st.integers(0, 10_000), st.integers(10, 9_000)), min_size=1, max_size=12),
    answer_ms=st.sampled_from((200, 1_500, 9_000)),
)
def test_a_slow_kafka_costs_no_call_its_turn(
    commits_ms: list[int], arrivals: list[tuple[int, int]], answer_ms: int
) -> None:
    slow, quick = starts(commits_ms, arrivals, answer_ms), starts([0], arrivals, answer_ms)
    assert slow == quick
