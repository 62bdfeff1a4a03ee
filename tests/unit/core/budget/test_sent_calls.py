import pytest

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.budget.admission_delay import DELAY_MAX_MS, REFUSALS_MIN
from headrace.broker.core.budget.sent_calls import RECENT, REPRICED_MAX, SENDS_MAX, AdmissionOrder, SentCalls
from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.laws import Prices, RequestSize, prices
from headrace.broker.core.pricing.references import Reference, ReferenceKind

SIZE = RequestSize(400, 1, 1, 0, None, 100, function_tools=False, embedding_tokens=None)
WAY_MS = 100


def test_calls_are_numbered_in_the_order_they_are_sent() -> None:
    sends = SentCalls()
    assert [sends.append(10, 400), sends.append(20, 500)] == [0, 1]
    assert sends.sent_ms == [10, 20]
    assert sends.amounts == {LimitMetric.TOKENS: [400, 500], LimitMetric.REQUESTS: [1, 1]}


def test_the_oldest_calls_are_forgotten_and_the_rest_keep_their_numbers() -> None:
    sends = SentCalls()
    numbers = [sends.append(now, now) for now in range(2 * SENDS_MAX + 1)]
    assert numbers == list(range(2 * SENDS_MAX + 1))
    assert len(sends.sent_ms) == SENDS_MAX + 1
    assert sends.index_of(SENDS_MAX - 1) is None
    assert sends.index_of(SENDS_MAX) == 0
    assert sends.sent_ms[0] == SENDS_MAX


def test_what_was_sent_since_an_instant_is_known_of_each_metric() -> None:
    sends = SentCalls()
    for now in (10, 20, 20, 30):
        sends.append(now, 400)
    assert [sends.sent_since(LimitMetric.TOKENS, since) for since in (0, 11, 20, 31)] == [1_600, 1_200, 1_200, 0]
    assert sends.sent_since(LimitMetric.REQUESTS, 20) == 3
    spans = ((0, 11), (10, 10), (10, 20), (11, 31), (20, 99))
    since = sends.sent_since
    assert [sends.sent_between(LimitMetric.TOKENS, *span) for span in spans] == [
        since(LimitMetric.TOKENS, begin) - since(LimitMetric.TOKENS, end) for begin, end in spans
    ]


def test_a_struck_call_took_nothing_and_striking_a_forgotten_one_is_nothing() -> None:
    sends = SentCalls()
    for now in range(2 * SENDS_MAX + 1):
        sends.append(now, 7)
    assert sends.strike(0) is None
    assert sends.strike(SENDS_MAX + 1) == 7
    assert sends.amounts[LimitMetric.TOKENS][:3] == [7, 0, 7]
    assert sends.amounts[LimitMetric.REQUESTS][:3] == [1, 0, 1]


def test_repricing_rounds_up_and_leaves_what_took_nothing() -> None:
    sends = SentCalls()
    sends.append(0, 3)
    sends.append(0, 10)
    sends.strike(1)
    sends.reprice(1_700_000, 1_000_000)
    assert sends.amounts[LimitMetric.TOKENS] == [6, 0]


def test_another_law_reprices_what_our_laws_have_priced_and_took_something() -> None:
    sends = SentCalls()
    sends.append(0, 100, prices=Prices.flat(100))
    sends.append(0, 200)  # the server's own word
    sends.strike(sends.append(0, 300, prices=Prices.flat(300)))
    sends.reprice_by(lambda prices: 2 * prices.tokens[0])
    assert sends.amounts[LimitMetric.TOKENS] == [200, 200, 0]
    for now in range(2 * SENDS_MAX):
        sends.append(now, now)
    sends.reprice_by(lambda prices: prices.tokens[0])
    assert max(sends.amounts[LimitMetric.TOKENS]) == 2 * SENDS_MAX - 1


def heard(sends: SentCalls, number: int, now_ms: int) -> AdmissionOrder:
    return sends.admission_order(number, sends.sent_ms[number], now_ms, WAY_MS)


def early(sends: SentCalls, number: int, now_ms: int) -> tuple[int, int, int]:
    hearing = heard(sends, number, now_ms)
    return sends.sent_ms[hearing.early] - hearing.ahead_ms, hearing.early, hearing.stop


def test_what_was_sent_within_a_way_of_a_call_may_have_come_on_either_side_of_it() -> None:
    sends = SentCalls()
    for now in (0, 50, 51, 150, 250, 251):
        sends.append(now, 1, 0)
    hearing = heard(sends, 3, 600)
    assert (hearing.index, hearing.first, hearing.last) == (3, 2, 5)


def test_what_was_answered_when_a_call_was_sent_came_before_it() -> None:
    sends = SentCalls()
    for oldest_open in (None, 0, 2, 2):
        sends.append(0, 1, oldest_open)
    assert [heard(sends, number, 600).first for number in range(4)] == [0, 0, 2, 2]


def test_a_call_was_admitted_by_the_time_its_answer_came_and_perhaps_only_then() -> None:
    sends = SentCalls()
    for now in (0, 40, 40, 60, 80):
        sends.append(now, 1, 0)
    assert early(sends, 3, 140) == (40, 1, 3)  # a way before the answer
    assert early(sends, 3, 161) == (60, 3, 4)  # the answer came late: its sending
    assert early(sends, 2, 900) == (40, 1, 3)


def test_what_came_before_a_call_for_certain_is_not_looked_at_again() -> None:
    sends = SentCalls()
    for oldest_open in (None, 1, 2, 3):
        sends.append(0, 1, oldest_open)
    around = {"index": 3, "since": 3, "first": 3, "last": 4, "early": 3, "stop": 4, "ahead_ms": 0}
    assert heard(sends, 3, 600) == AdmissionOrder(3, 0, 600, WAY_MS, **around)


def test_a_call_that_is_forgotten_has_nothing_around_it() -> None:
    sends = SentCalls()
    for now in range(2 * SENDS_MAX + 1):
        sends.append(now, 7)
    nothing = AdmissionOrder(SENDS_MAX - 1, SENDS_MAX - 1, 9_000, WAY_MS, index=-1)
    assert sends.admission_order(SENDS_MAX - 1, SENDS_MAX - 1, 9_000, WAY_MS) == nothing


def test_no_way_takes_no_time() -> None:
    sends = SentCalls()
    with pytest.raises(AssertionError, match="time"):
        sends.admission_order(sends.append(0, 1), 0, 1, 0)


def test_what_was_spent_since_a_call_leaves_it_out_and_what_was_sent_later() -> None:
    sends = SentCalls()
    for number in range(6):
        sends.append(10 * number, 1 << number)
    assert sends.spent_since(1, 40) == 4 + 8 + 16
    assert sends.spent_since(1, 39) == 4 + 8
    assert sends.spent_since(5, 1_000) == 0
    assert sends.spent_since(3, 20) == 0, "it was sent after that instant"


def test_of_a_forgotten_call_all_that_is_still_known_was_spent_since() -> None:
    sends = SentCalls()
    for now in range(2 * SENDS_MAX + 1):
        sends.append(now, 1)
    assert sends.spent_since(5, 2 * SENDS_MAX) == SENDS_MAX + 1


def test_the_tokens_of_the_last_calls_are_summed() -> None:
    sends = SentCalls()
    assert sends.recent_tokens() == 0
    sends.append(0, 10**9)
    for number in range(RECENT):
        assert sends.recent_tokens() == 10**9 + number
        sends.append(number, 1)
    assert sends.recent_tokens() == RECENT
    sends.strike(RECENT)
    assert sends.recent_tokens() == RECENT - 1


def test_a_call_whose_answer_told_its_prices_is_counted_by_them() -> None:
    sends = SentCalls()
    number = sends.append(0, 400, prices=Prices.flat(400))
    assert sends.disclose(number, Prices.flat(9_000), 9_100) == -8_700
    assert sends.amounts[LimitMetric.TOKENS] == [9_100]
    sends.reprice_by(lambda prices: prices.tokens[0])
    assert sends.amounts[LimitMetric.TOKENS] == [9_000]
    for now in range(2 * SENDS_MAX):
        sends.append(now, 7)
    assert sends.disclose(number, Prices.flat(1), 1) is None


def test_calls_without_an_answer_are_priced_again_if_their_bodies_do_not_show_their_input() -> None:
    sends, named = SentCalls(), prices("responses", SIZE, Law.RESPONSES, (Reference(ReferenceKind.FILE, b"12345678"),))
    answered, plain = sends.append(0, 400, prices=named), sends.append(0, 400, oldest_open=1, prices=Prices.flat(400))
    struck = sends.append(0, 400, oldest_open=1, prices=named)
    numbers = [sends.append(0, amount, oldest_open=1, prices=named) for amount in (400, 900)]
    sends.strike(struck)
    assert sends.reprice_unanswered(lambda _: 900) == [(numbers[0], -500)]
    assert sends.amounts[LimitMetric.TOKENS] == [400, 400, 0, 900, 900]
    assert (answered, plain) == (0, 1)
    assert SentCalls().reprice_unanswered(lambda _: 1) == []


def test_of_very_many_calls_without_an_answer_the_newest_are_priced_again() -> None:
    sends, named = SentCalls(), prices("responses", SIZE, Law.RESPONSES, (Reference(ReferenceKind.FILE, b"12345678"),))
    for _ in range(REPRICED_MAX + 5):
        sends.append(0, 400, oldest_open=0, prices=named)
    assert [number for number, _ in sends.reprice_unanswered(lambda _: 1)] == [*range(5, REPRICED_MAX + 5)]


def test_what_is_remembered_has_its_prices_unless_it_was_not_charged_or_the_server_named_its_charge() -> None:
    sends, known = SentCalls(), prices("chat.completions", SIZE)
    for now_ms in range(3):
        sends.append(now_ms, 7, None if now_ms < 2 else 1, None if now_ms == 1 else known)
    sends.strike(0)
    assert list(sends.remembered()) == [(0, 0, None), (1, 1, None), (2, 1, known)]
    assert [sends.prices_of(number) for number in range(4)] == [known, None, known, None]


def test_what_is_forgotten_is_not_remembered_and_has_no_prices() -> None:
    sends, known = SentCalls(), prices("chat.completions", SIZE)
    for now_ms in range(2 * SENDS_MAX + 1):
        sends.append(now_ms, 7, None, known)
    assert next(sends.remembered()) == (SENDS_MAX, SENDS_MAX, known)
    assert [sends.prices_of(number) for number in (SENDS_MAX - 1, SENDS_MAX)] == [None, known]


def test_what_is_older_than_its_call_may_leave_out_what_was_sent_and_answered_before_it() -> None:
    sends = SentCalls()
    for now in (0, 50, 1_000, 1_900, 2_000, 2_050, 2_200):
        sends.append(now, 1)  # each is answered before the next is sent
    order = sends.admission_order(4, 2_000, 2_600, WAY_MS, age_ms=1_000)
    assert (order.age_ms, order.index, order.first, order.since, order.last) == (1_000, 4, 2, 3, 6)
    assert sends.admission_order(4, 2_000, 2_600, WAY_MS).since == 4


def test_longer_delays_would_have_let_later_calls_be_counted_and_kept_older_ones() -> None:
    sends = SentCalls()
    for number, sent_ms in enumerate((0, 500, 950, 1_500, 7_000, 7_050, 7_900, 8_500)):
        sends.append(sent_ms, 1 << number)
    order = sends.admission_order(4, 7_000, 9_000, WAY_MS)
    tokens = sends.counted_late(LimitMetric.TOKENS, order, 6_000)
    assert tokens == 1 + 2 + (1 << 6), "but the call at 950, which is counted by the delay known"
    assert sends.counted_late(LimitMetric.REQUESTS, order, 6_000) == 3
    for _ in range(REFUSALS_MIN):
        assert sends.delay_max_ms == DELAY_MAX_MS
        sends.record_refusal(400)
    assert sends.delay_max_ms == 500
    assert sends.counted_late(LimitMetric.TOKENS, order, 6_000) == 2, "the call at 500 alone"


def test_the_oldest_call_without_an_answer_is_known_unless_it_has_been_forgotten() -> None:
    sends = SentCalls()
    sends.append(5, 1)
    assert sends.oldest_open_ms(7) == 5, "itself"
    for number in range(1, 2 * SENDS_MAX):
        sends.append(5 + number, 1, oldest_open=3)
    assert sends.oldest_open_ms(9_000) == 8
    sends.append(9_000, 1, oldest_open=3)
    assert sends.oldest_open_ms(9_000) == 9_000, "forgotten"
