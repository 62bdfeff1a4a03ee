"""Which chunks of a request count."""

from headrace.broker.gateway.shapes.attempt_order import AttemptOrder
from headrace.schemas.chunk import Chunk


def taken(*chunks: tuple[int, int]) -> list[tuple[int, int]]:
    """Those of (attempt, seq) that are taken, in the order of arrival."""
    order = AttemptOrder()
    return [each for each in chunks if order.takes(Chunk(id="a", term=1, attempt=each[0], seq=each[1]))]


def test_chunks_in_order_are_taken_and_repeats_are_not() -> None:
    assert taken((1, 0), (1, 0), (1, 1), (1, 0), (1, 2)) == [(1, 0), (1, 1), (1, 2)]


def test_nothing_is_taken_of_an_attempt_of_which_a_chunk_is_missing() -> None:
    assert taken((1, 0), (1, 2), (1, 1), (1, 3)) == [(1, 0)]
    assert taken((1, 1), (1, 2)) == []


def test_a_newer_attempt_is_taken_from_its_first_chunk_and_the_older_one_no_more() -> None:
    assert taken((1, 0), (1, 2), (2, 0), (1, 3), (2, 1)) == [(1, 0), (2, 0), (2, 1)]


def test_a_later_term_is_newer_whatever_the_number_of_its_attempt() -> None:
    order = AttemptOrder()
    assert order.takes(Chunk(id="a", term=1, attempt=2, seq=0))
    assert order.takes(Chunk(id="a", term=2, attempt=1, seq=0))
    assert not order.takes(Chunk(id="a", term=1, attempt=3, seq=0))
    assert order.takes(Chunk(id="a", run=1, term=1, attempt=1, seq=0))


def test_an_attempt_that_was_given_up_counts_again_only_as_a_new_one() -> None:
    order = AttemptOrder()
    assert order.takes(Chunk(id="a", term=1, attempt=1, seq=0))
    order.give_up()
    assert not order.takes(Chunk(id="a", term=1, attempt=1, seq=1))
    assert order.takes(Chunk(id="a", term=1, attempt=2, seq=0))
