import pytest

from headrace.broker.core.bounds import BLAMED_AFTER_MS, DOUBT_REST_FIRST_MS, DOUBT_REST_MAX_MS, STRIKES_MAX
from headrace.broker.core.commands import Complete, Form
from headrace.broker.core.requests.failing_decisions import Decided, FailingDecisions
from headrace.broker.core.setback import Setback
from tests.unit.core.specimens import ticket

REFUSED, UNKNOWN, DENIED = Setback.REFUSED, Setback.UNKNOWN, Setback.DENIED


def decisions(count: int) -> list[Decided]:
    return [Decided(ticket(), Complete(), 10) for _ in range(count)]


def doubted(*sizes: int) -> tuple[FailingDecisions, list[Decided]]:
    doubts, made = FailingDecisions(), []
    for size in sizes:
        group = decisions(size)
        doubts.add(group)
        made.extend(group)
    return doubts, made


def fails(doubts: FailingDecisions, setback: Setback = REFUSED, now_ms: int = 0) -> list[Decided]:
    """Another transaction passes, then that of the next group fails."""
    doubts.record_commit(published=False)
    tried = doubts.begin(now_ms)
    doubts.record_failure(setback, now_ms)
    return tried


def test_transactions_are_counted_and_so_are_those_of_them_that_held_an_outcome() -> None:
    doubts = FailingDecisions()
    assert (doubts.commits, doubts.published) == (0, 0)
    for published in (False, True, True):
        doubts.record_commit(published=published)
    assert (doubts.commits, doubts.published) == (3, 2)


def test_a_refused_group_is_halved_and_both_halves_are_tried() -> None:
    doubts, made = doubted(5)
    assert doubts.begin(0) == made
    doubts.record_failure(REFUSED, 0)
    assert doubts.begin(0) == made[:2]
    doubts.record_commit(published=True)
    assert doubts.begin(0) == made[2:]
    doubts.record_commit(published=True)
    assert (len(doubts), doubts.due_at(), doubts.begin(0)) == (0, None, [])


def test_an_unknown_error_halves_nothing_while_no_other_transaction_passes() -> None:
    doubts, made = doubted(4)
    for _ in range(10):
        assert doubts.begin(0) == made
        doubts.record_failure(UNKNOWN, 0)
    doubts.record_commit(published=False)
    doubts.begin(0)
    doubts.record_failure(UNKNOWN, 0)
    assert doubts.begin(0) == made[:2]


def test_a_missing_right_halves_and_shrinks_nothing() -> None:
    doubts, made = doubted(2)
    for _ in range(10):
        assert fails(doubts, DENIED) == made
    doubts, (one,) = doubted(1)
    for _ in range(10):
        fails(doubts, DENIED)
    assert doubts.form(one.ticket) is Form.WHOLE


def test_a_decision_that_is_refused_alone_takes_the_next_smaller_form_each_time() -> None:
    doubts, (one,) = doubted(1)
    forms = []
    for _ in range(4):
        forms.append(doubts.form(one.ticket))
        fails(doubts)
    assert forms == [Form.WHOLE, Form.UNCOPIED, Form.SMALL, Form.BARE]


def test_it_is_not_to_blame_while_nothing_else_passes() -> None:
    doubts, (one,) = doubted(1)
    for _ in range(20):
        doubts.begin(0)
        doubts.record_failure(REFUSED, 0)
    assert doubts.form(one.ticket) is Form.WHOLE


def test_an_error_that_may_be_chance_lets_a_decision_rest_and_is_believed_after_an_hour() -> None:
    """As long as a partition has no leader, what goes there fails, and everything else passes."""
    doubts, (one,) = doubted(1)
    now_ms, rests = 0, []
    while doubts.form(one.ticket) is Form.WHOLE:
        assert fails(doubts, UNKNOWN, now_ms) == [one]
        due_ms = doubts.due_at()
        assert due_ms is not None
        rests.append(due_ms - now_ms)
        now_ms = max(now_ms, due_ms)
    assert rests[:3] == [DOUBT_REST_FIRST_MS, 2 * DOUBT_REST_FIRST_MS, 4 * DOUBT_REST_FIRST_MS]
    assert max(rests) == DOUBT_REST_MAX_MS
    assert BLAMED_AFTER_MS <= now_ms <= BLAMED_AFTER_MS + DOUBT_REST_MAX_MS


def test_a_few_failures_are_no_hour_and_an_hour_is_not_many_failures() -> None:
    doubts, (one,) = doubted(1)
    for number in range(STRIKES_MAX):
        assert doubts.form(one.ticket) is Form.WHOLE
        fails(doubts, UNKNOWN, number * BLAMED_AFTER_MS)
    assert doubts.form(one.ticket) is Form.UNCOPIED


def test_by_an_error_that_may_be_chance_alone_no_outcome_is_given_up() -> None:
    doubts, (one,) = doubted(1)
    for number in range(10 * STRIKES_MAX):
        doubts.record_commit(published=True)
        fails(doubts, UNKNOWN, number * BLAMED_AFTER_MS)
        assert doubts.form(one.ticket) is not Form.LETTER


def test_it_goes_without_an_outcome_only_if_others_have_theirs() -> None:
    doubts, (one,) = doubted(1)
    for _ in range(3):
        fails(doubts)
    doubts.record_commit(published=True)
    fails(doubts)
    assert doubts.form(one.ticket) is Form.LETTER


def test_what_a_topic_refuses_of_everybody_rests_whole_and_ever_longer() -> None:
    doubts, (one,) = doubted(1)
    now_ms, rests = 0, []
    for _ in range(10):
        for _ in range(4):
            fails(doubts, now_ms=now_ms)
        assert doubts.form(one.ticket) is Form.WHOLE
        due_ms = doubts.due_at()
        assert due_ms is not None
        assert doubts.begin(due_ms - 1) == []
        rests.append(due_ms - now_ms)
        now_ms = due_ms
    assert rests[:2] == [DOUBT_REST_FIRST_MS, 2 * DOUBT_REST_FIRST_MS]
    assert rests[-1] == DOUBT_REST_MAX_MS


def test_one_whose_every_form_is_refused_rests_too_and_stops_no_other() -> None:
    doubts, (one,) = doubted(1)
    for _ in range(3):
        fails(doubts)
    doubts.record_commit(published=True)
    for _ in range(2):
        fails(doubts)
    assert doubts.form(one.ticket) is Form.WHOLE
    (other,) = decisions(1)
    doubts.add([other])
    assert doubts.begin(0) == [other]


def test_a_decision_that_is_refused_alone_lets_the_others_go_first() -> None:
    doubts, (one, other) = doubted(1, 1)
    assert [fails(doubts), doubts.begin(0)] == [[one], [other]]


def test_a_ticket_made_anew_by_a_promotion_is_doubted_like_before() -> None:
    doubts, (one, other) = doubted(2)
    doubts.withdraw(one.ticket)
    assert (len(doubts), list(doubts.values())) == (1, [other])
    again = Decided(one.ticket.fresh_copy(), Complete(), 10)
    assert doubts.rejoin(again)
    doubts.withdraw(one.ticket)  # that one is gone
    assert doubts.begin(0) == [again, other]


def test_a_ticket_that_does_not_come_back_is_forgotten() -> None:
    doubts, (one, other, third) = doubted(1, 2)
    doubts.withdraw(one.ticket)
    doubts.withdraw(other.ticket)
    assert doubts.begin(0) == [third]
    assert not doubts.rejoin(one)
    assert doubts.form(one.ticket) is Form.WHOLE


def test_only_a_group_that_was_begun_can_fail() -> None:
    doubts, _ = doubted(1)
    assert not doubts.is_trying
    with pytest.raises(AssertionError):
        doubts.record_failure(UNKNOWN, 0)
    doubts.begin(0)
    assert doubts.is_trying


def test_what_rests_is_tried_once_more_when_the_process_leaves_and_then_rests_on() -> None:
    doubts, made = doubted(1)
    fails(doubts, UNKNOWN)
    assert (doubts.resting, doubts.due_at()) == (1, DOUBT_REST_FIRST_MS)
    doubts.end_rests()
    assert (doubts.resting, doubts.due_at()) == (0, 0)
    assert doubts.begin(0) == made
    doubts.record_failure(UNKNOWN, 0)
    assert doubts.resting == 0, "no other transaction has passed: Kafka may be away"
    assert fails(doubts, UNKNOWN) == made
    assert (doubts.resting, doubts.due_at()) == (1, 2 * DOUBT_REST_FIRST_MS)
    assert doubts.begin(2 * DOUBT_REST_FIRST_MS) == made
    assert doubts.resting == 0, "it is under way"
    doubts.record_commit(published=True)
    assert len(doubts) == 0


def test_what_was_withdrawn_rests_no_more() -> None:
    doubts, (one,) = doubted(1)
    fails(doubts, UNKNOWN)
    doubts.withdraw(one.ticket)
    assert doubts.resting == 0


def test_of_two_that_were_refused_each_is_tried_alone_and_only_the_culprit_is_written_smaller() -> None:
    doubts, (one, other) = doubted(2)
    doubts.begin(0)
    doubts.record_failure(REFUSED, 0)
    assert fails(doubts) == [one]
    assert (doubts.form(one.ticket), doubts.form(other.ticket)) == (Form.UNCOPIED, Form.WHOLE)


def test_the_hour_begins_with_the_first_failure_alone_and_is_over_to_the_millisecond() -> None:
    doubts, (one,) = doubted(1)
    begun_ms = 3 * BLAMED_AFTER_MS
    for _ in range(STRIKES_MAX):
        fails(doubts, UNKNOWN, begun_ms)
        doubts._groups[0].not_before_ms = 0  # however long it rests
    fails(doubts, UNKNOWN, begun_ms + BLAMED_AFTER_MS - 1)
    assert doubts.form(one.ticket) is Form.WHOLE
    doubts._groups[0].not_before_ms = 0
    fails(doubts, UNKNOWN, begun_ms + BLAMED_AFTER_MS)
    assert doubts.form(one.ticket) is Form.UNCOPIED


def test_one_that_is_whole_again_is_blamed_by_no_failure_of_before() -> None:
    doubts, (one,) = doubted(1)
    for _ in range(4):
        fails(doubts)
    now_ms = DOUBT_REST_FIRST_MS
    for _ in range(STRIKES_MAX - 1):
        assert fails(doubts, UNKNOWN, now_ms) == [one]
        now_ms += BLAMED_AFTER_MS
    assert doubts.form(one.ticket) is Form.WHOLE
    fails(doubts, UNKNOWN, now_ms)
    assert doubts.form(one.ticket) is Form.UNCOPIED


def test_what_is_committed_is_doubted_no_more() -> None:
    doubts, (one,) = doubted(1)
    fails(doubts)
    assert doubts.form(one.ticket) is Form.UNCOPIED
    doubts.begin(0)
    doubts.record_commit(published=True)
    assert (doubts.form(one.ticket), doubts.holds(one.ticket), doubts.rejoin(one)) == (Form.WHOLE, False, False)


def test_the_group_that_rests_least_says_when_the_next_is_due() -> None:
    doubts, _ = doubted(1, 1)
    for now_ms in (0, 1_000):
        fails(doubts, UNKNOWN, now_ms)
    assert doubts.due_at() == DOUBT_REST_FIRST_MS
