import pytest

from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.debit_history import DebitSpan
from headrace.broker.core.pricing.laws import LEGACY_OUTPUT_TOKENS, PRICE_MAX, Prices
from headrace.broker.core.pricing.output_lengths import OutputLengths
from headrace.broker.core.pricing.uncapped_output import FIRST_MAX, UncappedOutput


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


def test_an_output_whose_template_is_known_is_as_long_as_that_ones() -> None:
    own, learned = OutputLengths(), uncapped(500)
    own.record(40)
    assert [learned.applied(Law.DOCUMENTED, 30, 1, lengths) for lengths in (own, None)] == [40, 500]
    learned.record_stated(Law.DOCUMENTED, 30, 1, 16_384)
    assert learned.applied(Law.DOCUMENTED, 30, 1, own) == 16_384, "a server's figure holds for all"


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
    assert learned.applied(Law.DOCUMENTED, 100, 1) == FIRST_MAX
    assert learned.applied(Law.DOCUMENTED, 100, 10**12) == PRICE_MAX
    known = uncapped()
    known.record_stated(Law.DOCUMENTED, 100, 1, 4_000)
    known.record_stated(Law.DOCUMENTED, 100, 1, 10**400)
    assert known.applied(Law.DOCUMENTED, 100, 1) <= 4 * 4_000 + 1_000


def test_prices_depend_on_the_size_by_the_laws_that_charge_a_cap() -> None:
    learned = uncapped(500)
    assert [learned.size(law) for law in (Law.DOCUMENTED, Law.CHAT_LEGACY, Law.USAGE, None)] == [500, 0, 0, 0]
    learned.record_stated(Law.DOCUMENTED, 100, 1, 900)
    assert learned.size(Law.DOCUMENTED) == 900


def test_a_charge_near_the_bodys_own_is_an_error_in_its_input() -> None:
    learned = uncapped()
    assert not learned.record_stated(Law.DOCUMENTED, 25_001, 1, 25_600)
    assert learned.applied(Law.DOCUMENTED, 101, 1) == 101


@pytest.mark.parametrize(
    ("law", "large", "charged"), [(Law.DOCUMENTED, 12_000, 16_384), (Law.CHAT_LEGACY, 12_016, 28_384)]
)
def test_a_known_size_explains_the_charge_of_a_large_body_too(law: Law, large: int, charged: int) -> None:
    learned, shown = uncapped(), LEGACY_OUTPUT_TOKENS if law is Law.CHAT_LEGACY else 0
    learned.record_stated(law, 100 + shown, 1, 16_384 + (100 if shown else 0))
    assert learned.record_stated(law, large, 1, charged)
    assert learned.applied(law, large, 1) == charged


def test_a_stated_charge_that_leaves_no_room_for_the_size_disproves_it() -> None:
    learned = uncapped()
    learned.record_stated(Law.DOCUMENTED, 100, 1, 16_384)
    assert not learned.record_stated(Law.DOCUMENTED, 100, 1, 100)
    assert not learned.stated
    assert learned.applied(Law.DOCUMENTED, 100, 1) == 100


def taking(tokens: int, *, calls: int = 1, plain: int = 101) -> DebitSpan:
    """The span of a call that took `tokens`, from a full bucket of 60,000."""
    return DebitSpan(0, 1, calls, 60_000 - tokens, lambda _: (60_000 - plain - 5, 60_000 - plain + 5))


PLAIN = Prices("chat.completions", (Law.DOCUMENTED,), (101,), uncapped=1)


def test_calls_that_took_less_than_the_size_disprove_it() -> None:
    learned = uncapped()
    learned.record_stated(Law.DOCUMENTED, 101, 1, 16_384)
    learned.record_admission(Law.DOCUMENTED, PLAIN, taking(101))
    assert learned.stated, "one figure alone may be stale"
    learned.record_admission(Law.DOCUMENTED, PLAIN, taking(16_384))
    learned.record_admission(Law.DOCUMENTED, PLAIN, taking(101))
    assert learned.stated
    learned.record_admission(Law.DOCUMENTED, PLAIN, taking(101))
    assert not learned.stated
    learned.record_admission(Law.DOCUMENTED, PLAIN, taking(101))
    assert learned.applied(Law.DOCUMENTED, 101, 1) == 101


def test_calls_that_took_part_of_the_size_lower_it_to_that() -> None:
    learned = uncapped()
    learned.record_stated(Law.DOCUMENTED, 101, 1, 30_000)
    for _ in range(2):
        learned.record_admission(Law.DOCUMENTED, PLAIN, taking(16_384))
    assert 16_384 <= learned.applied(Law.DOCUMENTED, 101, 1) < 16_400


@pytest.mark.parametrize(("law", "span"), [(None, taking(101)), (Law.USAGE, taking(101)), (Law.DOCUMENTED, None)])
def test_what_shows_nothing_of_a_charged_cap_disproves_no_size(law: Law | None, span: DebitSpan | None) -> None:
    learned = uncapped()
    learned.record_stated(Law.DOCUMENTED, 101, 1, 16_384)
    for _ in range(5):
        learned.record_admission(law, PLAIN, span)
    assert learned.size(Law.DOCUMENTED) == 16_384
