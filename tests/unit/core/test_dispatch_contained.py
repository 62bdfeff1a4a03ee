"""Exceptions while one request is handled fail that request alone; see test_eviction for what is taken out."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.bounds import DEATHS_BY_CALL
from headrace.broker.core.commands import AttemptEntry, BreakerOpened, Complete
from headrace.broker.core.events import Answered, CallNotSent, Crashed, LedgerRead, Taken
from headrace.broker.core.requests.triage import CALLS_KILL
from headrace.broker.core.ticket import ModelTier, Source, TicketNumber
from tests.unit.core.requests.test_eviction import CRASHED, Rig
from tests.unit.core.shell import WALL_MS, Shell
from tests.unit.core.specimens import FAR_MS, candidate, identity, place, verdict

pytestmark = pytest.mark.interpreted  # parts of the core are replaced by such as raise


def test_in_its_reception() -> None:
    rig = Rig()
    number = rig.take(candidate(limit="no budget"))
    rig.all_others_are_answered()
    assert rig.decisions(number) == [CRASHED]


def test_beside_requests_that_take_more_of_memory_than_of_the_wire() -> None:
    rig = Rig()
    rig.core.flights._inflight_max = 0
    waiting = Taken(TicketNumber(1_000), Source(place("bulk"), 0), WALL_MS, 10, candidate("heavy"), 4_000)
    rig.post(waiting)
    number = rig.take(candidate(limit="no budget"))
    rig.core.flights._inflight_max = 10
    rig.all_others_are_answered()
    assert rig.decisions(number) == [CRASHED]
    assert rig.decisions(waiting.number) == [Complete()]


def test_in_its_admission() -> None:
    rig = Rig()
    rig.rot("before it is paid")
    number = rig.take(candidate(limit="rotten"))
    rig.all_others_are_answered()
    assert rig.decisions(number) == [CRASHED]


@pytest.mark.parametrize("event", [CallNotSent, Crashed])
def test_at_the_end_of_its_call(event: type[CallNotSent | Crashed]) -> None:
    rig = Rig()
    number = rig.take(candidate(limit="rotten"))
    rig.rot("when it is given up")
    rig.post(event(rig.calls.pop(number).call))
    rig.all_others_are_answered()
    assert rig.decisions(number) == [CRASHED]
    assert [each.step for each in rig.contained] == ["answer"]


def test_at_the_end_of_a_call_that_no_request_waits_for() -> None:
    rig = Rig()
    number = rig.take(candidate(limit="rotten", deadline_ms=rig.now_ms + 100))
    rig.wait(100)
    rig.rot("before the answer is heard")
    rig.post(Answered(rig.calls.pop(number).call, verdict(Meaning.OVERLOADED), 0))
    rig.all_others_are_answered()
    assert rig.contained == []


def test_a_request_that_kills_by_its_call_is_passed_over_and_the_next_one_is_called() -> None:
    rig = Rig()
    rig.stand_by()
    for term in range(1, DEATHS_BY_CALL + 2):
        entries = [AttemptEntry(identity("x"), 1)] if term <= DEATHS_BY_CALL else []
        rig.post(LedgerRead(WALL_MS, (), entries, (), term=term, owner=f"p{term}"))
    rig.now_ms += 5_000
    rig.lead()
    number = rig.take("x")
    rig.all_others_are_answered()
    assert rig.decisions(number) == [CALLS_KILL]


def test_whoever_stands_behind_one_whose_admission_raises_is_called_in_the_same_turn() -> None:
    rig = Rig()
    rig.core.flights._inflight_max = 0
    rotten, behind = rig.take(candidate(limit="rotten")), rig.take(candidate("behind", limit="rotten"))
    rig.rot("when the call is said", once=True)
    rig.core.flights._inflight_max = 10
    rig.carry_out()
    assert list(rig.calls) == [behind]
    rig.settle_all()
    assert (rig.decisions(rotten), rig.decisions(behind)) == ([CRASHED], [Complete()])


def test_after_it_has_opened_a_breaker_that_is_reported_and_the_waiting_requests_are_sorted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shell = Shell(tokens=1_000)
    shell.containing = True
    shell.lead()
    shell.answer(shell.take(candidate("eats", charge=700)))
    soon_ms = shell.now_ms + 2_500

    def flex(name: str, charge: int, deadline_ms: int = FAR_MS) -> TicketNumber:
        return shell.take(replace(candidate(name, charge=charge, deadline_ms=deadline_ms), tier="flex"))

    first, second, third = [flex(f"f{number}", 10, soon_ms) for number in range(3)]
    for number in range(3):
        flex(f"w{number}", 900)  # they wait for tokens, in the limit's lanes
    for refused in (first, second):
        shell.answer(refused, verdict(Meaning.TIER_UNAVAILABLE))

    def raises(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(shell.core._attempts, "_decide", raises)
    call = shell.calls.pop(third).call
    shell.core.on(Answered(call, verdict(Meaning.TIER_UNAVAILABLE), 0), shell.now_ms)
    monkeypatch.undo()
    reported = [each for each in shell.carry_out() if isinstance(each, BreakerOpened)]
    assert [each.tier for each in reported] == [ModelTier("gpt", "flex")]
    assert [each.number for each in shell.contained] == [third]
    other = shell.take(candidate("other", charge=10))
    assert other in shell.calls
