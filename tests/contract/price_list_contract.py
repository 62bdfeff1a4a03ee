"""What every price list must do: run on the double in memory, and on the door to genai-prices."""

from datetime import UTC, datetime
from typing import Any

import pytest

from headrace.broker.price_ports import PriceList
from headrace.schemas.outcome import Cost, Usage

AT = datetime(2026, 12, 1, 9, tzinfo=UTC)
HOSTILE: tuple[dict[str, Any], ...] = (
    {},
    {"output_tokens": 9},
    {"input_tokens": -1},
    {"output_tokens": -(10**400)},
    {"input_tokens": 10**400},
    {"input_tokens": 10_000_001, "output_tokens": 1},
    {"input_tokens": 3, "cached_tokens": -3},
)


class PriceListContract:
    """Subclasses bring the fixture `prices`, a list that has `MODEL` with its tier flex."""

    MODEL = "gpt-5.4-nano"

    @pytest.fixture
    def prices(self) -> PriceList:
        raise NotImplementedError

    def cost(self, prices: PriceList, usage: Usage, *, model: str = MODEL, tier: str = "") -> Cost:
        return prices.cost(model, usage, tier=tier, at=AT)

    def test_each_cost_names_the_list_and_its_version(self, prices: PriceList) -> None:
        assert prices.version
        assert self.cost(prices, Usage(input_tokens=1)).price_list == prices.version
        assert self.cost(prices, Usage(input_tokens=-1)).price_list == prices.version

    def test_more_costs_more(self, prices: PriceList) -> None:
        amounts = [self.cost(prices, Usage(input_tokens=count)).micro_usd or 0 for count in (1, 10, 100)]
        assert 0 < amounts[0] < amounts[1] < amounts[2]
        assert (self.cost(prices, Usage(input_tokens=100, output_tokens=1)).micro_usd or 0) > amounts[2]

    def test_what_was_cached_costs_less(self, prices: PriceList) -> None:
        whole = self.cost(prices, Usage(input_tokens=100)).micro_usd
        cached = self.cost(prices, Usage(input_tokens=100, cached_tokens=100)).micro_usd
        assert whole is not None
        assert cached is not None
        assert 0 < cached < whole

    @pytest.mark.parametrize("tier", ["", "default", "auto", "standard", "on_demand"])
    def test_the_standard_tier_has_many_names_and_one_price(self, prices: PriceList, tier: str) -> None:
        used = Usage(input_tokens=100, output_tokens=10)
        assert self.cost(prices, used, tier=tier) == self.cost(prices, used)

    def test_a_tier_has_its_own_price_or_none_and_a_note(self, prices: PriceList) -> None:
        used = Usage(input_tokens=100)
        flex, odd = self.cost(prices, used, tier="flex"), self.cost(prices, used, tier="warp")
        assert flex.micro_usd is not None
        assert 0 < flex.micro_usd < (self.cost(prices, used).micro_usd or 0)
        assert odd.micro_usd is None
        assert odd.note

    @pytest.mark.parametrize("model", ["", "no-such-model", "x" * 256, "gpt-5.4-nano\x00"])
    def test_a_model_without_a_price_has_a_note(self, prices: PriceList, model: str) -> None:
        cost = self.cost(prices, Usage(input_tokens=1), model=model)
        assert cost.micro_usd is None
        assert cost.note

    @pytest.mark.parametrize("counts", HOSTILE)
    def test_counts_that_cannot_be_have_no_price_and_a_note(self, prices: PriceList, counts: dict[str, Any]) -> None:
        cost = self.cost(prices, Usage(**counts))
        assert cost.micro_usd is None
        assert cost.note

    def test_more_cached_tokens_than_there_are_cost_no_more_than_all_of_them(self, prices: PriceList) -> None:
        some = self.cost(prices, Usage(input_tokens=5, cached_tokens=9))
        assert some.micro_usd == self.cost(prices, Usage(input_tokens=5, cached_tokens=5)).micro_usd
