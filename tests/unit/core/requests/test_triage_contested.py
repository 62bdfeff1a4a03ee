"""A request whose id is another's fails under an identity of its own: once, whatever leaders and producers do."""

import pytest

from headrace.broker.core.commands import Complete, DeadLetterOnly, Discard, Fail
from headrace.broker.core.identity.dedupe import Fate
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.requests.triage import CONFLICT, nameless
from headrace.broker.core.ticket import Candidate, Garbage, Source, TicketNumber
from tests.unit.core.requests.test_succession import P1, settled
from tests.unit.core.shell import WALL_MS, Shell
from tests.unit.core.specimens import candidate, identity, place

OTHER = candidate("x", body="else")
OWN = "x of 2"


def contesting() -> Shell:
    """A leader with two partitions; the second record that it takes is `x of 2` where its id is another's."""
    shell = Shell(apart=lambda number, nth: identity(f"{'x' * nth} of {number}").id_hash)
    return shell.lead({place(): PartitionProgress(0), P1: PartitionProgress(0)})


@pytest.mark.parametrize("state", ["open", "parked", "answered"])
def test_its_sender_has_an_outcome_while_the_first_is(state: str) -> None:
    shell = contesting()
    if state == "open":
        shell.take("x")
    else:
        shell.read(settled("x", Fate.PARKED if state == "parked" else Fate.COMPLETED, attempt=1))
        shell._number += 1
    number = shell.take_at(Source(P1, 0), OTHER)
    shell.settle_all()
    assert shell.decisions(number) == [CONFLICT]
    assert (CONFLICT.reason, CONFLICT.apart) == ("id_conflict", 1)
    assert shell.fates(OWN, body="else") == [Fate.FAILED]
    assert shell.fates("x") == ([Fate.COMPLETED] if state == "open" else [])
    assert shell.is_empty()


def test_it_is_published_while_the_first_is_in_flight() -> None:
    shell = contesting()
    first, number = shell.take("x"), shell.take_at(Source(P1, 0), OTHER)
    shell.commit()
    assert (shell.decisions(number), shell.decisions(first)) == ([CONFLICT], [])


def test_a_cancel_of_the_id_is_no_cancel_of_it() -> None:
    shell = contesting()
    first = shell.take("x")
    number = shell.take_at(Source(P1, 0), OTHER)
    shell.core.identities.cancels.expect(CancelRecord(identity(OWN).id_hash, WALL_MS))
    third = shell.take_at(Source(P1, 1), OTHER)
    shell.settle_all()
    assert shell.decisions(number) == shell.decisions(third) == [CONFLICT]
    assert shell.decisions(first) == [Complete()]


@pytest.mark.parametrize("fate", [Fate.COMPLETED, Fate.FAILED, Fate.PARKED])
@pytest.mark.parametrize("body", ["else", "third"])
@pytest.mark.parametrize("chosen", range(4))
def test_where_a_producer_has_chosen_its_own_ids_it_takes_the_next_and_in_the_end_the_letter_alone_tells(
    fate: Fate, body: str, chosen: int
) -> None:
    shell = contesting()
    names = [f"{'x' * nth} of 2" for nth in range(1, 4)]
    for name in names[:chosen]:
        shell.read(settled(name, fate, attempt=1, body=body))
    shell.take("x")
    number = shell.take_at(Source(P1, 0), OTHER)
    shell.settle_all()
    if chosen == 3:
        assert shell.decisions(number) == [DeadLetterOnly("id_conflict", CONFLICT.sentence)]
    else:
        assert shell.decisions(number) == [Fail("id_conflict", CONFLICT.sentence, apart=chosen + 1)]
    assert [shell.fates(name, body="else") for name in names] == [
        [Fate.FAILED] if nth == chosen else [] for nth in range(3)
    ]
    assert shell.is_empty()


def test_what_is_parked_under_its_own_id_is_another_request_however_few_attempts_it_names() -> None:
    shell = contesting()
    shell.read(settled(OWN, Fate.PARKED, attempt=0, body="else"))
    shell.take("x")
    number = shell.take_at(Source(P1, 0), OTHER)
    shell.settle_all()
    assert shell.decisions(number) == [Fail("id_conflict", CONFLICT.sentence, apart=2)]


def test_one_that_a_request_under_way_has_chosen_is_taken_by_no_other() -> None:
    shell = contesting()
    shell.take("x")
    chosen = shell.take_at(Source(P1, 0), candidate("x of 3"))
    number = shell.take_at(Source(P1, 1), OTHER)
    shell.settle_all()
    assert shell.decisions(chosen) == [Complete()]
    assert shell.decisions(number) == [Fail("id_conflict", CONFLICT.sentence, apart=2)]


def test_a_request_of_that_very_id_that_comes_later_is_judged_by_it() -> None:
    shell = contesting()
    shell.take("x")
    shell.take_at(Source(P1, 0), OTHER)
    same, another = shell.take_at(Source(P1, 1), candidate(OWN, body="else")), shell.take_at(Source(P1, 2), OWN)
    shell.settle_all()
    assert shell.decisions(same) == [Discard()]
    assert shell.decisions(another) == [CONFLICT]
    assert shell.fates(OWN, body="else") == [Fate.FAILED]


def test_one_whose_own_outcome_is_committed_has_no_second_one() -> None:
    shell = contesting()
    shell.take("x")
    number = shell.take_at(Source(P1, 0), OTHER)
    shell.store()
    shell.suspend()
    shell.lead(shell.restored())
    shell.settle_all()
    assert shell.decisions(number) == [CONFLICT]


def test_it_keeps_what_the_record_said_and_is_a_first_submission_without_a_call() -> None:
    shell = contesting()
    shell.take("x")
    number = shell.take_at(Source(P1, 0), candidate("x", body="else", run=2, attempt=3))
    ticket = next(each for each in shell.core.registry.tickets() if each.number == number)
    assert ticket.candidate.identity == identity(OWN, body="else")
    assert (ticket.candidate.attempt, ticket.candidate.model) == (0, OTHER.model)
    again = ticket.fresh_copy().content
    assert isinstance(again, Candidate)
    assert again.identity == identity("x", run=2, body="else")
    shell.settle_all()


def test_garbage_that_another_leader_in_between_has_made_a_conflict_of_has_one_too() -> None:
    shell = contesting()
    number = shell.take(Garbage(identity("x", body="raw"), "No body.", "invalid_request"))
    shell.suspend()
    shell.read(settled("x", Fate.COMPLETED))
    shell.lead(shell.restored())
    shell.settle_all()
    assert shell.decisions(number) == [CONFLICT]
    assert shell.fates("x of 1", body="raw") == [Fate.FAILED]


def test_without_names_the_dead_letter_alone_tells() -> None:
    assert nameless(TicketNumber(1), 1) == b""
    shell = Shell().lead({place(): PartitionProgress(0), P1: PartitionProgress(0)})
    shell.take("x")
    number = shell.take_at(Source(P1, 0), OTHER)
    shell.settle_all()
    assert shell.decisions(number) == [DeadLetterOnly("id_conflict", CONFLICT.sentence)]
    assert shell.fates("", body="else") == []
    assert shell.is_empty()
