"""How many tokens stand behind ids: by the bills of those very ids, else by those of their kind."""

import pytest

from headrace.broker.core.pricing.laws import PRICE_MAX
from headrace.broker.core.pricing.references import Reference, ReferenceKind
from headrace.broker.core.pricing.surplus import GROWTH_MAX, STEP_TOKENS
from headrace.broker.core.pricing.unshown_input import (
    FIRST_TOKENS,
    SHIFT_STEP_TOKENS,
    Bill,
    KnownReferences,
    UnshownInput,
)

RESPONSE, CONVERSATION, FILE, PROMPT = (
    ReferenceKind.RESPONSE,
    ReferenceKind.CONVERSATION,
    ReferenceKind.FILE,
    ReferenceKind.PROMPT,
)


def named(kind: ReferenceKind, number: int = 0) -> Reference:
    return Reference(kind, number.to_bytes(8, "big"))


def of_response(number: int) -> Reference:
    return named(RESPONSE, number)


def bill(kept: int, number: int | None = None) -> Bill:
    return Bill(kept, b"" if number is None else number.to_bytes(8, "big"))


@pytest.mark.parametrize("kind", ReferenceKind)
def test_the_first_of_a_kind_costs_a_figure_that_the_docs_state(kind: ReferenceKind) -> None:
    assert UnshownInput().estimate([named(kind)]) == FIRST_TOKENS[kind]
    assert UnshownInput().estimate([]) == 0


def test_a_response_carries_what_it_was_billed() -> None:
    unshown = UnshownInput()
    unshown.record_answer([], 0, bill(1_300, 1))
    assert unshown.estimate([of_response(1)]) == 1_300


def test_what_every_request_of_a_chain_repeats_is_not_paid_twice() -> None:
    """Instructions of 2,000 tokens: in the bill of the former response, and again in the body of the next request."""
    unshown, kept = UnshownInput(), 2_000 + 100 + 300
    unshown.record_answer([], 0, bill(kept, 1))
    for number in range(1, 6):
        carried = kept - 2_000
        if number > 1:
            assert unshown.estimate([of_response(number)]) == carried
        kept = carried + 2_000 + 100 + 300
        unshown.record_answer([of_response(number)], carried, bill(kept, number + 1))
    unshown.record_answer([], 0, bill(2_400, 99))
    assert unshown.estimate([of_response(99)]) == 400, "another chain begins as the last one went on"


def test_a_response_that_was_not_billed_here_costs_what_its_request_was_billed_and_is_known_from_then_on() -> None:
    unshown = UnshownInput()
    unshown.record_answer([of_response(7)], 30_000, bill(31_000, 8))
    assert unshown.estimate([of_response(7)]) == 30_000, "it may be branched from"
    assert unshown.estimate([of_response(8)]) == 31_000
    assert unshown.estimate([of_response(9)]) == min(30_000, GROWTH_MAX * 2_000 + STEP_TOKENS)


def test_a_conversation_grows_with_each_bill() -> None:
    unshown, conversation = UnshownInput(), named(CONVERSATION)
    unshown.record_answer([conversation], 0, bill(500, 1))
    assert unshown.estimate([conversation]) == 500
    unshown.record_answer([conversation], 500, bill(1_100, 2))
    assert unshown.estimate([conversation]) == 1_100
    assert unshown.estimate([of_response(2)]) == 1_100


def test_a_prompt_costs_what_its_own_calls_were_billed_and_another_one_what_its_kind_was() -> None:
    unshown = UnshownInput()
    for _ in range(4):
        unshown.record_answer([named(PROMPT, 1)], 3_000, bill(0))
    assert unshown.estimate([named(PROMPT, 1)]) == 3_000
    for _ in range(40):
        unshown.record_answer([named(PROMPT, 2)], 1_000, bill(0))
    assert unshown.estimate([named(PROMPT, 1)]) == 3_000
    assert 900 <= unshown.estimate([named(PROMPT, 3)]) < 2_000


def test_what_two_references_carry_together_is_split_as_they_were_expected_to_carry() -> None:
    unshown, files = UnshownInput(), [named(FILE, 1), named(FILE, 2)]
    unshown.record_answer(files[:1], 5_000, bill(0))
    unshown.record_answer(files, 7_000, bill(0))
    assert [unshown.estimate([file]) for file in files] == [5_000, 2_000]
    for _ in range(40):
        unshown.record_answer(files, 9_000, bill(0))
    assert unshown.estimate(files) == pytest.approx(9_000, abs=200)


def test_a_file_beside_a_known_response_takes_what_that_leaves() -> None:
    unshown = UnshownInput()
    unshown.record_answer([], 0, bill(1_000, 1))
    unshown.record_answer([of_response(1), named(FILE)], 4_500, bill(6_000, 2))
    assert unshown.estimate([named(FILE)]) == 3_500
    assert unshown.estimate([of_response(1)]) == 1_000
    assert unshown.estimate([of_response(2)]) == 6_000


def test_less_than_was_expected_lowers_estimates_to_nothing_at_most() -> None:
    unshown = UnshownInput()
    for _ in range(60):
        unshown.record_answer([named(FILE)], -700, bill(0))
    assert unshown.estimate([named(FILE)]) == 0


def test_one_absurd_bill_is_its_own_requests_and_no_other_ones() -> None:
    unshown = UnshownInput()
    unshown.record_answer([named(FILE, 1)], 10**400, bill(10**400, 1))
    assert unshown.estimate([named(FILE, 1)]) == PRICE_MAX
    assert unshown.estimate([named(FILE, 1), of_response(1)]) == PRICE_MAX
    assert unshown.estimate([named(FILE, 2)]) <= GROWTH_MAX * FIRST_TOKENS[FILE] + STEP_TOKENS


def test_a_refusal_that_states_the_charge_tells_what_stands_behind_the_id() -> None:
    unshown = UnshownInput()
    unshown.record_stated([named(FILE)], 9_000)
    assert unshown.estimate([named(FILE)]) == 9_000
    unshown.record_answer([], 0, bill(1_000, 1))
    unshown.record_stated([of_response(1)], 700)
    assert unshown.estimate([of_response(1)]) == 700
    unshown.record_stated([of_response(2)], 800)
    assert unshown.estimate([of_response(2)]) == 800


def test_the_least_recently_used_are_forgotten_and_a_bound_holds() -> None:
    known = KnownReferences(carried_max=3, learned_max=2)
    unshown = UnshownInput(known)
    for number in range(10_000):
        unshown.record_answer([named(FILE, number)], 100, bill(100, number))
        assert len(known) <= 5
        unshown.estimate([named(FILE, 0), of_response(0)])
    assert known.learned(named(FILE, 0)) is not None, "it was used all the time"
    assert known.carried(of_response(0)) is not None
    assert known.learned(named(FILE, 1)) is None
    assert known.carried(of_response(1)) is None


def test_two_limits_know_the_same_responses_and_each_its_own_kinds() -> None:
    known = KnownReferences()
    one, two = UnshownInput(known), UnshownInput(known)
    one.record_answer([named(FILE)], 9_000, bill(9_500, 1))
    assert two.estimate([of_response(1)]) == 9_500
    assert two.estimate([named(FILE)]) == 9_000
    assert two.estimate([named(FILE, 2)]) == FIRST_TOKENS[FILE]


def test_a_successor_inherits_the_kinds_and_nothing_that_it_does_not_know() -> None:
    unshown = UnshownInput()
    assert unshown.by_kind() == {}
    unshown.record_answer([named(FILE)], 9_000, bill(0))
    assert unshown.by_kind() == {"file": 9_000}
    heir = UnshownInput(None, {"file": 9_000, "moon": 7, "prompt": -5, "item": 10**30})
    estimates = [heir.estimate([named(kind)]) for kind in (FILE, PROMPT, ReferenceKind.ITEM)]
    assert estimates == [9_000, 0, PRICE_MAX]


def test_only_an_estimate_that_changes_much_is_a_change() -> None:
    unshown = UnshownInput()
    unshown.record_answer([named(FILE)], 4_100, bill(0))
    assert unshown.changes == 0
    unshown.record_answer([named(FILE, 2)], 12_000, bill(0))
    assert unshown.changes > 0
    unshown.record_answer([], 0, bill(1_000, 1))
    before = unshown.changes
    unshown.record_stated([of_response(1)], 9_000)
    assert unshown.changes > before


@pytest.mark.parametrize("absurd", [10**400, -(10**400)])
def test_one_absurd_bill_in_a_chain_leaves_the_first_links_of_other_chains_alone(absurd: int) -> None:
    unshown = UnshownInput()
    unshown.record_answer([], 0, bill(1_000, 1))
    unshown.record_answer([of_response(1)], absurd, bill(1_200, 2))
    unshown.record_answer([], 0, bill(1_000, 3))
    assert abs(unshown.estimate([of_response(3)]) - 1_000) <= SHIFT_STEP_TOKENS
    assert 0 <= unshown.estimate([of_response(2)]) <= PRICE_MAX


def test_an_absurd_bill_of_a_prompt_is_paid_by_one_more_request_at_most() -> None:
    unshown, prompt = UnshownInput(), [named(PROMPT)]
    unshown.record_answer(prompt, 10**400, bill(0))
    assert unshown.estimate(prompt) == GROWTH_MAX * FIRST_TOKENS[PROMPT] + STEP_TOKENS
    unshown.record_answer(prompt, 500, bill(0))
    assert unshown.estimate(prompt) == 500
    unshown.record_answer(prompt, 3_000, bill(0))
    unshown.record_answer(prompt, 10**400, bill(0))
    assert unshown.estimate(prompt) <= GROWTH_MAX * 3_000 + STEP_TOKENS
    unshown.record_answer(prompt, 3_000, bill(0))
    assert unshown.estimate(prompt) <= GROWTH_MAX * 3_000 + STEP_TOKENS


def test_a_file_that_was_replaced_by_a_shorter_one_costs_less_after_two_bills() -> None:
    unshown, file = UnshownInput(), [named(FILE)]
    for _ in range(20):
        unshown.record_answer(file, 40_000, bill(0))
    for _ in range(2):
        unshown.record_answer(file, 2_000, bill(0))
    assert unshown.estimate(file) == 2_000


def test_a_body_that_was_mispriced_leaves_the_next_turn_of_its_conversation_alone() -> None:
    """An image that is predicted at 48,000 tokens and billed as 3,000, in every second turn."""
    unshown, kept = UnshownInput(), 400
    unshown.record_answer([], 0, bill(kept, 0))
    for number in range(8):
        has_image = number % 2 == 0
        assert unshown.estimate([of_response(number)]) == kept
        shown, predicted = (3_000, 48_000) if has_image else (100, 100)
        following = kept + shown + 300
        unshown.record_answer([of_response(number)], kept + shown - predicted, bill(following, number + 1))
        kept = following


def test_an_absurd_bill_in_a_chain_is_paid_by_the_next_turn_alone() -> None:
    unshown, kept, estimates = UnshownInput(), 1_000, []
    unshown.record_answer([], 0, bill(kept, 0))
    for number in range(5):
        estimates.append(unshown.estimate([of_response(number)]) - kept)
        told = 2_000_000 if number == 1 else kept + 100
        unshown.record_answer([of_response(number)], told - 100, bill(told + 200, number + 1))
        kept += 300
    assert estimates == [0, 0, 2_000_200 - 1_600, 0, 0]


def test_long_instructions_that_every_request_of_a_chain_repeats_are_not_paid_twice() -> None:
    unshown, kept = UnshownInput(), 30_000 + 400
    unshown.record_answer([], 0, bill(kept, 0))
    for number in range(4):
        carried = kept - 30_000
        assert unshown.estimate([of_response(number)]) == carried + (0 if number else 30_000)
        kept = carried + 30_000 + 400
        unshown.record_answer([of_response(number)], carried, bill(kept, number + 1))


def test_a_refusals_figure_raises_what_an_id_is_known_to_carry_by_a_factor_of_four_at_most() -> None:
    unshown, named_ids = UnshownInput(), (of_response(1), named(CONVERSATION), named(FILE))
    unshown.record_answer([], 0, bill(1_000, 1))
    unshown.record_answer([named(CONVERSATION)], 1_000, bill(1_000))
    unshown.record_answer([named(FILE)], 1_000, bill(0))
    for each in named_ids:
        unshown.record_stated([each], 10**9)
        assert unshown.estimate([each]) <= GROWTH_MAX * 1_000 + STEP_TOKENS


@pytest.mark.parametrize("kind", [ReferenceKind.TOOL, PROMPT])
def test_the_first_bill_of_an_id_that_many_requests_name_counts_for_what_its_kind_may_grow_to(
    kind: ReferenceKind,
) -> None:
    unshown = UnshownInput()
    unshown.record_answer([named(kind)], 9_000_000, bill(0))
    assert unshown.estimate([named(kind)]) == GROWTH_MAX * FIRST_TOKENS[kind] + STEP_TOKENS
    for _ in range(20):
        unshown.record_answer([named(kind)], 60_000, bill(0))
    assert unshown.estimate([named(kind)]) == pytest.approx(60_000, rel=0.2), "what is usual is learned"


def test_an_estimate_that_drifts_by_small_steps_is_a_change_once_it_has_moved_far() -> None:
    unshown = UnshownInput()
    for number in range(60):
        unshown.record_answer([named(FILE, number)], 4_000 + 200 * number, bill(0))
        if unshown.estimate([named(FILE, 10**6)]) <= 5_000:
            assert unshown.changes == 0
    assert 2 <= unshown.changes <= 10
    before = unshown.changes
    for tokens in range(8_000, 16_000, 500):
        unshown.record_answer([named(FILE, 0)], tokens, bill(0))
    assert unshown.changes > before
