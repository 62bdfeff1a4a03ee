import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.bounds import INHERITED_CALLS_MAX, LIMITS_RESTING_MAX
from headrace.broker.core.budget.budget import Budget, Checkpoint
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.commands import AttemptEntry, SettledEntry
from headrace.broker.core.identity.dedupe import Fate, Identity
from headrace.broker.core.requests.predecessor import PredecessorState
from tests.unit.core.specimens import budget, identity


def started(*identities: Identity) -> list[AttemptEntry]:
    return [AttemptEntry(each, 1) for each in identities]


def test_a_call_of_a_dead_leader_is_repeated_until_it_has_been_made() -> None:
    left = PredecessorState(budget)
    left.record_call(identity("a"))
    left.add_calls(started(identity("a")))
    left.record_call(identity("b"))
    left.record_call(identity("a", run=1))
    assert [left.repeats(identity("b")), left.repeats(identity("a")), left.repeats(identity("a"))] == [
        False,
        True,
        True,
    ]
    left.record_call(identity("a"))
    assert not left.repeats(identity("a"))
    assert len(left) == 0


def test_a_term_of_our_own_leaves_the_calls_it_has_not_settled_and_its_levels() -> None:
    made: list[Checkpoint | None] = []

    def make(limit: str, now_ms: int, checkpoint: Checkpoint | None) -> Budget:
        made.append(checkpoint)
        return budget(limit, now_ms, checkpoint)

    left = PredecessorState(make)
    called, waits = identity("called"), identity("waits")
    level = LevelBounds(LimitMetric.TOKENS, 5, 5, 60_000, MINUTE_MS)
    left.take_over([AttemptEntry(called, 3)], [Checkpoint("gpt", 1_000, (level,), 3, 700, 1_000_000)], 50_000)
    assert left.repeats(called)
    assert not left.repeats(waits)
    left.remove_settled([SettledEntry(called, 2, Fate.PARKED)])
    assert left.repeats(called), "that it was parked before that call is said again"
    left.make_budget("gpt", 10, wall_ms=51_300)
    assert made == [Checkpoint("gpt", 51_300, (level,), 3, 400, 1_000_000)]


def test_another_run_of_the_id_repeats_nothing() -> None:
    left = PredecessorState(budget)
    left.add_calls(started(identity("a")))
    assert not left.repeats(identity("a", run=1))


def test_what_was_settled_is_nobodys_debt() -> None:
    left = PredecessorState(budget)
    left.add_calls(started(identity("a"), identity("b")))
    left.remove_settled([SettledEntry(identity("a"), 1, Fate.PARKED), SettledEntry(identity("c"), 0, Fate.COMPLETED)])
    assert len(left) == 1
    assert not left.repeats(identity("a"))


@pytest.mark.parametrize(
    ("state", "attempt", "is_repeated"), [(Fate.PARKED, 1, True), (Fate.PARKED, 2, False), (Fate.FAILED, 1, False)]
)
def test_that_a_request_was_parked_before_its_call_is_said_again_and_ends_no_call(
    state: Fate, attempt: int, *, is_repeated: bool
) -> None:
    left = PredecessorState(budget)
    left.add_calls([AttemptEntry(identity("a"), 2)])
    left.remove_settled([SettledEntry(identity("a"), attempt, state)])
    assert left.repeats(identity("a")) is is_repeated


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first() -> None:
    left = PredecessorState(budget)
    names = [f"{number:08}" for number in range(INHERITED_CALLS_MAX + 3)]
    left.add_calls(started(*map(identity, names)))
    assert len(left) == INHERITED_CALLS_MAX
    assert not left.repeats(identity(names[2]))
    assert left.repeats(identity(names[3]))


def test_a_mirror_starts_from_what_was_left_and_only_the_first_one() -> None:
    made: list[Checkpoint | None] = []

    def make(limit: str, now_ms: int, checkpoint: Checkpoint | None) -> Budget:
        made.append(checkpoint)
        return budget(limit, now_ms, checkpoint)

    left = PredecessorState(make)
    level = LevelBounds(LimitMetric.TOKENS, 5, 5, 60_000, MINUTE_MS)
    left.keep_checkpoints([Checkpoint("gpt", 1_000, (level,), 3, 700, 1_000_000)])
    left.keep_checkpoints([Checkpoint("gpt", 2_000, (level,), 3, 700, 1_000_000)])
    mirror = left.make_budget("gpt", 10, wall_ms=2_300)
    assert made == [Checkpoint("gpt", 2_300, (level,), 3, 400, 1_000_000)]
    assert mirror.levels(10)[0].low == 5
    left.make_budget("gpt", 20, wall_ms=2_400)
    assert made[1] is None


def test_levels_of_limits_that_producers_invent_are_forgotten_first_if_they_were_said_first() -> None:
    made: list[Checkpoint | None] = []

    def make(limit: str, now_ms: int, checkpoint: Checkpoint | None) -> Budget:
        made.append(checkpoint)
        return budget(limit, now_ms, checkpoint)

    left = PredecessorState(make)
    left.keep_checkpoints([Checkpoint("kept", 0, (), 0, 0, 1_000_000), Checkpoint("gone", 0, (), 0, 0, 1_000_000)])
    for number in range(LIMITS_RESTING_MAX - 1):
        left.keep_checkpoints([Checkpoint("kept", number, (), 0, 0, 1_000_000)])
        left.keep_checkpoints([Checkpoint(f"invented-{number}", 0, (), 0, 0, 1_000_000)])
    for name in ("kept", "gone"):
        left.make_budget(name, 0, wall_ms=0)
    assert [each is None for each in made] == [False, True]
