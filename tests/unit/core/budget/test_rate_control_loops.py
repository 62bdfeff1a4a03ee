from random import Random

import pytest

from headrace.broker.core.budget.rate_control import (
    RateControl,
)
from tests.unit.core.pacing import HOUR, MINUTE, Backlog, bucket, fixed, sliding

LIMIT = 600_000


@pytest.mark.slow
@pytest.mark.parametrize("start", [LIMIT // 6, LIMIT, 2 * LIMIT])
@pytest.mark.parametrize(
    "server",
    [
        lambda: bucket(LIMIT),
        lambda: fixed(LIMIT // 6, 10_000),
        lambda: fixed(LIMIT, MINUTE),
        lambda: sliding(LIMIT, MINUTE),
        lambda: sliding(LIMIT // 6, 10_000),
        lambda: sliding(10, 1_000, of_calls=True),
    ],
    ids=["bucket", "window of 10 s", "window of a minute", "sliding minute", "sliding 10 s", "10 calls a second"],
)
@pytest.mark.parametrize("seed", range(2))
def test_a_silent_server_is_used_by_nine_tenths_with_few_refusals(server: object, start: int, seed: int) -> None:
    assert callable(server)
    chance = Random(seed)
    control = RateControl(start, 0, stated=start >= LIMIT)
    backlog = Backlog(control, server(), lambda: chance.choice((300, 700, 1_000, 2_000)))
    backlog.run(8 * MINUTE)
    assert backlog.share(LIMIT, 2 * MINUTE) >= 0.9
    assert backlog.refused_per_1000(2 * MINUTE) <= 20


@pytest.mark.slow
@pytest.mark.parametrize("refused_ms", [40, 250, 900])
@pytest.mark.parametrize("wait_ms", [None, 0, 60_000], ids=["no wait", "no time", "a minute"])
def test_neither_slow_refusals_nor_wrong_waits_stall_it(refused_ms: int, wait_ms: int | None) -> None:
    backlog = Backlog(RateControl(2 * LIMIT, 0), sliding(LIMIT // 6, 10_000), refused_ms=refused_ms, wait_ms=wait_ms)
    backlog.run(8 * MINUTE)
    assert backlog.share(LIMIT, 2 * MINUTE) >= 0.85
    assert backlog.refused_per_1000(2 * MINUTE) <= 40


@pytest.mark.slow
def test_an_outage_of_refusals_leaves_the_rate_as_it_was() -> None:
    admits = bucket(LIMIT)
    backlog = Backlog(
        RateControl(LIMIT, 0), lambda tokens, now_ms: not 300_000 <= now_ms < HOUR and admits(tokens, now_ms),
        refused_ms=300,
    )  # fmt: skip
    backlog.run(300_000)
    before = backlog.control.rate
    backlog.run(HOUR + 20_000)
    assert backlog.control.rate == pytest.approx(before, rel=0.15)


@pytest.mark.slow
def test_a_limit_that_is_raised_is_found_and_one_that_is_lowered_too() -> None:
    low, high = sliding(LIMIT // 24, 5_000), sliding(LIMIT // 12, 5_000)
    backlog = Backlog(
        RateControl(LIMIT, 0), lambda tokens, now_ms: (high if 200_000 <= now_ms < 600_000 else low)(tokens, now_ms)
    )
    backlog.run(600_000)
    assert backlog.share(LIMIT, 450_000) > 0.85
    backlog.run(900_000)
    assert backlog.share(LIMIT // 2, 750_000) > 0.85


@pytest.mark.slow
@pytest.mark.parametrize(
    ("per_second", "sizes"), [(5, (100, 300, 900, 2_500)), (20, (50, 50, 50, 5_000))], ids=["5", "20"]
)
@pytest.mark.parametrize("seed", range(3))
def test_a_server_that_counts_calls_is_used_whatever_their_sizes(
    per_second: int, sizes: tuple[int, ...], seed: int
) -> None:
    """Before: even pacing of tokens bunched small calls, and each refusal lowered a rate that was not to blame."""
    chance = Random(seed)
    control = RateControl(1_000 * per_second * 60, 0)
    backlog = Backlog(control, sliding(per_second, 1_000, of_calls=True), lambda: chance.choice(sizes))
    backlog.run(8 * MINUTE)
    calls = sum(1 for at_ms, _ in backlog.admitted if at_ms >= 3 * MINUTE)
    assert calls >= 0.85 * per_second * 5 * 60
    assert backlog.refused_per_1000(3 * MINUTE) <= 10
