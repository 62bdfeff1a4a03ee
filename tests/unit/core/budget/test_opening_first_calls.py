"""Who is called before the first answer of a limit has come, and who finds out whether a trouble is over."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.admission_guide import GUESS
from headrace.broker.core.budget.burst_control import SILENCE_MS
from headrace.broker.core.budget.opening import SMALL_TOKENS
from headrace.broker.core.ticket import TicketNumber
from tests.unit.core.shell import Shell
from tests.unit.core.specimens import candidate, place, verdict

THROTTLED = verdict(Meaning.RATE_LIMITED, wait_ms=1_000)
LARGE = 4 * SMALL_TOKENS


def taken(shell: Shell, lane: str, charge: int = 400) -> TicketNumber:
    number = shell._number + 1
    return shell.take(candidate(f"{lane}{number}", charge=charge), partition=place(lane))


def waited_ms(shell: Shell, number: TicketNumber, at_most_ms: int) -> int:
    """How long a request waits for its call, while nothing is answered before `at_most_ms` have passed."""
    since_ms = shell.now_ms
    while number not in shell.calls and shell.now_ms < since_ms + at_most_ms:
        at_ms = shell.core.wake_at()
        rest_ms = since_ms + at_most_ms - shell.now_ms
        shell.wait(rest_ms if at_ms is None else min(rest_ms, max(1, at_ms - shell.now_ms)))
    return shell.now_ms - since_ms


@pytest.mark.parametrize("call_ms", [3_000, 60_000])
@pytest.mark.parametrize("tokens", [None, 60_000])
@pytest.mark.parametrize(
    ("bulk", "urgent", "after_ms", "most_ms"),
    [
        (400, 400, 0, 0),  # small: at once
        (400, 400, 1_000, 0),
        (LARGE, 400, 1, SILENCE_MS - 1),
        (LARGE, LARGE, 1_000, 0),
        (400, LARGE, 100, SILENCE_MS - 100),
    ],
)
def test_an_urgent_request_does_not_wait_for_the_answer_to_the_first_bulk_call(
    *, call_ms: int, tokens: int | None, bulk: int, urgent: int, after_ms: int, most_ms: int
) -> None:
    shell = Shell(tokens=tokens, believed=False).lead()
    first = taken(shell, "bulk", bulk)
    shell.wait(after_ms)
    second = taken(shell, "urgent", urgent)
    assert first in shell.calls
    bound_ms = most_ms if tokens is None else SILENCE_MS  # of a known size little is spent at once: see spread
    assert waited_ms(shell, second, call_ms) <= bound_ms


def test_of_those_that_wait_when_an_unknown_limit_is_first_called_the_most_urgent_goes_first() -> None:
    shell = Shell(tokens=None, believed=False)
    shell.promote()
    numbers = [taken(shell, lane, LARGE) for lane in ("bulk", "standard", "urgent")]
    assert not shell.calls  # the first transaction must be committed before
    shell.commit()
    assert list(shell.calls) == numbers[-1:]


def test_each_lane_above_follows_once_the_server_was_silent_about_the_last_call() -> None:
    shell = Shell(tokens=None, believed=False).lead()
    taken(shell, "bulk", LARGE)
    standard, urgent = taken(shell, "standard", LARGE), taken(shell, "urgent", LARGE)
    assert waited_ms(shell, urgent, 60_000) == SILENCE_MS
    assert standard not in shell.calls  # it would go beside an urgent one: the next answer tells
    shell.wait(59_000)
    assert standard not in shell.calls
    shell.answer(urgent, verdict(remaining=50_000))
    assert standard in shell.calls


def test_what_a_floor_owes_to_bulk_keeps_no_urgent_request_from_a_first_call() -> None:
    shell = Shell(tokens=None, believed=False).lead()
    taken(shell, "bulk", LARGE)
    taken(shell, "bulk", 1)  # whose charge the first standard call's floor covers
    standard = taken(shell, "standard", LARGE)
    waited_ms(shell, standard, 1_000)
    assert standard in shell.calls
    assert waited_ms(shell, taken(shell, "urgent", LARGE), 60_000) == SILENCE_MS


def test_small_requests_of_one_lane_go_one_by_one_until_a_small_part_is_spent() -> None:
    shell = Shell(tokens=None, believed=False).lead()
    for _ in range(10):
        taken(shell, "urgent", SMALL_TOKENS // 5)
    assert len(shell.calls) == 1
    shell.wait(SILENCE_MS - 1)
    assert len(shell.calls) == 1
    shell.wait(1)
    assert len(shell.calls) == 2
    shell.wait(59_000 - SILENCE_MS)
    assert len(shell.calls) == 5


def test_of_an_unknown_limit_that_refuses_one_call_at_most_is_refused_beside_each_first_one() -> None:
    """A server without tokens, which refuses within 300 ms; the first call was the last that it could pay."""
    shell = Shell(tokens=None, believed=False).lead()
    first, refusals = taken(shell, "bulk", LARGE), 0
    for lane in ("standard", "urgent"):
        for _ in range(5):
            taken(shell, lane, LARGE)
            taken(shell, lane, 100)
    for _ in range(300):
        for number in [each for each in shell.calls if each != first]:
            shell.answer(number, THROTTLED)
            refusals += 1
        shell.wait(200)
    assert refusals == 1
    shell.answer(first)
    shell.wait(LARGE * MINUTE_MS // GUESS)
    assert len(shell.calls) > 1


def test_the_first_call_that_was_refused_is_followed_by_another_first_one() -> None:
    shell = Shell(tokens=None, believed=False).lead()
    first, beside = taken(shell, "bulk"), taken(shell, "urgent")
    shell.answer(first, THROTTLED)
    shell.answer(beside, THROTTLED)  # the only two that one instant costs
    shell.wait(10_000)
    assert list(shell.calls) == [beside, first]


# Probes


def broken(shell: Shell, calls: int = 3) -> None:
    """The server fails so many bulk calls; its limit's breaker opens."""
    for number in [taken(shell, "bulk", 10) for _ in range(calls)]:
        shell.answer(number, verdict(Meaning.UPSTREAM_ERROR))


def test_the_probe_of_a_limit_in_trouble_is_an_urgent_request_if_one_waits() -> None:
    shell = Shell().lead()
    broken(shell)
    cheap, urgent = taken(shell, "bulk", 1), taken(shell, "urgent", 900)
    assert waited_ms(shell, urgent, 60_000) <= 1_000
    assert cheap not in shell.calls


def test_an_urgent_request_that_makes_the_server_fail_is_not_every_probe() -> None:
    shell = Shell().lead()
    broken(shell)
    poison, bulk = taken(shell, "urgent", 900), taken(shell, "bulk", 800)
    failed = 0
    while bulk not in shell.calls:
        shell.wait(1_000)
        if poison in shell.calls:
            shell.answer(poison, verdict(Meaning.UPSTREAM_ERROR))
            failed += 1
        assert failed < 6
    shell.answer(bulk)
    shell.wait(60_000)
    assert poison in shell.calls
