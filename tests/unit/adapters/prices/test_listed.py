"""Prices as genai-prices lists them, found by the name that an answer carries."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from headrace.broker.adapters.prices.listed import VERSION, ListedPrices
from headrace.broker.adapters.prices.rates import CallRates, TokenRates
from headrace.broker.errors import SettingsError

AT = datetime(2026, 12, 1, 9, tzinfo=UTC)
OPENAI = ListedPrices()


def rates(model: str, tier: str = "", at: datetime = AT) -> CallRates:
    found = OPENAI.rates(model, tier, at)
    assert isinstance(found, CallRates), found
    return found


def dollars(**prices: str) -> TokenRates:
    return TokenRates.from_dollars({name: Decimal(price) for name, price in prices.items()})


def test_the_version_is_the_librarys() -> None:
    assert VERSION.startswith("genai-prices 0.2.")


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-4o-mini-2024-07-18", "GPT-4o-mini"])
def test_a_model_and_its_snapshot_have_the_listed_prices(model: str) -> None:
    found = rates(model)
    assert found.rates == dollars(input_tokens="0.15", cached_tokens="0.075", output_tokens="0.6")
    assert (found.above, found.per_call, found.note) == ((), 0, None)


def test_a_snapshot_with_a_price_of_its_own_keeps_it() -> None:
    assert rates("gpt-4o-2024-05-13").rates == dollars(input_tokens="5", output_tokens="15")


def test_a_snapshot_that_is_not_listed_has_the_price_of_its_model_and_says_so() -> None:
    found = rates("gpt-4o-mini-2027-03-01")
    assert found.rates == rates("gpt-4o-mini").rates
    assert found.note == "Priced as gpt-4o-mini: the list does not have this snapshot."


@pytest.mark.parametrize("model", ["no-such-model", "", "no-such-model-2026-01-01", "gpt-4o-mini-next"])
def test_an_unknown_model_is_not_guessed(model: str) -> None:
    assert OPENAI.rates(model, "", AT) == "The list has no such model."


def test_a_fine_tuned_model_has_the_price_of_fine_tuned_ones_or_none() -> None:
    assert rates("ft:gpt-4o-mini-2024-07-18:acme::abc").rates == dollars(input_tokens="0.3", output_tokens="1.2")
    assert OPENAI.rates("ft:gpt-4.1-mini-2025-04-14:acme::abc", "", AT) == "The list has no such model."
    assert OPENAI.rates("ft:gpt-4.1-mini-2025-04-14", "", AT) == "The list has no such model."


def test_a_threshold_of_long_inputs_has_prices_of_its_own() -> None:
    found = rates("gpt-6-sol")
    assert found.rates.of["input_tokens"] == dollars(input_tokens="2").of["input_tokens"]
    [(threshold, above)] = found.above
    assert threshold == 272_000
    assert above.of["input_tokens"] > found.rates.of["input_tokens"]
    assert above.of.keys() == found.rates.of.keys()
    assert "cache_write_tokens" in above.of


@pytest.mark.parametrize("tier", ["priority", "fast"])
def test_a_tier_has_its_own_prices(tier: str) -> None:
    assert rates("gpt-4o-mini", tier).rates == dollars(input_tokens="0.25", cached_tokens="0.125", output_tokens="1")


@pytest.mark.parametrize(
    ("model", "tier"), [("gpt-4o-mini", "flex"), ("gpt-4", "priority"), ("gpt-4o-mini", "scale"), ("gpt-4o", "warp")]
)
def test_a_tier_without_prices_is_not_priced_as_another(model: str, tier: str) -> None:
    said = OPENAI.rates(model, tier, AT)
    assert said == f"The list has no price for this model at the tier {tier} at that time."


def test_a_price_holds_from_its_day_on() -> None:
    before = datetime(2026, 10, 11, 23, 59, tzinfo=UTC)
    assert isinstance(OPENAI.rates("gpt-4o-mini", "priority", before), str)
    assert rates("gpt-4o-mini", "priority", datetime(2026, 10, 12, tzinfo=UTC)).rates.of
    cyber = [rates("gpt-5.5-cyber", at=datetime(2026, 10, day, tzinfo=UTC)).rates.of for day in (18, 19)]
    assert ["cached_tokens" in of for of in cyber] == [False, True]


def test_a_model_that_hears_says_that_audio_is_priced_as_text() -> None:
    assert rates("gpt-audio").note == "Audio tokens are priced as text."


def test_a_model_without_token_prices_is_none_of_ours() -> None:
    assert OPENAI.rates("whisper-1", "", AT) == "The list prices this model by something other than its tokens."


@pytest.mark.parametrize(
    ("provider", "base_url", "expected"),
    [
        (None, None, "openai"),
        (None, "https://api.openai.com/v1", "openai"),
        (None, "http://127.0.0.1:8089/v1", "openai"),
        (None, "https://acme.openai.azure.com/openai/v1", "azure"),
        (None, "https://api.groq.com/openai/v1", "groq"),
        ("groq", "https://api.openai.com/v1", "groq"),
    ],
)
def test_the_provider_is_the_one_named_else_the_one_at_the_address_else_openai(
    provider: str | None, base_url: str | None, expected: str
) -> None:
    assert ListedPrices(provider, base_url)._provider.id == expected


def test_azure_has_openais_models_without_their_tiers() -> None:
    azure = ListedPrices("azure")
    found = azure.rates("gpt-4.1-2025-04-14", "", AT)
    assert isinstance(found, CallRates)
    assert found.rates == rates("gpt-4.1").rates
    assert isinstance(azure.rates("gpt-4.1", "flex", AT), str)


@pytest.mark.parametrize(
    ("name", "meant"), [("opanai", "the nearest is openai"), ("zzz", "name one such as openai, azure or")]
)
def test_a_provider_that_is_not_listed_is_refused(name: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=meant):
        ListedPrices(name)
