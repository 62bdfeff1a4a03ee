"""Windows of lengths that no list has: each is spent once in its own length, not in that of the next usual one."""

from random import Random

import pytest

from benchmarks.limiters.play import Call, Played, play_calls
from benchmarks.limits.calls import drawn_call
from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.enforcement import EnforcedWindow, Kind
from headrace.broker.simulator.behaviours.profiles import RoundedHeaders
from headrace.broker.simulator.drawn_server import CALL_TOKENS, DrawnServer
from tests.long_proofs import with_long

TOKENS_PER_MINUTE = 60_000
WINDOWS = 5  # are played, and two minutes at least
LEAST_S = 120
UNSTATED = 0
"""A server's seed for which the operator writes no limit: one of a minute would bind instead of a longer window."""
KINDS = (Kind.FIXED, Kind.TWO, Kind.BUCKET, Kind.SLIDING)
SEEDS = with_long(list(range(40)), 12)


def played(seed: int) -> Played:
    """Play a window of a kind and a length between twelve seconds and twenty minutes, of either by the seed."""
    chance = Random(f"window/{seed}")
    kind = KINDS[seed % 4]
    seconds = round(12 * 100 ** chance.random(), 1)
    behaviours: tuple[Behaviour, ...] = (
        EnforcedWindow(kind=kind, seconds=seconds, mark_s=round(chance.uniform(0, seconds), 3)),
    )
    if seed % 8 >= 4:
        behaviours += (RoundedHeaders(parts=chance.choice((10, 20, 100))),)
    server = DrawnServer(UNSTATED, TOKENS_PER_MINUTE, 1_000_000, behaviours, tells_all=False)
    span_s = max(LEAST_S, WINDOWS * seconds)
    count = round(1.3 * TOKENS_PER_MINUTE / CALL_TOKENS * (span_s + 2 * seconds) / 60)
    calls = [Call(0, "bulk", drawn_call(chance, "bulk")) for _ in range(count)]
    return play_calls(server, calls, round(span_s * 1_000_000), seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_window_of_any_length_is_spent(seed: int) -> None:
    """Before, one of two minutes was taken for one of an hour: a fifth of the quota was spent, by long rests.

    Two counters are known by their weights only once their length is.
    """
    own, is_two = played(seed), KINDS[seed % 4] is Kind.TWO
    assert own.share >= (0.7 if is_two else 0.85)
    assert own.refused_per_1000 <= (80 if is_two else 5)
