"""What follows at once from a request that cannot be called in time."""

from headrace.broker.core.commands import Fail
from tests.unit.core.shell import leading
from tests.unit.core.specimens import candidate


def test_a_request_behind_one_of_its_key_that_comes_too_late_is_called_in_the_same_turn() -> None:
    shell = leading()
    shell.core.limits.limit_queue("gpt", shell.now_ms).budget.pause_until(11_000)
    first = shell.take(candidate("first", charge=20_000, order=b"k"))
    late = shell.take(candidate("late", charge=50_000, deadline_ms=12_000, order=b"k"))
    last = shell.take(candidate("last", charge=1_000, order=b"k"))
    shell.now_ms = 11_000
    shell.renew()
    shell.carry_out()
    assert list(shell.calls) == [first, last]
    shell.settle_all()
    (failed,) = shell.decisions(late)
    assert isinstance(failed, Fail)
    assert failed.reason == "deadline_unreachable"
