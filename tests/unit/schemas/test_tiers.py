import pytest

from headrace.schemas.request import GenerationRequest
from headrace.schemas.tiers import MALFORMED, tier_in


@pytest.mark.parametrize(
    ("named", "tier"),
    [
        ("flex", "flex"),
        ("ultrafast", "ultrafast"),
        ("on_demand", "on_demand"),
        ("x" * 32, "x" * 32),
        (None, ""),
        ("", MALFORMED),
        ("x" * 33, MALFORMED),
        ("two words", MALFORMED),
        ("fl\u200bex", MALFORMED),
        ("\ud800", MALFORMED),
        (7, MALFORMED),
        (True, MALFORMED),
        ([], MALFORMED),
        ({"flex": 1}, MALFORMED),
    ],
)
def test_a_tier_is_one_short_word(named: object, tier: str) -> None:
    assert tier_in({"service_tier": named}) == tier
    assert GenerationRequest(id="lead-1", body={"service_tier": named}).tier == tier


def test_a_body_without_the_field_names_no_tier() -> None:
    assert tier_in({}) == ""
