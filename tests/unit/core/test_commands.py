from typing import get_args

import pytest

from headrace.broker.core.commands import (
    Batch,
    BreakerClosed,
    BreakerOpened,
    Call,
    CancelCall,
    Command,
    Contained,
    DeadLetterOnly,
    Decision,
    Forget,
    Publish,
    SettledEntry,
)
from headrace.broker.core.identity.dedupe import Fate, Identity
from headrace.broker.core.ticket import Garbage


def test_the_shell_has_four_things_to_do_and_three_to_tell() -> None:
    assert set(get_args(Command)) == {Call, Publish, CancelCall, Forget, BreakerOpened, BreakerClosed, Contained}


def test_a_record_ends_in_one_of_seven_ways() -> None:
    named = [each.__name__ for each in get_args(Decision)]
    assert named == ["Complete", "Fail", "Park", "Withdraw", "DeadLetterOnly", "Discard", "Remember"]


def test_every_command_and_decision_is_frozen_or_a_value_which_the_type_checker_freezes() -> None:
    """`headrace.broker.core.value` hashes by the fields, which a dataclass that may be changed does not."""
    for each in (*get_args(Command), *get_args(Decision), Batch, SettledEntry):
        made = each.__dataclass_params__
        assert made.frozen or made.unsafe_hash, each


def test_a_dead_letter_says_of_garbage_what_is_wrong_and_which_offsets_it_stands_for() -> None:
    assert DeadLetterOnly.of(Garbage(None, "No JSON.", "undecodable", range(2, 5))) == DeadLetterOnly(
        "undecodable", "No JSON.", range(2, 5)
    )


@pytest.mark.parametrize(
    ("fate", "attempts", "ends"), [(Fate.PARKED, 1, False), (Fate.PARKED, 2, True), (Fate.COMPLETED, 1, True)]
)
def test_that_a_request_is_parked_ends_no_later_attempt(fate: Fate, attempts: int, *, ends: bool) -> None:
    assert SettledEntry(Identity(b"i" * 16, 0, b"f" * 8), attempts, fate).ends(2) is ends
