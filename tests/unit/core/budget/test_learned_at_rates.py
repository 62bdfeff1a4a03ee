"""What is known of a limit before its first call."""

from headrace.broker.core.budget.learned_at_rates import Learned


def test_before_the_first_call_nothing_is_capped_or_believed() -> None:
    learned = Learned.nothing(150)
    assert learned.silence_ms == 150
    assert not learned.caps.any
    assert learned.spending.last_sent_ms() is None
    assert not learned.waits.are_disproved
