"""The double of the price list passes the contract of price lists, but for models: it knows each."""

import pytest

from headrace.broker.price_ports import PriceList
from headrace.broker.testing.prices import MemoryPrices
from headrace.schemas.outcome import Usage
from tests.contract.price_list_contract import AT, PriceListContract

UNKNOWN = ("", "no-such-model", "x" * 256, "gpt-5.4-nano\x00")


class TestMemoryPrices(PriceListContract):
    @pytest.fixture
    def prices(self) -> PriceList:
        return MemoryPrices(unknown=UNKNOWN)


def test_a_call_costs_what_the_class_says() -> None:
    used = Usage(input_tokens=1_000, cached_tokens=400, output_tokens=10)
    assert MemoryPrices().cost("any", used, tier="", at=AT).micro_usd == 600 * 2 + 400 * 0.5 + 10 * 8
    assert MemoryPrices().cost("any", used, tier="flex", at=AT).micro_usd == (600 * 2 + 400 * 0.5 + 10 * 8) / 2
