"""The whole machine while a limit is shut or an account is in trouble."""

from dataclasses import replace

from headrace.broker.core.answers.verdict import Answer, Meaning, judge
from headrace.broker.core.commands import Complete, Park
from headrace.broker.core.config import LaneRule
from headrace.broker.core.identity.dedupe import Fate
from headrace.broker.core.ticket import TicketNumber
from tests.unit.core.shell import Shell
from tests.unit.core.specimens import HOUR_MS, candidate, place, verdict

TINY = (LaneRule("standard", 1, 0, 0, 10, 1 << 20), LaneRule("urgent", 0, 0, 0, 10, 1 << 20))


def shut(shell: Shell, limit: str = "gpt", span_ms: int = HOUR_MS) -> None:
    """OpenAI has said to wait so long."""
    shell.core.limits.limit_queue(limit, shell.now_ms).budget.pause_until(shell.now_ms + span_ms)


def test_requests_of_a_shut_limit_leave_the_buffer_to_those_of_another() -> None:
    shell = Shell(lanes=TINY).lead()
    shut(shell)
    held = [shell.take(f"held-{number}") for number in range(10)]
    assert shell.core.room(place()) == 0
    batch = shell.commit()
    assert [each.number for each in batch.settlements] == held[5:]
    assert {each.fate for each in batch.settled} == {Fate.PARKED}
    other = shell.take(candidate("other", limit="other"))
    assert other in shell.calls


def test_what_was_parked_unpaid_comes_back_is_parked_anew_and_is_called_once_the_limit_opens() -> None:
    shell = Shell(lanes=TINY).lead()
    shut(shell)
    for number in range(6):
        shell.take(f"x{number}")
    for attempt in (1, 2):
        (settlement,) = [each for each in shell.commit().settlements if isinstance(each.decision, Park)]
        assert isinstance(settlement.decision, Park)
        assert (settlement.decision.attempts, settlement.decision.failures) == (attempt - 1, 0)
        shell.take(candidate("x5", attempt=attempt))
    shell.commit()
    shell.wait(HOUR_MS)
    for number in range(5):
        shell.answer(TicketNumber(number + 1))
    last = shell.take(candidate("x5", attempt=3))
    shell.answer(last)
    shell.settle_all()
    assert shell.decisions(last) == [Complete()]
    assert shell.fates("x5").count(Fate.COMPLETED) == 1
    assert shell.is_empty()


def test_what_was_parked_unpaid_can_be_cancelled() -> None:
    shell = Shell(lanes=TINY).lead()
    shut(shell)
    for number in range(6):
        shell.take(f"x{number}")
    shell.commit()
    shell.cancel("x5")
    shell.commit()
    shell.take(candidate("x5", attempt=1))
    shell.commit()
    assert shell.fates("x5") == [Fate.PARKED, Fate.WITHDRAWN, Fate.FAILED]


def test_an_account_in_trouble_lets_one_call_go_at_a_time_over_all_limits_and_says_so() -> None:
    shell = Shell().lead()
    first = shell.take(candidate("a", limit="one"))
    shell.answer(first, verdict(Meaning.QUOTA))
    for number in range(4):
        shell.take(candidate(f"b{number}", limit=("one", "two")[number % 2], charge=900 - number))
    assert shell.calls == {}
    shell.wait(10_000)
    (probe,) = shell.calls
    assert shell.calls[probe].charge == 897, "the cheapest of the limit that has not blamed the account"
    shell.answer(probe)
    assert len(shell.calls) > 1, "and all is well"


def test_a_refusal_that_names_a_shared_limit_holds_up_every_model_that_draws_from_it_and_no_other() -> None:
    refusal = judge(
        Answer(
            429,
            {},
            "rate_limit_exceeded",
            "tokens",
            None,
            "Rate limit reached for gpt-4.1-2025-04-14 (for limit gpt-4.1) in organization o on tokens per min (TPM): "
            "Limit 60000, Used 59000, Requested 4000. Please try again in 3s.",
        )
    )
    assert refusal.limit is not None
    assert (refusal.limit.name, refusal.limit.model) == ("gpt-4.1", "gpt-4.1-2025-04-14")
    shell = Shell().lead()
    dated = replace(candidate("dated", limit="gpt-4.1", charge=4_000), model="gpt-4.1-2025-04-14")
    refused = shell.take(dated)
    shell.answer(refused, refusal)
    mini = shell.take(replace(candidate("mini", limit="gpt-4.1"), model="gpt-4.1-mini"))
    other = shell.take(replace(candidate("other", limit="gpt-4o"), model="gpt-4o"))
    assert list(shell.calls) == [other]
    shared, separate = (shell.core.limits.limit_queues()[name].budget for name in ("gpt-4.1", "gpt-4o"))
    assert shared.levels(shell.now_ms)[0].high <= 1_001, "what the refusal said is left"
    assert separate.levels(shell.now_ms)[0].low > 50_000
    shell.wait(2_999)
    assert mini not in shell.calls
    shell.wait(12_100)  # the reserve of the idle lane above it
    assert refused in shell.calls, "first come, first served, whatever the model"
