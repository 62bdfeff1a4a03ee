from broker.core.charge import Prices
from broker.core.reading import Metric
from broker.core.sends import SENDS_MAX, Sends


def test_calls_are_numbered_in_the_order_they_are_sent() -> None:
    sends = Sends()
    assert [sends.append(10, 400), sends.append(20, 500)] == [0, 1]
    assert sends.sent_ms == [10, 20]
    assert sends.amounts == {Metric.TOKENS: [400, 500], Metric.REQUESTS: [1, 1]}


def test_the_oldest_calls_are_forgotten_and_the_rest_keep_their_numbers() -> None:
    sends = Sends()
    numbers = [sends.append(now, now) for now in range(2 * SENDS_MAX + 1)]
    assert numbers == list(range(2 * SENDS_MAX + 1))
    assert len(sends.sent_ms) == SENDS_MAX + 1
    assert sends.place(SENDS_MAX - 1) is None
    assert sends.place(SENDS_MAX) == 0
    assert sends.sent_ms[0] == SENDS_MAX


def test_a_struck_call_took_nothing_and_striking_a_forgotten_one_is_nothing() -> None:
    sends = Sends()
    for now in range(2 * SENDS_MAX + 1):
        sends.append(now, 7)
    sends.strike(0)
    sends.strike(SENDS_MAX + 1)
    assert sends.amounts[Metric.TOKENS][:3] == [7, 0, 7]
    assert sends.amounts[Metric.REQUESTS][:3] == [1, 0, 1]


def test_repricing_rounds_up_and_leaves_what_took_nothing() -> None:
    sends = Sends()
    sends.append(0, 3)
    sends.append(0, 10)
    sends.strike(1)
    sends.reprice(1_700_000, 1_000_000)
    assert sends.amounts[Metric.TOKENS] == [6, 0]


def test_another_law_reprices_what_our_laws_have_priced_and_took_something() -> None:
    sends = Sends()
    sends.append(0, 100, prices=Prices.flat(100))
    sends.append(0, 200)  # the server's own word
    sends.strike(sends.append(0, 300, prices=Prices.flat(300)))
    sends.reprice_by(lambda prices: 2 * prices.tokens[0])
    assert sends.amounts[Metric.TOKENS] == [200, 200, 0]
    for now in range(2 * SENDS_MAX):
        sends.append(now, now)
    sends.reprice_by(lambda prices: prices.tokens[0])
    assert max(sends.amounts[Metric.TOKENS]) == 2 * SENDS_MAX - 1
