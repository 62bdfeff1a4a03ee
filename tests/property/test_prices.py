"""Costs: the library's own to the last digit, never negative, and additive."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from genai_prices import Usage as ListedUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.adapters.prices.listed import VERSION, ListedPrices
from headrace.broker.adapters.prices.price_list import LayeredPrices
from headrace.broker.adapters.prices.rates import CallRates, TokenRates, priced
from headrace.schemas.outcome import Cost, Usage

AT = datetime(2026, 12, 1, tzinfo=UTC)
PRICES = LayeredPrices(ListedPrices(), VERSION)
[OPENAI] = [provider for provider in get_snapshot().providers if provider.id == "openai"]
MODELS = [model for model in OPENAI.models if isinstance(PRICES._look_up(model.id, "", AT), CallRates)]
TIERS = ("", "default", "flex", "priority", "fast")
INSTANTS = st.integers(-120, 180).map(lambda days: AT + timedelta(days=days))


@st.composite
def usages(draw: st.DrawFn, most: int = 500_000) -> Usage:
    """Of an answer that adds up: some input, and parts of it that are apart from each other."""
    input_tokens = draw(st.integers(1, most))
    cached = draw(st.integers(0, input_tokens))
    written = draw(st.integers(0, input_tokens - cached))
    return Usage(
        input_tokens=input_tokens,
        cached_tokens=cached,
        cache_write_tokens=written,
        output_tokens=draw(st.integers(0, most)),
    )


def cost(model: str, usage: Usage, tier: str = "", at: datetime = AT) -> Cost:
    return PRICES.cost(model, usage, tier=tier, at=at)


@given(model=st.sampled_from(MODELS), tier=st.sampled_from(TIERS), at=INSTANTS, usage=usages())
def test_a_call_costs_what_the_library_itself_computes(model, tier, at, usage) -> None:  # type: ignore[no-untyped-def]  # hypothesis gives them
    found = cost(model.id, usage, tier, at)
    if found.micro_usd is None:
        assert found.note is not None
        if "output tokens" in found.note:
            assert usage.output_tokens
            assert model.get_prices(at).output_mtok is None
        else:
            assert tier not in {"", "default"}
            assert f"the tier {tier}" in found.note
        return
    theirs = calc_price(
        ListedUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_write_tokens,
        ),
        model.id,
        provider_id="openai",
        genai_request_timestamp=at,
        price_context={"service_tier": tier} if tier else None,
    )
    assert found.pico_usd == theirs.total_price * 10**12
    assert (found.band != "") == any(
        usage.input_tokens > threshold.start
        for price in vars(theirs.model_price).values()
        for threshold in getattr(price, "tiers", ())
    )


def test_the_models_and_tiers_that_are_compared_are_many() -> None:
    assert len(MODELS) > 80
    of_tiers = {
        tier: sum(isinstance(PRICES._look_up(model.id, tier, AT), CallRates) for model in MODELS) for tier in TIERS
    }
    assert min(of_tiers.values()) > 15


@pytest.mark.parametrize("model", [model.id for model in MODELS if model.id.startswith(("gpt-", "o", "text-emb"))])
def test_each_model_costs_something_for_each_token(model: str) -> None:
    assert (cost(model, Usage(input_tokens=1)).micro_usd or 0) > 0


@given(
    usage=st.builds(
        Usage,
        input_tokens=st.integers(),
        output_tokens=st.integers(),
        cached_tokens=st.integers(),
        cache_write_tokens=st.integers(),
        image_tokens=st.integers(),
        reasoning_tokens=st.integers(),
    ),
    model=st.one_of(st.sampled_from([model.id for model in MODELS]), st.text()),
    tier=st.one_of(st.sampled_from(TIERS), st.text()),
)
def test_no_usage_no_model_and_no_tier_makes_a_cost_fail_or_negative(usage: Usage, model: str, tier: str) -> None:
    found = cost(model, usage, tier)
    assert found.micro_usd is None or found.micro_usd >= 0
    assert found.micro_usd is not None or found.note
    assert Cost.model_validate_json(found.model_dump_json()) == found


RATES = st.dictionaries(
    st.sampled_from(["cached_tokens", "cache_write_tokens", "image_tokens", "reasoning_tokens"]),
    st.decimals(0, 1_000, allow_nan=False, places=6),
).map(lambda parts: {"input_tokens": Decimal("2.5"), "output_tokens": Decimal(10)} | parts)


@given(prices=RATES, one=usages(), other=usages())
def test_two_calls_cost_together_what_their_tokens_cost_in_one(prices, one, other) -> None:  # type: ignore[no-untyped-def]  # same
    """Where no threshold is passed: with six decimals each cost is exact, so nothing is lost in a sum."""
    call = CallRates(TokenRates.from_dollars(prices))
    names = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens")
    both = Usage(**{name: getattr(one, name) + getattr(other, name) for name in names})
    amounts = [priced(call, usage).pico_usd for usage in (one, other, both)]
    assert None not in amounts
    assert amounts[0] + amounts[1] == amounts[2]  # type: ignore[operator]  # none of them is None


@given(usage=usages(), more=st.integers(1, 1_000))
def test_more_output_never_costs_less(usage: Usage, more: int) -> None:
    larger = usage.model_copy(update={"output_tokens": usage.output_tokens + more})
    before, after = cost("gpt-6-sol", usage).micro_usd, cost("gpt-6-sol", larger).micro_usd
    assert before is not None
    assert after is not None
    assert after > before
