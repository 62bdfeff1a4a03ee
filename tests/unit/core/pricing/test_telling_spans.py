"""The span that tells most of the laws, of spans that leave this or that law."""

from collections.abc import Iterator
from dataclasses import replace

from headrace.broker.core.pricing.debit_history import DebitSpan
from headrace.broker.core.pricing.telling_spans import Columns, fitting_laws, most_telling, overcharges

FIGURE = 10_000
EACH: Columns = [0, 1, 2]


def span(calls: int, *off: int) -> DebitSpan:
    """A span of so many calls in which each law predicts the figure, or misses it by the tokens that it is `off`."""

    def predicted(column: int) -> tuple[int, int]:
        return FIGURE - off[column], FIGURE - off[column]

    return DebitSpan(-1, calls - 1, calls, FIGURE, predicted)


def test_without_a_span_nothing_is_known_of_any_law() -> None:
    assert most_telling([], EACH) == (None, [None, None, None])


def test_a_longer_span_that_leaves_fewer_laws_tells_more() -> None:
    short, long = span(1, 0, 0, 500), span(2, 0, 300, 900)
    assert most_telling([short, long], EACH) == (long, [0, 300, 900])


def test_a_longer_span_that_leaves_as_many_laws_tells_no_more() -> None:
    short, long = span(1, 0, 0, 500), span(2, 0, 0, 900)
    assert most_telling([short, long], EACH)[0] is short


def test_a_longer_span_that_contradicts_a_shorter_one_tells_nothing() -> None:
    short = span(1, 0, 0, 500)
    for longer in (span(2, 500, 500, 0), span(2, 0, 500, 0), span(2, 500, 500, 500)):
        assert most_telling([short, longer], EACH)[0] is short


def test_after_a_span_that_contradicts_a_still_longer_one_may_tell() -> None:
    """Other clients' spending may lie in one span, and the delays of two calls in another."""
    short, wrong, long = span(1, 0, 0, 500), span(2, 500, 500, 500), span(4, 900, 0, 900)
    assert most_telling([short, wrong, long], EACH) == (long, [900, 0, 900])


def test_what_is_told_by_a_span_that_no_law_fits_is_how_far_each_is_off() -> None:
    only, longer = span(1, 300, -400, 500), span(2, 0, 0, 0)
    assert most_telling([only, longer], EACH) == (only, [300, -400, 500])


def test_no_longer_span_is_examined_once_a_single_law_is_left() -> None:
    """Each costs more than the one before."""
    examined = []

    def spans() -> Iterator[DebitSpan]:
        for each in (span(1, 0, 0, 500), span(2, 0, 300, 900), span(4, 0, 600, 1_800)):
            examined.append(each.calls)
            yield each

    most_telling(spans(), EACH)
    assert examined == [1, 2]


def test_a_law_without_charges_in_the_history_neither_fits_nor_misfits() -> None:
    columns: Columns = [0, None, 1]
    short, long = span(1, 0, 0), span(2, 300, 0)
    assert most_telling([short, long], columns) == (long, [300, None, 0])
    assert (fitting_laws(short, columns), fitting_laws(long, columns)) == ({0, 2}, {2})


def test_a_law_that_is_off_by_what_is_rounded_fits() -> None:
    assert fitting_laws(span(3, 6, 7, -7), EACH) == {0}, "two tokens a call"


def test_a_law_overcharges_by_the_first_span_alone() -> None:
    assert overcharges([span(1, 5_000), span(2, 0)], 0)
    assert not overcharges([span(1, 0), span(2, 5_000)], 0)
    assert not overcharges([span(1, -5_000)], 0)
    assert not overcharges([], 0)


def test_a_span_that_only_bounds_what_was_charged_supports_no_law() -> None:
    """Before: where it refuted the dearest law, the others seemed to fit it, and the dearest of them was believed."""
    bound = replace(span(1, 500, 0, 0), bounds=True)
    assert most_telling([bound], EACH) == (bound, [500, None, None])
    assert fitting_laws(bound, EACH) == set()
