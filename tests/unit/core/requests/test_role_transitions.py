"""What a commit of unknown end, another leader and standing by leave of what is under way."""

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.bounds import CALL_RESERVE_BYTES
from headrace.broker.core.budget.budget import Checkpoint
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.commands import AttemptEntry, Complete, Discard, SettledEntry
from headrace.broker.core.config import Role
from headrace.broker.core.events import Answered, CallNotSent
from headrace.broker.core.identity.dedupe import Fate
from headrace.broker.core.ticket import Source
from tests.unit.core.shell import WALL_MS, Shell, leading
from tests.unit.core.specimens import candidate, identity, place, verdict

LIMITED = verdict(Meaning.RATE_LIMITED, wait_ms=500)


def settled(name: str, fate: Fate, *, run: int = 0, attempt: int = 0, body: str = "body") -> SettledEntry:
    return SettledEntry(identity(name, run=run, body=body), attempt, fate)


# ---------------------------------------------------------------------------------------------------- unknown commits


def test_after_an_unknown_commit_that_was_stored_nothing_is_published_twice() -> None:
    shell = leading()
    number, duplicate = shell.take(), shell.take()
    shell.answer(number)
    batch = shell.store()
    shell.suspend()
    shell.read(*batch.settled, started=batch.started)
    shell.lead(shell.restored())
    shell.settle_all()
    assert shell.decisions(number) == [Complete()]
    assert shell.decisions(duplicate) == [Discard()]
    assert shell.fates("x") == [Fate.COMPLETED]
    assert shell.is_empty()


def test_after_an_unknown_commit_that_was_not_stored_everything_is_published_again() -> None:
    shell = leading()
    number, duplicate = shell.take(), shell.take()
    shell.answer(number)
    shell.begun()
    shell.suspend()
    shell.lead(shell.restored())
    shell.settle_all()
    assert shell.decisions(number) == [Complete()]
    assert shell.decisions(duplicate) == [Discard()]
    assert shell.is_empty()


def test_calls_and_answers_outlive_a_suspension() -> None:
    shell = leading()
    number, sleeper = shell.take("a"), shell.take("b")
    shell.answer(sleeper, LIMITED)
    shell.suspend()
    assert shell.core.wake_at() is None
    shell.answer(number)
    assert shell.core.role is Role.SUSPENDED
    assert shell.batch is None
    shell.now_ms += 5_000
    shell.lead(shell.restored())
    shell.settle_all()
    assert shell.decisions(number) == [Complete()]
    assert shell.decisions(sleeper) == [Complete()]
    assert shell.cancelled == []


def test_a_second_suspension_is_no_news() -> None:
    shell = leading()
    number = shell.take()
    shell.suspend()
    shell.suspend()
    shell.lead(shell.restored())
    shell.settle_all()
    assert shell.decisions(number) == [Complete()]


def test_old_lines_of_our_own_do_not_settle_what_is_open_now() -> None:
    shell = leading(in_place_max_ms=100)
    shell.answer(shell.take("x"), LIMITED)
    shell.commit()
    copy = shell.take(candidate("x", attempt=2))
    shell.suspend()
    shell.read(settled("x", Fate.PARKED, attempt=1))
    shell.lead(shell.restored())
    shell.wait(500)
    shell.settle_all()
    assert shell.decisions(copy) == [Complete()]


# ---------------------------------------------------------------------------------------------------- standing by


def test_a_commit_under_way_when_a_leader_stands_by_is_left_to_the_map() -> None:
    shell = leading()
    shell.answer(shell.take())
    shell.begun()
    shell.stand_by()
    assert shell.is_empty()


def test_answers_of_a_former_term_never_speak_for_the_ticket_of_a_new_one() -> None:
    shell = leading()
    old = shell.take_at(Source(place(), 0), "x")
    old_call = shell.calls.pop(old).call
    shell.stand_by()
    shell.now_ms += 5_000
    shell.lead(shell.restored())
    new = shell.take_at(Source(place(), 0), "x")
    assert new in shell.calls
    assert shell.core.flights.find(old_call).of_former_term
    assert not shell.core.flights.find(shell.calls[new].call).of_former_term
    shell.post(Answered(old_call, verdict(), 900))
    assert shell.core.flights.held_bytes == CALL_RESERVE_BYTES
    assert not shell.core.outbox
    shell.answer(new)
    shell.settle_all()
    assert (shell.decisions(old), shell.decisions(new)) == ([], [Complete()])
    assert shell.is_empty()


def test_limits_are_forgotten_as_a_term_ends_and_kept_in_a_suspension() -> None:
    shell = leading()
    shell.take()
    shell.suspend()
    assert shell.core.limits.limit_queues()
    shell.lead(shell.restored())
    assert shell.core.limits.limit_queues()
    shell.stand_by()
    assert shell.core.role is Role.FOLLOWING
    assert not shell.core.limits.limit_queues()


def test_what_a_follower_reads_is_known_when_it_leads() -> None:
    shell = Shell()
    level = LevelBounds(LimitMetric.TOKENS, 20_000, 20_000, 60_000, MINUTE_MS)
    checkpoint = Checkpoint("gpt", WALL_MS + shell.now_ms, (level,), 0, 0, 1_000_000)
    shell.read(
        settled("a", Fate.COMPLETED),
        started=(AttemptEntry(identity("a"), 1), AttemptEntry(identity("b"), 1)),
        levels=(checkpoint,),
    )
    shell.lead()
    done = shell.take("a")
    repeated = shell.take(candidate("b", charge=4_000))
    assert shell.calls[repeated].repeated
    poor = shell.take(candidate("c", charge=4_000))
    assert poor not in shell.calls
    shell.commit()
    assert shell.decisions(done) == [Discard()]


def test_a_term_of_our_own_is_inherited_though_no_line_of_it_is_read() -> None:
    shell = leading()
    number = shell.take(candidate(charge=4_000))
    assert number in shell.calls
    low = shell.core.limits.checkpoints(shell.now_ms)[0].levels[0].low
    shell.stand_by()
    shell.now_ms += 1_000
    shell.stand_by()  # a promotion that failed is no term: it leaves nothing of its own
    shell.now_ms += 1
    shell.lead(shell.restored())
    again = shell.take_at(Source(place(), 0), candidate(charge=4_000))
    assert shell.calls[again].repeated
    assert shell.core.limits.checkpoints(shell.now_ms)[0].levels[0].low <= low - 4_000


def test_a_call_that_was_not_sent_has_repeated_nothing_yet_and_the_one_that_is_does_so_once() -> None:
    shell = Shell()
    shell.read(started=(AttemptEntry(identity(), 1),))
    shell.lead()
    number = shell.take()
    for _ in range(2):
        call = shell.calls.pop(number)
        assert call.repeated
        shell.post(CallNotSent(call.call))
    shell.answer(number, LIMITED)
    shell.wait(500)
    assert not shell.calls[number].repeated


def test_an_answer_that_comes_after_its_term_has_repeated_nothing_of_the_next_one() -> None:
    shell = leading()
    call = shell.calls.pop(shell.take())
    shell.stand_by()
    shell.post(Answered(call.call, LIMITED, 0))
    shell.now_ms += 1_000
    shell.lead(shell.restored())
    assert shell.calls[shell.take_at(Source(place(), 0), "x")].repeated


def test_calls_of_our_own_that_outlive_a_suspension_repeat_nothing() -> None:
    shell = leading()
    number = shell.take()
    shell.suspend()
    shell.read(started=(AttemptEntry(identity(), 1),))
    shell.lead(shell.restored())
    shell.answer(number, LIMITED)
    shell.wait(500)
    assert not shell.calls[number].repeated
