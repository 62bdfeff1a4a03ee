"""What a flood of hostile records says of the good requests beside them."""

from tests.chaos.figures import Figure
from tests.hostile.flood import Found, Waits, report


def found(alone: list[float], beside: list[float], *, ended: int = 0) -> Found:
    """A run in which good requests waited so long, and so many processes ended."""
    return Found(0, 200, {"failed": 7}, 60.0, Waits(alone, beside), 3.0, [Figure("processes ended", ended, 0, "")])


def told(*runs: Found) -> tuple[int, str]:
    """Exit code and last line."""
    said = list[str]()
    return report(runs, 60.0, said.append), said[0]


def test_how_long_good_requests_wait_is_judged_over_all_runs() -> None:
    by_chance = found([0.1] * 30, [0.21] * 160)
    assert told(by_chance)[0] == 1
    code, line = told(by_chance, *[found([0.3] * 30, [0.3] * 160)] * 3)
    assert code == 0, line
    assert "p95 0.3 s alone and 0.3 s beside them" in line
    assert told(*[found([0.1] * 30, [0.21] * 160)] * 4)[0] == 1


def test_what_one_run_breaks_all_have_broken() -> None:
    code, line = told(found([0.3], [0.3]), found([0.3], [0.3], ended=1))
    assert (code, "1 PROMISES BROKEN" in line) == (1, True)
    assert told()[0] == 1, "nothing was run"
