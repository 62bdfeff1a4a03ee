"""One limit of input tokens or images: what its calls take, and what of it is known."""

from dataclasses import replace

import pytest

from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.budget.side_limit import IMAGE_UNITS, IMAGES, SideLimit
from tests.unit.core.budget.test_side_limits import PER_MINUTE, Limit, carries, names


@pytest.mark.parametrize(("kind", "mean"), [("input-tokens", 2_000), (IMAGES, 2 * IMAGE_UNITS)])
def test_the_mean_is_that_of_the_last_calls(kind: str, mean: int) -> None:
    limit = SideLimit(kind, SentCalls())
    assert limit.mean == 0, "no call has been sent"
    for number, tokens in enumerate((1_000, 3_000)):
        limit.record_send(carries(tokens, images=tokens // 1_000), number, None, number)
    assert (limit.mean, limit.mean) == (mean, mean), "kept until a call is sent or given back"
    limit.give_back(1, 10, untaken=False)
    assert limit.mean == mean // 4, "a refused call counts as nothing"


def test_calls_that_carry_nothing_of_it_are_neither_paid_nor_given_back_and_never_wait() -> None:
    limit = SideLimit(IMAGES, SentCalls())
    limit.record_send(carries(1_000), 0, None, 0)
    limit.give_back(0, 10, untaken=False)
    assert limit.mean == 0
    assert not list(limit.buckets)
    limit.rests_until_ms = 60_000
    assert limit.payable_at(limit.amount(carries(1_000)), 0, 20) == 20
    assert limit.payable_at(limit.amount(carries(1_000, images=1)), 0, 20) == 60_000


def test_a_refusal_that_does_not_say_what_is_left_leaves_nothing() -> None:
    heard = names("input-tokens", used=0, requested=1_000)
    assert heard.side_limit is not None
    limits = [Limit(), Limit()]
    limits[0].call(carries(1_000), 0, heard)
    limits[1].call(carries(1_000), 0, replace(heard, side_limit=replace(heard.side_limit, used=None)))
    assert limits[0].left(500) == pytest.approx(PER_MINUTE, abs=100)
    assert limits[1].left(500) == pytest.approx(0, abs=10)
