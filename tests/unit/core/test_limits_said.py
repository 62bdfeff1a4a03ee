"""A limit that refusals alone have stated, and a request that is larger: the others go on."""

import pytest

from broker.core.verdict import Answer, judge
from tests.unit.core.shell import Shell, leading
from tests.unit.core.specimens import candidate, place


def told_of(unit: str) -> Shell:
    """A leader whose server has once refused a call for a limit of 10,000 tokens, of which 1,000 are left."""
    shell = leading()
    text = (
        f"Rate limit reached for m in organization o on tokens per {unit}: Limit 10000, Used 9000, Requested 2000. "
        "Please try again in 1s."
    )
    first = shell.take(candidate("first"))
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
