"""What an outbox does after a transaction has failed."""

from headrace.broker.core.bounds import DOUBT_REST_FIRST_MS, TRANSACTION_BYTES_MAX
from headrace.broker.core.commands import Complete, DeadLetterOnly, Decision, Discard, Form, Remember
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.requests.outbox import Decided, Outbox
from headrace.broker.core.ticket import Ticket
from tests.unit.core.outboxes import DENIED, REFUSED, UNKNOWN, add, begun
from tests.unit.core.specimens import ticket


def decide(outbox: Outbox, decision: Decision) -> Ticket:
    made = ticket()
    outbox.add(Decided(made, decision, 10), 0, at_once=True)
    return made


def test_a_batch_that_fails_once_is_sent_again_whole() -> None:
    outbox = Outbox()
    made = [add(outbox) for _ in range(4)]
    begun(outbox)
    outbox.interrupt()
    assert begun(outbox) == made


def test_a_batch_that_fails_twice_waits_for_another_transaction_to_pass_and_is_then_tried_again() -> None:
    outbox = Outbox()
    made = [add(outbox) for _ in range(4)]
    for _ in range(2):
        begun(outbox)
        outbox.interrupt()
    other = add(outbox, at_once=True)
    assert (len(outbox), outbox.due_at()) == (5, 0)
    assert begun(outbox) == [other]
    outbox.end()
    assert begun(outbox) == made
    outbox.interrupt()
    assert begun(outbox) == [], "does Kafka take a transaction at all?"
    outbox.end()
    assert begun(outbox) == made[:2]


def test_one_that_passes_in_between_makes_the_next_failure_a_first_one() -> None:
    outbox = Outbox()
    made = [add(outbox) for _ in range(4)]
    for setback in (UNKNOWN, DENIED):
        begun(outbox)
        outbox.interrupt(setback)
    assert begun(outbox) == made
    outbox.end()
    made = [add(outbox)]
    begun(outbox)
    outbox.interrupt()
    assert begun(outbox) == made


def test_a_refused_batch_is_halved_at_once_and_what_comes_next_is_no_larger() -> None:
    outbox = Outbox()
    refused = [add(outbox) for _ in range(4)]
    begun(outbox)
    others = [add(outbox) for _ in range(7)]
    outbox.interrupt(REFUSED)
    assert begun(outbox) == others[:2]
    outbox.end()
    assert begun(outbox) == refused
    outbox.interrupt(REFUSED)
    assert begun(outbox) == others[2:6], "and grows again"
    outbox.end()
    assert begun(outbox) == refused[:2]
    outbox.end()
    assert begun(outbox) == others[6:], "both take turns"
    outbox.end()
    assert begun(outbox) == refused[2:]
    outbox.end()
    assert (len(outbox), outbox.due_at()) == (0, None)


def test_a_missing_right_sends_the_same_batch_again() -> None:
    outbox = Outbox()
    made = [add(outbox) for _ in range(4)]
    for _ in range(5):
        assert begun(outbox) == made
        outbox.interrupt(DENIED)


def test_a_decision_that_writes_nothing_is_never_doubted() -> None:
    outbox = Outbox()
    silent = [decide(outbox, Discard()), decide(outbox, Remember(CancelRecord(b"i" * 16, 0)))]
    begun(outbox)
    outbox.interrupt(REFUSED)
    assert begun(outbox) == silent[:1]
    outbox.end()
    written = decide(outbox, Discard(returned=True))
    assert begun(outbox) == [silent[1], written]
    outbox.interrupt(REFUSED)
    assert begun(outbox) == silent[1:]
    outbox.end()
    assert begun(outbox) == [written]


def test_a_culprit_is_written_in_a_smaller_form_and_forgotten_once_it_is_committed() -> None:
    outbox = Outbox()
    made = add(outbox)
    assert begun(outbox) == [made]
    outbox.interrupt(REFUSED)
    assert begun(outbox) == []
    outbox.end()
    assert begun(outbox) == [made]
    assert (outbox.decision(made), len(outbox), outbox.form(made)) == (Complete(), 1, Form.WHOLE)
    outbox.interrupt(REFUSED)
    assert begun(outbox) == []
    outbox.end()
    assert begun(outbox) == [made]
    assert outbox.form(made) is Form.UNCOPIED
    outbox.end()
    assert (len(outbox), outbox.form(made)) == (0, Form.WHOLE)


def test_a_doubted_decision_can_be_withdrawn_and_made_anew() -> None:
    outbox = Outbox()
    leaves, returns = add(outbox), decide(outbox, DeadLetterOnly("id_conflict", "Taken."))
    begun(outbox)
    outbox.interrupt(REFUSED)
    for each in (leaves, returns):
        outbox.withdraw(each)
    assert len(outbox) == 0
    again = returns.fresh_copy()
    outbox.add(Decided(again, DeadLetterOnly("id_conflict", "Taken."), 10), 0, at_once=True)
    assert begun(outbox) == []
    outbox.end()
    assert begun(outbox) == [again]


def test_a_doubted_record_that_turns_out_to_need_none_waits_with_the_others() -> None:
    outbox = Outbox()
    made = decide(outbox, DeadLetterOnly("id_conflict", "Taken."))
    begun(outbox)
    outbox.interrupt(REFUSED)
    outbox.withdraw(made)
    again = made.fresh_copy()
    outbox.add(Decided(again, Discard(), 10), 0, at_once=True)
    assert begun(outbox) == [again]


def test_what_rests_is_due_when_its_rest_is_over() -> None:
    outbox = Outbox()
    made = add(outbox)
    begun(outbox)
    outbox.interrupt(REFUSED)
    for _ in range(4):
        begun(outbox, 1_000)
        outbox.end()
        begun(outbox, 1_000)
        outbox.interrupt(REFUSED)
    assert outbox.due_at() == 1_000 + DOUBT_REST_FIRST_MS
    other = add(outbox, 1_000, at_once=True)
    assert outbox.due_at() == 1_000
    assert begun(outbox, 1_000) == [other]
    outbox.end()
    assert begun(outbox, 1_000 + DOUBT_REST_FIRST_MS) == [made]


def test_a_letter_alone_is_no_proof_that_outcomes_pass() -> None:
    outbox = Outbox()
    lost, other = add(outbox), None
    begun(outbox)
    outbox.interrupt(REFUSED)
    while outbox.form(lost) is not Form.LETTER:
        other = add(outbox)
        assert begun(outbox) == [other]
        outbox.end()
        assert begun(outbox) == [lost]
        outbox.interrupt(REFUSED)
    begun(outbox)
    outbox.end()
    before = outbox._failing.published
    assert begun(outbox) == [lost]
    outbox.end()
    assert outbox._failing.published == before


def test_what_must_come_before_any_map_comes_before_what_is_doubted_too() -> None:
    outbox = Outbox()
    doubted = [add(outbox), add(outbox)]
    begun(outbox)
    outbox.interrupt(REFUSED)
    first, second, third = (add(outbox, front=True) for _ in range(3))
    assert begun(outbox) == [third, second, first], "more than a transaction takes after a refusal"
    outbox.end()
    last = add(outbox, front=True)
    assert begun(outbox) == [last]
    outbox.end()
    assert begun(outbox) == doubted
    outbox.interrupt()
    add(outbox, front=True)
    outbox.interrupt()
    assert outbox._front == 0, "a promotion reads the stored maps"


def test_it_holds_what_is_doubted() -> None:
    outbox = Outbox()
    made = add(outbox)
    begun(outbox)
    outbox.interrupt(REFUSED)
    assert outbox.holds(made)
    assert not outbox.holds(made.fresh_copy())
    outbox.withdraw(made)
    assert not outbox.holds(made)


def test_what_rests_is_tried_once_more_by_who_leaves_and_not_waited_for() -> None:
    outbox = Outbox()
    doubtful = add(outbox)
    for _ in range(3):
        if begun(outbox) == []:
            outbox.end()
            assert begun(outbox) == [doubtful]
        outbox.interrupt()
    assert (len(outbox), outbox.not_resting) == (1, 0)
    other = add(outbox)
    assert outbox.not_resting == 1
    outbox.end_rests()
    assert outbox.not_resting == 2
    assert begun(outbox) == [other]
    outbox.end()
    assert begun(outbox) == [doubtful]
    outbox.interrupt()
    assert (len(outbox), outbox.not_resting) == (1, 0)


def test_what_is_under_way_counts_until_its_commit_has_returned() -> None:
    outbox = Outbox()
    add(outbox)
    begun(outbox)
    add(outbox)
    assert len(outbox) == 2
    outbox.end()
    assert len(outbox) == 1


def test_what_must_come_before_any_map_takes_no_other_along_beyond_the_bound() -> None:
    outbox = Outbox()
    for _ in range(2):
        add(outbox)
    begun(outbox)
    outbox.interrupt(REFUSED)
    add(outbox)
    front = add(outbox, front=True)
    assert begun(outbox) == [front]


def test_what_is_doubted_is_due_before_what_still_lingers() -> None:
    outbox = Outbox()
    add(outbox)
    begun(outbox)
    outbox.interrupt(REFUSED)
    add(outbox, 1_000)
    assert outbox.due_at() == 0


def test_one_group_that_passes_gives_way_to_the_next_at_once_where_nothing_else_waits() -> None:
    outbox = Outbox()
    made = [add(outbox) for _ in range(4)]
    begun(outbox)
    outbox.interrupt(REFUSED)
    begun(outbox)
    outbox.end()
    begun(outbox)
    outbox.interrupt(REFUSED)
    assert begun(outbox) == []
    outbox.end()
    assert begun(outbox) == made[:2]
    outbox.end()
    assert begun(outbox) == made[2:]


def test_a_record_that_is_buried_is_no_proof_that_outcomes_pass() -> None:
    outbox = Outbox()
    buried = decide(outbox, DeadLetterOnly("id_conflict", "Taken."))
    assert begun(outbox) == [buried]
    outbox.end()
    assert outbox._failing.published == 0
    decide(outbox, Complete())
    begun(outbox)
    outbox.end()
    assert outbox._failing.published == 1


def test_two_failures_are_not_in_a_row_when_another_transaction_passed_between_them() -> None:
    outbox = Outbox()
    made = [add(outbox, size=TRANSACTION_BYTES_MAX // 2) for _ in range(2)]
    assert begun(outbox) == made
    outbox.interrupt()
    between = add(outbox, size=TRANSACTION_BYTES_MAX, front=True)
    assert begun(outbox) == [between]
    outbox.end()
    assert begun(outbox) == made
    outbox.interrupt()
    assert begun(outbox) == made, "sent again, and not doubted"
