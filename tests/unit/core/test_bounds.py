from headrace.broker.core import bounds
from headrace.broker.core.config import LeaseTimes


def test_every_bound_is_a_positive_whole_number() -> None:
    named = {name: value for name, value in vars(bounds).items() if name.isupper()}
    assert len(named) >= 15
    assert {name: value for name, value in named.items() if not isinstance(value, int) or value <= 0} == {}


def test_an_outcome_and_what_lies_around_it_fit_a_topic_of_one_mebibyte() -> None:
    assert bounds.OUTCOME_BYTES_MAX + bounds.CALL_RESERVE_BYTES <= 1024 * 1024


def test_a_probe_comes_while_the_last_one_still_proves() -> None:
    assert LeaseTimes().proof_ms > bounds.PROBE_EVERY_MS
