import pytest

from broker.core.mirror import ROUNDING_TOKENS
from broker.core.reading import Metric
from broker.core.refill import Refill
from broker.core.sends import SENDS_MAX, Sends
from broker.core.way import WAY_MAX_MS
from broker.core.window import SLOT_MS
from broker.core.windows import REMEMBERED_MAX, UNPROVEN_PARTS, FixedWindowMirror, SlidingWindowMirror

MINUTE = 60_000
CAPACITY = 60_000
MARK = 60_000  # when the first window ends
WAY = 100


class Counter:
    """A mirror of a counter and the calls paid from it, as buckets would hold them."""

    def __init__(self, metric: Metric = Metric.TOKENS, capacity: int = CAPACITY, left: int = CAPACITY) -> None:
        self.mirror = FixedWindowMirror(metric, capacity, MINUTE, MARK, left)
        self.sends = Sends()
        self.open: list[int] = []

    def send(self, tokens: int, now_ms: int) -> int:
        number = self.sends.append(now_ms, tokens, self.open[0] if self.open else None)
        self.mirror.pay(tokens if self.mirror.metric is Metric.TOKENS else 1, number, now_ms)
        self.open.append(number)
        return number

    def hear(self, remaining: int, number: int, now_ms: int, way_ms: int = WAY) -> int | None:
        if number in self.open:
            self.open.remove(number)
        return self.mirror.observe(remaining, number, self.sends, now_ms, way_ms)

    def interval(self, now_ms: int) -> tuple[int, int]:
        return self.mirror.low(now_ms), self.mirror.high(now_ms)


class Slider(Counter):
    """The same with a window that ends now; what was sent before counts from the start."""

    def __init__(
        self, metric: Metric = Metric.TOKENS, capacity: int = CAPACITY, sent: tuple[tuple[int, int], ...] = ()
    ) -> None:
        super().__init__()
        for tokens, now_ms in sent:
            self.open.append(self.sends.append(now_ms, tokens, self.open[0] if self.open else None))
        now_ms = sent[-1][1] if sent else 0
        self.slider = SlidingWindowMirror(metric, capacity, MINUTE, now_ms, self.sends)

    def send(self, tokens: int, now_ms: int) -> int:
        number = self.sends.append(now_ms, tokens, self.open[0] if self.open else None)
        self.slider.pay(tokens if self.slider.metric is Metric.TOKENS else 1, number, now_ms)
        self.open.append(number)
        return number

    def hear(self, remaining: int, number: int, now_ms: int, way_ms: int = WAY) -> int | None:
        return self.slider.observe(remaining, number, self.sends, now_ms, way_ms)

    def interval(self, now_ms: int) -> tuple[int, int]:
        return self.slider.low(now_ms), self.slider.high(now_ms)


def proven() -> Counter:
    """A counter that has been seen to begin anew, at 60 s; 59 s are left of its second window."""
    counter = Counter(left=0)
    number = counter.send(1_000, MARK + 1_000)
    assert counter.hear(59_000, number, MARK + 1_000) == 0
    return counter


def test_a_counter_says_how_it_refills() -> None:
    assert (Counter().mirror.refill, Slider().slider.refill) == (Refill.FIXED, Refill.SLIDING)


def test_paying_moves_the_ends_of_a_counter_apart_by_the_rounding_of_the_law() -> None:
    counter = Counter()
    counter.send(400, 0)
    assert counter.interval(0) == (CAPACITY - 400 - ROUNDING_TOKENS, CAPACITY - 400 + ROUNDING_TOKENS)
    counter.send(1, 0)
    assert counter.interval(0) == (CAPACITY - 401 - 2 * ROUNDING_TOKENS, CAPACITY - 400 + ROUNDING_TOKENS)


def test_a_counted_request_is_exactly_one() -> None:
    counter = Counter(Metric.REQUESTS, 500, 500)
    counter.send(400, 0)
    assert counter.interval(0) == (499, 499)
    assert counter.hear(499, 0, 10) == 0
    assert counter.interval(10) == (499, 499)


def test_a_counter_refills_nothing_before_its_mark() -> None:
    counter = Counter(left=100)
    assert counter.interval(0) == counter.interval(MARK - 1) == (100, 100)


def test_a_call_waits_for_the_mark_if_not_enough_is_left() -> None:
    counter = Counter(left=1_000)
    assert counter.mirror.payable_at(1_000 - ROUNDING_TOKENS, 0, 5) == 5
    assert counter.mirror.payable_at(1_000 - ROUNDING_TOKENS + 1, 0, 5) == MARK
    assert counter.mirror.payable_at(500, 500 - ROUNDING_TOKENS, 5) == 5
    assert counter.mirror.payable_at(500, 500 - ROUNDING_TOKENS + 1, 5) == MARK


def test_a_call_that_needs_more_than_all_goes_when_all_is_there() -> None:
    counter = Counter()
    assert counter.mirror.payable_at(70_000, 1_000, 0) == 0
    counter.send(1, 0)
    assert counter.mirror.payable_at(70_000, 1_000, 0) == MARK


def test_until_a_counter_is_seen_to_begin_anew_one_call_of_any_size_and_a_part_may_go_behind_the_mark() -> None:
    counter = Counter(left=0)
    assert counter.mirror.payable_at(50_000, 0, MARK) == MARK
    counter.send(1_000, MARK)
    left = CAPACITY // UNPROVEN_PARTS - 1_000 - ROUNDING_TOKENS
    assert counter.mirror.low(MARK) == left
    assert counter.mirror.payable_at(left - ROUNDING_TOKENS, 0, MARK) == MARK
    assert counter.mirror.payable_at(left - ROUNDING_TOKENS + 1, 0, MARK) == 2 * MARK
    assert counter.hear(59_000, 0, MARK + 10) == 0
    assert counter.interval(MARK + 10) == (59_000, 59_001)


def test_a_call_dearer_than_that_part_is_tried_anew_at_every_mark() -> None:
    counter = Counter(left=0)
    for window in (1, 2, 3):
        assert counter.mirror.payable_at(50_000, 0, window * MARK) == window * MARK
        counter.send(50_000, window * MARK)
        assert counter.mirror.payable_at(1, 0, window * MARK) == (window + 1) * MARK


def test_a_counter_that_was_seen_to_begin_anew_is_full_at_each_mark() -> None:
    counter = proven()
    assert counter.interval(2 * MARK - 1) == (59_000, 59_001)
    assert counter.interval(2 * MARK) == (CAPACITY, CAPACITY)


def test_an_answer_from_the_first_window_proves_nothing() -> None:
    counter = Counter()
    assert counter.hear(CAPACITY - 400, counter.send(400, 0), 10) == 0
    counter.send(1, MARK)
    assert counter.mirror.low(MARK) == CAPACITY // UNPROVEN_PARTS - 3


def test_a_mark_passed_several_times_is_one_beginning_and_the_next_mark_lies_ahead() -> None:
    counter = proven()
    counter.send(10_000, MARK + 5_000)
    now = 5 * MARK + 7
    assert counter.interval(now) == (CAPACITY, CAPACITY)
    assert counter.mirror.payable_at(CAPACITY, 1, now) == now
    counter.send(CAPACITY, now)
    assert counter.mirror.payable_at(1, 0, now) == 6 * MARK


def test_what_was_paid_just_before_the_mark_may_be_counted_behind_it() -> None:
    counter = proven()
    counter.send(5_000, 2 * MARK - WAY_MAX_MS - SLOT_MS)
    counter.send(2_000, 2 * MARK - 50)
    low, high = counter.interval(2 * MARK)
    assert 58_000 - 2 * ROUNDING_TOKENS <= low <= 58_000
    assert high == CAPACITY


@pytest.mark.parametrize(
    ("remaining", "interval"), [(49_600, (49_600 - 3_004, 46_606)), (48_600, (46_594, 48_601 - 2_000 + 2))]
)
def test_an_answer_counts_what_was_sent_since_as_still_to_come(remaining: int, interval: tuple[int, int]) -> None:
    counter = Counter(left=50_000)
    number = counter.send(400, 0)
    counter.send(1_000, 50)  # may have come before ours: within a way
    counter.send(2_000, 5_000)  # cannot
    assert counter.interval(6_000) == (46_594, 46_606)
    assert counter.hear(remaining, number, 6_000) == 0
    assert counter.interval(6_000) == interval


def test_an_answer_counts_what_was_sent_up_to_a_way_before_unless_it_had_been_answered() -> None:
    counter = Counter(left=50_000)
    first = counter.send(5_000, 0)
    counter.hear(45_000, first, 10)
    counter.send(1_000, 20)
    number = counter.send(400, 50)
    assert counter.hear(40_000, number, 60) == 40_001 - (44_000 - 400 - 2 * ROUNDING_TOKENS)
    assert counter.interval(60) == (40_000 - 1_000 - ROUNDING_TOKENS, 40_001)


def test_a_call_sent_more_than_a_way_before_ours_had_come_in() -> None:
    counter = Counter(left=50_000)
    counter.send(1_000, 0)
    number = counter.send(400, WAY)
    counter.hear(40_000, number, WAY)
    assert counter.mirror.low(WAY) == 40_000
    assert counter.mirror.high(WAY) == 40_001


def test_an_answer_that_agrees_narrows_both_ends() -> None:
    counter = Counter()
    number = counter.send(400, 0)
    assert counter.hear(CAPACITY - 401, number, 10) == 0
    assert counter.interval(10) == (CAPACITY - 401, CAPACITY - 400)
    assert (counter.mirror.corrections, counter.mirror.last_error) == (0, 0)


@pytest.mark.parametrize(("remaining", "error"), [(20_000, 20_001 - 59_598), (59_999, 59_999 - 59_602)])
def test_an_answer_that_contradicts_replaces_what_was_believed_of_a_counter(remaining: int, error: int) -> None:
    counter = Counter()
    number = counter.send(400, 0)
    assert counter.hear(remaining, number, 10) == error
    assert counter.interval(10) == (remaining, remaining + 1)
    assert (counter.mirror.corrections, counter.mirror.last_error) == (1, error)


def test_an_answer_that_contradicts_behind_the_mark_is_no_proof() -> None:
    counter = Counter(left=0)
    assert counter.hear(100, counter.send(1_000, MARK), MARK) == 101 - (CAPACITY - 1_002)
    counter.send(1, 2 * MARK)
    assert counter.mirror.low(2 * MARK) == CAPACITY // UNPROVEN_PARTS - 3


def test_the_answer_to_a_call_of_the_window_before_tells_nothing_of_this_one() -> None:
    counter = Counter()
    number = counter.send(400, MARK - 10)
    before = counter.interval(MARK + 10)
    assert counter.hear(10, number, MARK + 10) is None
    assert counter.interval(MARK + 10) == before


def test_the_answer_to_a_forgotten_call_tells_a_counter_nothing() -> None:
    counter = Counter()
    for _ in range(2 * SENDS_MAX + 1):
        counter.sends.append(0, 1)
    assert counter.hear(10, SENDS_MAX - 1, 10) is None
    assert counter.hear(CAPACITY - 2 * SENDS_MAX, 2 * SENDS_MAX, 10) is not None


def test_a_refused_call_raises_the_upper_end_of_a_counter_and_the_answer_the_lower() -> None:
    counter = Counter(left=50_000)
    number = counter.send(10_000, 0)
    counter.sends.strike(number)
    counter.mirror.refused(10_000, number, 0)
    low, high = counter.interval(0)
    assert low == 40_000 - ROUNDING_TOKENS
    assert 50_000 <= high <= 50_000 + ROUNDING_TOKENS
    assert counter.hear(45_000, number, 10) == 0
    assert counter.interval(10) == (45_000, 45_001)


def test_once_calls_are_dearer_the_next_answer_sets_what_is_left_of_a_counter() -> None:
    counter = Counter()
    number = counter.send(1_000, 0)
    counter.send(1_000, 1_000)
    counter.sends.reprice(1_700_000, 1_000_000)
    counter.mirror.repriced(counter.sends)
    assert counter.hear(58_300, number, 2_000) is None
    assert counter.interval(2_000) == (58_300 - 1_700 - ROUNDING_TOKENS, 58_301 - 1_700 + ROUNDING_TOKENS)
    assert counter.mirror.corrections == 0


def test_a_counters_limit_is_followed_and_given_at_the_next_mark() -> None:
    counter = proven()
    assert counter.mirror.follow(90_000, MINUTE, 1, MARK + 2_000)
    assert counter.mirror.capacity == 90_000
    assert counter.mirror.low(MARK + 2_000) == 59_000
    assert counter.interval(2 * MARK) == (90_000, 90_000)


def test_a_mark_that_answers_correct_is_the_next_beginning() -> None:
    counter = proven()
    counter.mirror.turns(2 * MARK - 3_000, MARK + 2_000)
    assert counter.interval(2 * MARK - 3_001) == (59_000, 59_001)
    assert counter.interval(2 * MARK - 3_000) == (CAPACITY, CAPACITY)
    assert counter.mirror.payable_at(1, CAPACITY + 1, 2 * MARK - 3_000) == 2 * MARK - 3_000
    counter.send(1, 2 * MARK - 3_000)
    assert counter.mirror.payable_at(1, CAPACITY, 2 * MARK - 3_000) == 3 * MARK - 3_000


def test_a_mark_that_has_passed_when_it_is_told_changes_nothing() -> None:
    counter = proven()
    counter.mirror.turns(MARK + 2_000, MARK + 2_000)
    assert counter.interval(MARK + 3_000) == (59_000, 59_001)


def test_each_charge_counts_for_a_period_and_a_way_and_then_no_more() -> None:
    slider = Slider()
    slider.send(400, 50)
    assert slider.interval(50) == (CAPACITY - 400 - ROUNDING_TOKENS, CAPACITY - 400 + ROUNDING_TOKENS)
    grown_old = MINUTE + WAY_MAX_MS + SLOT_MS
    assert slider.slider.low(grown_old - 1) == CAPACITY - 402
    assert slider.slider.low(grown_old) == CAPACITY
    assert Slider().interval(0) == (CAPACITY, CAPACITY)


def test_the_upper_end_counts_a_charge_no_longer_than_the_server_must() -> None:
    slider = Slider()
    slider.send(400, 50)
    assert slider.slider.high(MINUTE - 1_100) == CAPACITY - 398
    assert slider.slider.high(MINUTE + 50) == CAPACITY


def test_a_charge_smaller_than_the_rounding_may_be_nothing() -> None:
    slider = Slider()
    slider.send(1, 0)
    assert slider.interval(0) == (CAPACITY - 1 - ROUNDING_TOKENS, CAPACITY)


def test_a_sliding_window_of_requests_counts_them_exactly() -> None:
    slider = Slider(Metric.REQUESTS, 500)
    slider.send(400, 0)
    assert slider.interval(0) == (499, 499)
    assert slider.hear(499, 0, 10) == 0


def test_a_call_waits_until_enough_has_grown_old() -> None:
    slider = Slider(capacity=1_000)
    slider.send(398, 0)
    slider.send(398, 10_000)
    assert slider.slider.payable_at(198, 0, 20_000) == 20_000
    assert slider.slider.payable_at(199, 0, 20_000) == MINUTE + WAY_MAX_MS + SLOT_MS
    assert slider.slider.payable_at(198, 1, 20_000) == MINUTE + WAY_MAX_MS + SLOT_MS
    assert slider.slider.payable_at(998, 0, 20_000) == MINUTE + WAY_MAX_MS + 10_000 + SLOT_MS


def test_a_call_larger_than_the_window_goes_when_nothing_counts() -> None:
    slider = Slider(capacity=1_000)
    assert slider.slider.payable_at(5_000, 500, 0) == 0
    slider.send(10, 0)
    assert slider.slider.payable_at(5_000, 500, 0) == MINUTE + WAY_MAX_MS + SLOT_MS


def test_a_call_goes_though_others_are_believed_to_have_taken_all_if_none_of_ours_counts() -> None:
    slider = Slider()
    number = slider.send(1_000, 0)
    slider.hear(0, number, 10)
    assert slider.slider.low(MINUTE) < 0
    assert slider.slider.payable_at(1_000, 0, 10) == MINUTE + WAY_MAX_MS + SLOT_MS
    assert slider.slider.payable_at(1_000, 0, 2 * MINUTE) == 2 * MINUTE


def test_what_was_sent_before_the_window_was_known_counts_and_what_is_older_does_not() -> None:
    slider = Slider(sent=((7_000, 0), (5_000, 1), (300, MINUTE + 1)))
    assert slider.interval(MINUTE + 1) == (CAPACITY - 5_304, CAPACITY - 298)  # the one of 5,000 has just grown old
    assert slider.hear(CAPACITY - 300, 0, MINUTE + 2) is None
    assert slider.hear(CAPACITY - 5_300, 2, MINUTE + 2) == 0


def test_what_others_take_is_told_by_an_answer_and_counted_from_then_on() -> None:
    slider = Slider()
    number = slider.send(1_000, 0)
    assert slider.hear(39_000, number, 10) == -(20_000 - 1 - ROUNDING_TOKENS)  # others: 19,997 at least
    assert slider.interval(10) == (CAPACITY - 1_002 - 20_002, CAPACITY - 998 - 19_997)
    assert slider.slider.corrections == 1
    assert slider.slider.last_error == -19_997
    assert slider.slider.payable_at(38_994, 0, 10) == 10
    assert slider.slider.payable_at(38_995, 0, 10) > 10


def test_answers_that_agree_narrow_what_others_take() -> None:
    slider = Slider()
    slider.hear(39_000, slider.send(1_000, 0), 10)  # others: 19,997 to 20,002
    number = slider.send(1_000, 1_000)
    assert slider.hear(38_001, number, 1_010) == 0  # 21,999 used; ours 1,996 to 2,004: others 19,994 to 20,003
    assert (slider.slider._others_low, slider.slider._others_high) == (19_997, 20_002)
    number = slider.send(1_000, 2_000)
    assert slider.hear(37_006, number, 2_010) == 0  # 22,994 used; ours 2,994 to 3,006: others 19,987 to 20,000
    assert (slider.slider._others_low, slider.slider._others_high) == (19_997, 20_000)


def test_others_who_take_less_than_believed_are_believed_to_from_the_answer_on() -> None:
    slider = Slider()
    slider.hear(39_000, slider.send(1_000, 0), 10)
    number = slider.send(1_000, 1_000)
    assert slider.hear(58_000, number, 1_010) == 19_997 - 4  # 2,000 used; ours 1,996 to 2,004
    assert slider.interval(1_010) == (CAPACITY - 2_004 - 4, CAPACITY - 1_996)
    assert slider.slider.corrections == 2


def test_others_who_have_given_less_than_nothing_do_not_make_more_than_all() -> None:
    slider = Slider()
    number = slider.send(1_000, 0)
    assert slider.hear(CAPACITY, number, 10) == 998  # the server has counted nothing
    assert slider.interval(10) == (CAPACITY - 1_002, CAPACITY - 998)


def test_calls_sent_within_a_way_of_ours_may_have_come_on_either_side() -> None:
    slider = Slider()
    slider.send(2_000, 0)  # more than a way before: it had come in
    slider.send(1_000, 50)
    number = slider.send(400, 120)
    slider.send(500, 200)
    slider.send(3_000, 221)  # more than a way later: it had not
    used = 2_000 + 1_000 + 400 + 500
    assert slider.hear(CAPACITY - used, number, 300) == 0  # both on the same side as ours: others 0
    assert (slider.slider._others_low, slider.slider._others_high) == (0, 0)
    assert slider.slider.corrections == 0


@pytest.mark.parametrize(("used", "agrees"), [(2_393, False), (2_394, True), (3_907, True), (3_908, False)])
def test_what_ours_may_count_lies_between_all_that_must_have_come_and_all_that_may(used: int, *, agrees: bool) -> None:
    slider = Slider()
    slider.send(2_000, 0)
    slider.send(1_000, 50)
    number = slider.send(400, 120)
    slider.send(500, 200)
    # At least 1,998 + 998 + 398 less the 1,000, which may be still to come;
    # at most 2,002 + 1,002 + 402 + 500, and one of rounding.
    assert (slider.hear(CAPACITY - used, number, 300) == 0) == agrees


def test_an_answer_in_the_wrong_order_is_weighed_with_what_counted_when_its_call_was_sent() -> None:
    slider = Slider()
    early = slider.send(1_000, 0)
    late = slider.send(1_000, 5_000)
    assert slider.hear(CAPACITY - 2_000, late, 5_010) == 0
    assert slider.hear(CAPACITY - 1_000, early, 9_000) == 0
    assert slider.slider.corrections == 0


def test_an_answer_is_heard_once() -> None:
    slider = Slider()
    number = slider.send(1_000, 0)
    assert slider.hear(59_000, number, 10) == 0
    assert slider.hear(10, number, 20) is None


def test_the_answer_to_a_call_whose_neighbours_are_forgotten_tells_a_sliding_window_nothing() -> None:
    slider = Slider()
    number = slider.send(1_000, 0)
    for _ in range(2 * SENDS_MAX):
        slider.sends.append(1, 1)
    assert slider.hear(10, number, 20) is None


def test_no_more_calls_are_remembered_than_may_be() -> None:
    slider = Slider()
    for number in range(REMEMBERED_MAX + 1):
        slider.slider.pay(1, number, number)
    assert len(slider.slider._sent) == REMEMBERED_MAX
    assert min(slider.slider._sent) == 1


def test_a_refused_call_counts_no_more() -> None:
    slider = Slider()
    slider.send(500, 0)
    number = slider.send(10_000, 150)
    slider.sends.strike(number)
    slider.slider.refused(10_000, number, 300)
    assert slider.interval(300) == (CAPACITY - 502, CAPACITY - 498)
    assert slider.hear(CAPACITY - 500, number, 310) == 0
    assert slider.interval(310) == (CAPACITY - 502, CAPACITY - 498)


def test_a_refused_call_of_next_to_nothing_gives_back_no_more_than_was_paid() -> None:
    slider = Slider()
    slider.send(500, 0)
    number = slider.send(1, 0)
    slider.slider.refused(1, number, 10)
    assert slider.interval(10) == (CAPACITY - 502, CAPACITY - 498)


def test_a_sliding_limit_is_followed_at_once() -> None:
    slider = Slider()
    number = slider.send(1_000, 0)
    assert slider.slider.follow(90_000, MINUTE, number, 0)
    assert slider.interval(0) == (90_000 - 1_002, 90_000 - 998)
    assert slider.hear(89_000, number, 10) == 0


def test_once_calls_are_dearer_a_sliding_window_counts_them_again() -> None:
    slider = Slider()
    number = slider.send(1_000, 0)
    slider.sends.reprice(1_700_000, 1_000_000)
    slider.slider.repriced(slider.sends)
    assert slider.interval(0)[0] == CAPACITY - 1_700 - ROUNDING_TOKENS
    assert slider.hear(CAPACITY - 1_700, number, 10) == 0


def test_a_sliding_window_of_which_nothing_was_sent_counts_nothing_again() -> None:
    slider = Slider()
    slider.slider.repriced(slider.sends)
    assert slider.interval(0) == (CAPACITY, CAPACITY)


def test_a_refused_call_that_is_not_remembered_gives_nothing_back() -> None:
    slider = Slider()
    number = slider.send(1_000, 0)
    slider.hear(CAPACITY - 1_000, number, 10)
    before = slider.interval(20)
    slider.slider.refused(500, number, 20)
    assert slider.interval(20) == before
