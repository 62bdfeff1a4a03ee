"""The share that windows of tokens show: two counters, and windows that take turns in headers."""

from headrace.broker.core.answers.rate_limit_headers import TOKENS
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.charged_share import ALONE_MIN, APART_PARTS, CALLS_MAX, ChargedShare
from headrace.broker.core.budget.charged_shares import ChargedShares
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.mirror_list import AnyMirror
from headrace.broker.core.budget.sent_calls import AdmissionOrder, SentCalls
from headrace.broker.core.budget.sliding_window import SlidingWindowMirror
from headrace.broker.core.budget.two_counters import TwoCounterMirror
from headrace.broker.core.units import PPM

CAPACITY, OTHER = 10_000, 5_000
PERIOD_MS = 10_000
DELAY_MS = 100

Level = tuple[int, int]
"""The size of a window, and what is left in it."""


def two_counters(mark_ms: int = 0) -> AnyMirror:
    return TwoCounterMirror(TOKENS, CAPACITY, PERIOD_MS, 0, SentCalls(), mark_ms=mark_ms)


def sliding(capacity: int = CAPACITY, period_ms: int = PERIOD_MS) -> AnyMirror:
    return SlidingWindowMirror(TOKENS, capacity, period_ms, 0, SentCalls())


def level(used: int, capacity: int = CAPACITY) -> Level:
    return capacity, capacity + 1 - used


def hear(
    shares: ChargedShares, mirrors: list[AnyMirror], sent_ms: int, *shown: Level, carried: int = 1_000
) -> int | None:
    """Hear an answer while no call is without one; return the share."""
    order = AdmissionOrder(0, sent_ms, sent_ms + 50, DELAY_MS)
    shares.observe(mirrors, carried, dict(shown), order, sent_ms)
    return shares.ppm


def test_two_counters_count_all_calls_since_their_mark() -> None:
    """Calls of 1,000 tokens, of which 600 count."""
    shares, mirrors = ChargedShares(), [two_counters()]
    for place in range(8):
        hear(shares, mirrors, 1_000 + 100 * place, level(600 * (place + 1)))
    assert shares.ppm == 600_000


def test_calls_before_the_mark_of_two_counters_do_not_count_fully() -> None:
    """All is charged as priced. Counted fully, the calls of the former window would show a share of less."""
    shares, mirrors = ChargedShares(), [two_counters(mark_ms=5_000)]
    for place in range(8):
        hear(shares, mirrors, 1_000 + 100 * place, level(500 * (place + 1)), carried=500)
    for place in range(8):  # a half of the former 4,000 overlaps
        hear(shares, mirrors, 9_900 + 10 * place, level(2_000 + 500 * (place + 1)), carried=500)
    assert shares.ppm == PPM


def test_windows_that_take_turns_count_each_others_calls() -> None:
    """Of every two answers one shows the other window; what this one is charged for both is in use."""
    shares, mirrors = ChargedShares(), [sliding(), sliding(OTHER, 5_000)]
    for place in range(32):
        used = 300 * (place + 1)
        shown = level(used) if place % 2 else level(min(OTHER, used), OTHER)
        hear(shares, mirrors, 1_000 + 2 * DELAY_MS * place, shown, carried=500)
    assert shares.ppm == 600_000


def test_an_answer_that_shows_two_windows_is_one_call_of_each() -> None:
    """Before, it counted twice: the share fell to a half, and calls were priced too low (a minute's beside a day's)."""
    shares, mirrors = ChargedShares(), [sliding(), sliding(OTHER, 5_000)]
    for place in range(8):
        hear(shares, mirrors, 1_000 + 2 * DELAY_MS * place, level(600 * (place + 1)), level(500 * (place + 1), OTHER))
    assert shares.ppm == 500_000, "the least of both"


def test_answers_that_show_another_window_alone_tell_nothing_of_this_one() -> None:
    shares, mirrors = ChargedShares(), [sliding(), sliding(OTHER, 5_000)]
    for place in range(3 * APART_PARTS):
        hear(shares, mirrors, 1_000 + place, level(4_000, 7_000))
    assert shares.ppm is None


def test_of_calls_sent_within_a_delay_only_the_one_that_is_answered_counts() -> None:
    """Calls whose answers show another window may have been admitted after the last one that shows this window."""
    shares, mirrors = ChargedShares(), [sliding(), Mirror(TOKENS, OTHER, 5_000, 0)]
    for place in range(4 * APART_PARTS):
        shown = level(3_000 + place) if place % 4 == 0 else level(1_000 + place, OTHER)
        hear(shares, mirrors, 1_000 + place, shown, carried=3_000)
    assert shares.ppm is not None
    assert shares.ppm >= PPM


def test_a_projects_window_tells_nothing() -> None:
    """It may have the size of the account's, and another length."""
    shares = ChargedShares()
    project = SlidingWindowMirror(TOKENS, CAPACITY, PERIOD_MS, 0, SentCalls(), project=True)
    for place in range(8):
        hear(shares, [project], 1_000, level(600 * (place + 1)))
    assert shares.ppm is None


def test_a_window_that_is_gone_shows_nothing() -> None:
    shares, window = ChargedShares(), sliding()
    for place in range(8):
        hear(shares, [window], 1_000, level(600 * (place + 1)))
    assert shares.ppm == 600_000
    assert hear(shares, [sliding(OTHER)], 2_000, level(500, OTHER)) is None


def test_buckets_and_counters_of_ten_seconds_correct_their_mirrors_themselves() -> None:
    bucket = Mirror(TOKENS, CAPACITY, PERIOD_MS, 0)
    counter = FixedWindowMirror(TOKENS, CAPACITY, PERIOD_MS, PERIOD_MS, CAPACITY)
    for mirror in (bucket, counter, sliding(period_ms=1_000)):
        shares = ChargedShares()
        for place in range(3 * APART_PARTS):
            hear(shares, [mirror], 1_000 + place, level(100 * (place + 1)))
        assert shares.ppm is None


def test_memory_is_bounded_where_a_window_is_never_shown() -> None:
    shares, mirrors = ChargedShares(), [sliding(), sliding(OTHER, 5_000)]
    for place in range(CALLS_MAX + 100):
        hear(shares, mirrors, place, level(100, 7_000))
    assert all(len(share._answered) == CALLS_MAX for share in shares._shares.values())


def test_a_share_of_next_to_nothing_is_not_nothing() -> None:
    """Before, it was 0, and all calls were free; the next price divided by it."""
    shares = ChargedShares()
    for place in range(8):
        hear(shares, [sliding()], 1_000 + place, level(1 + place % 3), carried=100_000_000)
    assert shares.ppm == 1
    bucket, short = Mirror(TOKENS, CAPACITY, 1_000, 0), ChargedShare()
    for place in range(ALONE_MIN):
        short.observe(bucket, 100_000_000, CAPACITY - 1, AdmissionOrder(0, place, place + 50, DELAY_MS), place)
    assert short.ppm == 1
