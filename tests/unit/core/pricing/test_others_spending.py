"""Which spans count against a law that is known and falls short of them."""

from headrace.broker.core.pricing.debit_history import DebitSpan
from headrace.broker.core.pricing.others_spending import OthersSpending


def span(start: int, end: int) -> DebitSpan:
    return DebitSpan(start, end, end - start, 0, lambda _: (0, 0))


SHORT: list[int | None] = [-50, 0, 40, -10]  # the believed law falls short, the second fits, the third is too dear
TOO_DEAR = [None, None, 40, None]


def test_a_law_that_fits_or_charges_too_much_is_judged_by_every_span() -> None:
    others = OthersSpending()
    for excesses in ([0, 0], [30, 0], [None, 0]):
        assert others.unspent(span(0, 9), list(excesses), 0) == excesses
        assert others.unspent(None, list(excesses), 0) == excesses


def test_of_overlapping_spans_that_it_falls_short_of_one_counts() -> None:
    others = OthersSpending()
    assert others.unspent(span(0, 9), SHORT, 0) == SHORT
    assert others.unspent(span(8, 17), [-50, 3, 40, 0], 0) == [None, 3, 40, None]
    assert others.unspent(span(9, 18), [-50, 3, 0, 5], 0) == [-50, 3, 0, 5], (
        "that begins after the last one that counted"
    )
    assert others.unspent(None, SHORT, 0) == TOO_DEAR


def test_all_count_once_another_law_has_fitted_each_for_as_long_as_a_span_is() -> None:
    """Before: of a window of ten seconds one span in twenty counted, so that a change was noticed after a minute."""
    others = OthersSpending()
    counts = [others.unspent(span(end - 10, end), SHORT, 0) == SHORT for end in range(20, 60)]
    assert [20 + place for place, counted in enumerate(counts) if counted] == [20, *range(30, 60)]


def test_an_answer_that_was_overtaken_lets_no_later_span_count() -> None:
    others = OthersSpending()
    for start, end in ((0, 9), (9, 18), (9, 16)):
        assert others.unspent(span(start, end), SHORT, 0) == SHORT
    assert others.unspent(span(16, 20), [-50, -3, 40, -10], 0) == TOO_DEAR, "it begins before 18"


def test_one_span_that_no_other_law_fits_begins_the_time_anew() -> None:
    others = OthersSpending()
    for end in (20, 24):
        others.unspent(span(end - 10, end), SHORT, 0)
    assert others.unspent(span(17, 27), [-50, -3, 40, -10], 0) == TOO_DEAR
    counts = [others.unspent(span(end - 10, end), SHORT, 0) == SHORT for end in range(28, 45)]
    assert [28 + place for place, counted in enumerate(counts) if counted] == [30, *range(38, 45)]
    assert others.unspent(span(45, 46), [0, 0, 40, -10], 0) == [0, 0, 40, -10]
    assert others.unspent(span(40, 47), SHORT, 0) == TOO_DEAR, "the believed law has fitted one meanwhile"
