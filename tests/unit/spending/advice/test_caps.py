import pytest

from headrace.broker.spending.advice.finding import AdviceFinding, SavingEffect, Waste
from tests.unit.spending.advice.made import advised, answered, asked, only, text

PROMPT = text(4_000)


def with_cap(cap: int, charge: int, output: int = 400, **body: int) -> list[AdviceFinding]:
    outcomes = [answered(n, output=output, charge_tokens=charge) for n in range(40)]
    return advised(outcomes, [asked(n, f"{n} {PROMPT}", max_completion_tokens=cap, **body) for n in range(40)])


def test_a_cap_far_above_the_longest_answer_frees_quota_where_it_is_charged_beside_the_prompt() -> None:
    found = only(with_cap(cap=8_000, charge=9_002), Waste.CAP_TOO_HIGH)
    assert (found.effect, found.micro_usd_a_day) == (SavingEffect.QUOTA, 0.0)
    assert found.tokens_a_day == 40 * (8_000 - 512)
    assert "max_completion_tokens to 512" in found.how


def test_where_the_greater_of_prompt_and_cap_is_charged_only_what_is_above_the_prompt_is_freed() -> None:
    found = only(with_cap(cap=8_000, charge=8_000), Waste.CAP_TOO_HIGH)
    assert found.tokens_a_day == pytest.approx(40 * (8_000 - 1_001), rel=0.01)


@pytest.mark.parametrize("charge", [1_002, 1_020])
def test_a_cap_that_is_not_charged_is_no_finding(charge: int) -> None:
    assert with_cap(cap=8_000, charge=charge) == []


def test_a_cap_twice_the_longest_answer_is_left_alone() -> None:
    assert with_cap(cap=800, charge=1_802) == []


def test_the_cap_counts_for_each_of_several_answers() -> None:
    found = only(with_cap(cap=8_000, charge=17_002, output=800, n=2), Waste.CAP_TOO_HIGH)
    assert "to 1,008" in found.how or "to 512" in found.how
    assert found.evidence["longest_answer_tokens"] == 400
