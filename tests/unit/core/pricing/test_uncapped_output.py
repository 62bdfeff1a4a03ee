import pytest

from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.laws import PRICE_MAX
from headrace.broker.core.pricing.output_lengths import OutputLengths
from headrace.broker.core.pricing.uncapped_output import UncappedOutput


def uncapped(*outputs: int) -> UncappedOutput:
    lengths = OutputLengths()
    for output in outputs:
        lengths.record(output)
    return UncappedOutput(lengths)


def test_before_anything_is_known_a_call_costs_what_its_body_costs() -> None:
    assert [uncapped().applied(law, 100, 1) for law in Law] == [100] * len(Law)


def test_documented_takes_the_output_for_as_long_as_recent_ones() -> None:
    learned = uncapped(500)
    assert learned.applied(Law.DOCUMENTED, 100, 3) == 500, "an output counts all answers of its call"
    assert learned.applied(Law.DOCUMENTED, 900, 1) == 900
    assert learned.applied(Law.CHAT_LEGACY, 100, 1) == 100, "of that law the size is recorded"
    assert learned.applied(Law.USAGE, 100, 1) == 100


def test_a_refusal_that_states_its_charge_tells_the_size_of_each_answer() -> None:
    learned = uncapped(500)
    assert learned.record_stated(Law.DOCUMENTED, 100, 2, 32_768)
    assert learned.applied(Law.DOCUMENTED, 100, 1) == 16_384
    assert learned.applied(Law.DOCUMENTED, 90_000, 1) == 90_000


def test_a_law_that_adds_the_cap_to_the_input_takes_what_stands_in_its_place_instead_of_16() -> None:
    learned = uncapped()
    assert learned.record_stated(Law.CHAT_LEGACY, 100 + 2 * 16, 2, 100 + 2 * 4_000)
    assert learned.applied(Law.CHAT_LEGACY, 300 + 16, 1) == 300 + 4_000


@pytest.mark.parametrize(("law", "requested"), [(Law.USAGE, 900), (None, 900), (Law.DOCUMENTED, 100)])
def test_a_charge_that_needs_no_such_size_teaches_none(law: Law | None, requested: int) -> None:
    learned = uncapped()
    assert not learned.record_stated(law, 100, 1, requested)
    assert learned.applied(Law.DOCUMENTED, 100, 1) == 100


def test_an_absurd_charge_is_bounded() -> None:
    learned = uncapped()
    learned.record_stated(Law.DOCUMENTED, 100, 1, 10**400)
    assert learned.applied(Law.DOCUMENTED, 100, 10**12) == PRICE_MAX


def test_prices_depend_on_the_size_by_the_laws_that_charge_a_cap() -> None:
    learned = uncapped(500)
    assert [learned.size(law) for law in (Law.DOCUMENTED, Law.CHAT_LEGACY, Law.USAGE, None)] == [500, 0, 0, 0]
    learned.record_stated(Law.DOCUMENTED, 100, 1, 900)
    assert learned.size(Law.DOCUMENTED) == 900
