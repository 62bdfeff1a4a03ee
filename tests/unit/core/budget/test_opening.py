import pytest

from headrace.broker.core.budget.burst_control import SILENCE_MS
from headrace.broker.core.budget.opening import SMALL_TOKENS, FirstCalls
from headrace.broker.core.budget.reservation import Reservation


def flight(sent_ms: int, lane_order: int = 1) -> Reservation:
    return Reservation(
        0, 400, 400, stated=False, sent_ms=sent_ms, burst=0, endpoint="", unsettled=0, lane_order=lane_order
    )


def may_call_at(
    opening: FirstCalls,
    *flights: Reservation,
    spent: int = 0,
    paid: int = 1,
    reserved_ppm: int = 0,
    lane_order: int = 1,
) -> int | None:
    return opening.may_call_at(
        flights, spent=spent, paid=paid, reserved_ppm=reserved_ppm, lane_order=lane_order, now_ms=10_000
    )


def test_the_first_call_goes_whatever_it_costs_and_whatever_was_refused_before() -> None:
    opening = FirstCalls(None)
    opening.refused = True
    assert may_call_at(opening, paid=10**9) == 10_000


@pytest.mark.parametrize(("tokens", "part"), [(60_000, 15_000), (None, SMALL_TOKENS)])
def test_a_small_part_may_be_spent_and_not_a_token_more(tokens: int | None, part: int) -> None:
    opening, sent = FirstCalls(tokens), flight(9_900)
    assert may_call_at(opening, sent, spent=part - 100, paid=100) == 9_900 + SILENCE_MS
    assert may_call_at(opening, sent, spent=part - 100, paid=101) is None


@pytest.mark.parametrize(("tokens", "rest"), [(60_000, 12_000), (None, SMALL_TOKENS * 19 // 20)])
def test_others_share_of_it_is_kept(tokens: int | None, rest: int) -> None:
    opening, sent = FirstCalls(tokens), flight(0)
    assert may_call_at(opening, sent, paid=rest, reserved_ppm=50_000) is not None
    assert may_call_at(opening, sent, paid=rest + 1, reserved_ppm=50_000) is None


def test_another_goes_once_the_server_had_time_to_refuse_the_oldest_or_of_an_untold_size_the_last() -> None:
    sent = flight(9_000), flight(9_900)
    assert may_call_at(FirstCalls(60_000), *sent) == 9_000 + SILENCE_MS
    assert may_call_at(FirstCalls(None), *sent) == 9_900 + SILENCE_MS


@pytest.mark.parametrize("tokens", [60_000, None])
def test_a_request_above_every_call_in_flight_goes_at_once_if_it_is_small_and_else_after_silence(
    tokens: int | None,
) -> None:
    opening = FirstCalls(tokens)
    assert may_call_at(opening, flight(9_990, 2), lane_order=1) == 10_000
    assert may_call_at(opening, flight(9_990, 2), lane_order=1, paid=20_000) == 9_990 + SILENCE_MS
    assert may_call_at(opening, flight(9_000, 3), flight(9_990, 2), lane_order=1) == 9_990 + SILENCE_MS
    assert may_call_at(opening, flight(9_000, 1), flight(9_990, 2), lane_order=1, paid=20_000) is None


def test_a_refusal_ends_it_but_for_the_part_of_a_size_that_the_operator_has_told() -> None:
    for opening in (FirstCalls(None), FirstCalls(60_000)):
        opening.refused = True
        assert may_call_at(opening, flight(0, 2), lane_order=1, paid=20_000) is None
    assert may_call_at(FirstCalls(60_000), flight(0), paid=100) == SILENCE_MS
    opening = FirstCalls(None)
    opening.refused = True
    assert may_call_at(opening, flight(0)) is None
