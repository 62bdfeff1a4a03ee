"""A mirror of a window that is shown by turns with another bucket: no answer need show that it has begun anew."""

from tests.unit.core.counters import CAPACITY, MARK, Counter


def test_a_new_window_that_no_answer_has_shown_is_on_trial_unless_it_is_taken_as_proven() -> None:
    for proven in (False, True):
        counter = Counter(left=0)
        if proven:
            counter.mirror.take_as_proven()
        assert counter.mirror._proven is proven
        counter.send(1_000, MARK + 1_000)
        assert counter.mirror.on_trial is not proven
        assert (counter.mirror.payable_at(CAPACITY // 2, 0, MARK + 1_000) == MARK + 1_000) is proven
