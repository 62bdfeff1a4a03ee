"""What refusals alone have stated, a limit or a wait, and what becomes of the requests behind it."""

import pytest

from headrace.broker.core.answers.verdict import Answer, judge
from headrace.broker.core.commands import Fail, Park
from headrace.broker.core.config import LaneRule
from tests.unit.core.shell import Shell, leading
from tests.unit.core.specimens import FAR_MS, HOUR_MS, candidate, place


def told_of(unit: str, shell: Shell | None = None, due_ms: int = FAR_MS) -> Shell:
    """A leader whose server has once refused a call for a limit of 10,000 tokens, of which 1,000 are left."""
    shell = shell or leading()
    text = (
        f"Rate limit reached for m in organization o on tokens per {unit}: Limit 10000, Used 9000, Requested 2000. "
        "Please try again in 1s."
    )
    first = shell.take(candidate("first", charge=2_000, deadline_ms=due_ms))
    shell.answer(first, judge(Answer(429, {}, "rate_limit_exceeded", "tokens", None, text)))
    shell.wait(5_000)
    return shell


@pytest.mark.parametrize("unit", ["min", "day"])
def test_a_request_larger_than_it_is_called_and_the_others_wait_for_that_answer_alone(unit: str) -> None:
    """Before: it waited until such a limit was full, of a day for a day, and with it every other request."""
    shell = told_of(unit)
    large = shell.take(candidate("large", charge=20_000), partition=place("urgent"))
    small = [shell.take(candidate(f"small {number}", charge=10), partition=place("urgent")) for number in range(3)]
    shell.wait(60_000)
    assert large in shell.calls
    text = f"Request too large for m in organization o on tokens per {unit}: Limit 10000, Requested 20000."
    shell.answer(large, judge(Answer(429, {}, "rate_limit_exceeded", "tokens", None, text)))
    shell.wait(60_000)
    assert all(number in shell.calls for number in small)


@pytest.mark.slow
def test_what_crowds_a_lane_behind_its_head_is_parked_or_called_and_not_failed_before_its_deadline() -> None:
    """Before: those of 10 tokens were Failed at once, for the head needs 1,000 more of a day than are left."""
    tiny = (LaneRule("standard", 1, 0, 0, 10, 1 << 20),)
    shell = told_of("day", Shell(lanes=tiny).lead(), due_ms=HOUR_MS // 2)
    small = [shell.take(candidate(f"small {number}", charge=10, deadline_ms=HOUR_MS)) for number in range(9)]
    shell.commit()
    settled = {each.number: type(each.decision) for each in shell.commit().settlements}
    assert settled == dict.fromkeys(small[4:], Park)
    shell.wait(HOUR_MS // 2)
    assert [*shell.calls] == small[:4], "the head's time is over, and they fit"


def test_what_falls_due_while_the_limit_backs_off_fails_at_once_and_would_not_be_called_either() -> None:
    """The third refusal in a row keeps calls back for 4.5 s, though the server states 2 s: no answer shortens that."""
    tiny = (LaneRule("standard", 1, 0, 0, 10, 1 << 20),)
    shell = Shell(lanes=tiny, in_place_max_ms=3_000).lead()
    used_up = "Rate limit reached for m in organization o on tokens per min: Limit 60000, Used 60000, Requested 100."
    refused = judge(Answer(429, {}, "rate_limit_exceeded", "tokens", None, f"{used_up} Please try again in 2s."))
    under_way, first = shell.take(candidate("under way")), shell.take(candidate("first"))
    for _ in range(3):
        shell.wait(2_000)
        shell.answer(first, refused)
    due_ms = shell.now_ms + 4_000
    behind = [shell.take(candidate(f"behind {number}", deadline_ms=due_ms)) for number in range(9)]
    shell.commit()
    early = {each.number: each.decision for each in shell.commit().settlements}
    rests = "The limit is used up for longer than a request may wait here. Its calls rest until after the deadline."
    assert early == dict.fromkeys(behind[5:], Fail("deadline_exceeded", rests))
    shell.answer(under_way)
    shell.wait(due_ms - shell.now_ms)
    assert [*shell.calls] == [], "those that were left to wait were not called in time"
