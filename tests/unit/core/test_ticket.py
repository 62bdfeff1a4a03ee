import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

import headrace.broker.core
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.ticket import (
    CONTROL,
    TRANSITIONS,
    Garbage,
    LanePartition,
    ModelTier,
    Source,
    State,
    Ticket,
    TicketNumber,
    id_hash_of,
)
from tests.unit.core.specimens import candidate, identity, ticket


def test_a_ticket_waits_unpriced_until_it_is_recognised() -> None:
    made = Ticket(TicketNumber(1), Source(LanePartition("bulk", 3), 7), 10, 0, candidate(charge=50))
    assert (made.state, made.queued, made.charge, made.calls, made.held_bytes) == (State.WAITING, False, 0, 0, 0)
    assert made.candidate.prices.tokens == (50,)


def test_a_request_that_was_parked_knows_how_many_calls_were_made() -> None:
    assert [candidate(attempt=attempt).calls_before for attempt in (0, 1, 3)] == [0, 0, 2]


def test_tickets_are_told_apart_by_what_they_are_and_not_by_what_they_hold() -> None:
    assert ticket(candidate("a")) != ticket(candidate("a"))
    assert len({ticket(candidate("a")), ticket(candidate("a"))}) == 2


def test_garbage_is_never_taken_for_a_request() -> None:
    made = Ticket(TicketNumber(1), Source(LanePartition("bulk", 3), 7), 10, 0, Garbage(None, "No JSON."))
    with pytest.raises(AttributeError):
        _ = made.candidate


def test_garbage_with_an_id_can_become_a_request() -> None:
    made = Ticket(TicketNumber(1), Source(LanePartition("bulk", 3), 7), 10, 0, Garbage(None, "No JSON."))
    made.set_candidate(candidate("a"))
    assert made.candidate is made.content
    assert made.candidate.identity == identity("a")


def test_what_is_lost_is_named_by_its_offsets_and_by_how_it_was_lost() -> None:
    removed, rotten = Garbage.lost(range(3, 9), removed=True), Garbage.lost(range(3, 4), removed=False)
    assert (removed.identity, removed.reason) == (None, "lost_by_retention")
    assert removed.sentence == "Offsets 3 to 8 were removed by retention before they were taken."
    assert (rotten.identity, rotten.reason) == (None, "undecodable")
    assert rotten.sentence == "Offsets 3 to 3 stand in a batch that cannot be decoded."


def test_partitions_sort_by_lane_and_number() -> None:
    places = [LanePartition("urgent", 0), LanePartition("bulk", 2), LanePartition("bulk", 1)]
    assert sorted(places) == [LanePartition("bulk", 1), LanePartition("bulk", 2), LanePartition("urgent", 0)]


def test_requests_and_cancels_know_their_id_and_garbage_does_not() -> None:
    cancel = Ticket(TicketNumber(1), Source(LanePartition(CONTROL, 0), 7), 10, 0, CancelRecord(b"i" * 16, 5))
    garbage = Ticket(TicketNumber(1), Source(LanePartition("bulk", 3), 7), 10, 0, Garbage(None, "No JSON."))
    assert id_hash_of(ticket(candidate("a"))) == identity("a").id_hash
    assert id_hash_of(cancel) == b"i" * 16
    with pytest.raises(AttributeError):
        id_hash_of(garbage)


def test_a_ticket_begins_anew_as_its_record_was_taken() -> None:
    cancel = CancelRecord(b"i" * 16, 5)
    stand_in, other = ticket(candidate("a")), ticket(candidate("b"))
    stand_in.cancel, stand_in.timestamp_ms, stand_in.state, other.calls = cancel, 9, State.SETTLED, 3
    again = stand_in.fresh_copy()
    assert (again.content, again.cancel, again.timestamp_ms, again.state) == (cancel, None, 9, State.WAITING)
    assert (again.number, again.source, again.bytes) == (stand_in.number, stand_in.source, stand_in.bytes)
    assert (other.fresh_copy().content, other.fresh_copy().calls, other.fresh_copy().charge) == (other.content, 0, 0)


@pytest.mark.parametrize(
    ("removed", "crashed", "reason", "says"),
    [
        (True, False, "lost_by_retention", "removed by retention"),
        (False, False, "undecodable", "cannot be decoded"),
        (False, True, "crashed", "ended every process"),
    ],
)
def test_what_was_lost_says_how(removed: bool, crashed: bool, reason: str, says: str) -> None:  # noqa: FBT001 — a row
    garbage = Garbage.lost(range(3, 5), removed=removed, crashed=crashed)
    assert (garbage.reason, garbage.offsets, garbage.identity) == (reason, range(3, 5), None)
    assert says in garbage.sentence


@pytest.mark.parametrize(
    ("garbage", "is_copy"),
    [
        (Garbage(identity(), "Too deep.", "invalid_request", attempt=2), True),
        (Garbage(identity(body="bytes"), "Too deep.", "invalid_request", attempt=2), False),
        (Garbage(identity(), "It ended two.", "crashed", attempt=2), True),
        (Garbage(identity(body="bytes"), "It ended two.", "crashed", attempt=2), False),
        (Garbage(identity(run=1), "Too deep.", "invalid_request", attempt=2), False),
        (Garbage(None, "No JSON."), False),
    ],
)
def test_the_copy_of_what_is_parked_is_known_by_run_and_content(garbage: Garbage, *, is_copy: bool) -> None:
    assert garbage.is_copy_of(identity()) is is_copy


def test_a_request_may_be_taken_as_tried_so_often_and_is_the_same_otherwise() -> None:
    before = candidate(attempt=7, tenant="acme", order=b"o", refusal=("rejected", "No."))
    assert before.with_attempts(7, 0) == before
    assert (before.with_attempts(2, 1).attempt, before.with_attempts(2, 1).failures) == (2, 1)
    assert before.with_attempts(2, 1).with_attempts(7, 0) == before


def test_a_ticket_takes_of_its_lanes_buffer_what_it_weighs_unless_more_is_stated() -> None:
    source, content = Source(LanePartition("bulk", 3), 7), candidate()
    assert Ticket(TicketNumber(1), source, 10, 0, content).buffer_bytes == 10
    heavy = Ticket(TicketNumber(1), source, 10, 0, content, buffer_bytes=4_000)
    assert (heavy.bytes, heavy.buffer_bytes, heavy.fresh_copy().buffer_bytes) == (10, 4_000, 4_000)


def test_a_contested_ticket_begins_anew_as_what_it_was_sent_as() -> None:
    made = ticket(candidate("a", attempt=2))
    made.contested = made.candidate
    made.set_candidate(made.candidate.apart(identity("own")))
    assert (made.candidate.identity, made.candidate.attempt) == (identity("own"), 0)
    assert made.fresh_copy().content == candidate("a", attempt=2)


@pytest.mark.parametrize(("before", "to"), list(product(State, State)))
def test_a_ticket_moves_along_the_table_alone(before: State, to: State) -> None:
    made = ticket(candidate("a"))
    made.state = before
    if to in TRANSITIONS[before]:
        made.move(to)
        assert made.state is to
    else:
        with pytest.raises(AssertionError, match=f"is {before.value} never becomes {to.value}"):
            made.move(to)


def test_no_other_code_of_the_core_sets_the_state_of_a_ticket() -> None:
    root = Path(headrace.broker.core.__file__).parent
    setting = re.compile(r"\bticket\.state\b[^=\n]*=(?!=)|\.state = ")
    found = [path.name for path in root.rglob("*.py") if setting.search(path.read_text(encoding="utf-8"))]
    assert found == ["ticket.py"]


def test_a_request_names_one_tier_of_one_model() -> None:
    asked = replace(candidate(), tier="flex")
    assert asked.model_tier == ModelTier("gpt", "flex")
    assert asked.with_attempts(3, 1).model_tier == ModelTier("gpt", "flex")
