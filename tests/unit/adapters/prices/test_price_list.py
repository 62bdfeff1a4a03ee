"""The price list of a process: the operator's file over the library's list."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from headrace.broker.adapters.prices.listed import VERSION, ListedPrices
from headrace.broker.adapters.prices.price_file import read_price_file
from headrace.broker.adapters.prices.price_list import LOOKED_UP_MAX, LayeredPrices, list_with, price_list
from headrace.broker.errors import SettingsError
from headrace.broker.price_ports import PriceList
from headrace.schemas.outcome import Cost, Usage
from tests.contract.price_list_contract import AT, PriceListContract
from tests.unit.service.rig import settings_of

USED = Usage(input_tokens=1_000, cached_tokens=200, output_tokens=100)


class TestLayeredPrices(PriceListContract):
    @pytest.fixture
    def prices(self) -> PriceList:
        return LayeredPrices(ListedPrices(), VERSION)


class TestPricesUnderAFile(PriceListContract):
    @pytest.fixture
    def prices(self, tmp_path: Path) -> PriceList:
        return under(tmp_path, "factor = 0.5\n[models.other]\ninput = 1\n")


def under(folder: Path, text: str) -> LayeredPrices:
    file = folder / "prices.toml"
    file.write_text(text, encoding="utf-8")
    return LayeredPrices(ListedPrices(), VERSION, read_price_file(file))


def cost(prices: PriceList, model: str, usage: Usage = USED, tier: str = "", at: datetime = AT) -> Cost:
    return prices.cost(model, usage, tier=tier, at=at)


def test_a_listed_call_costs_what_the_list_says() -> None:
    assert cost(LayeredPrices(ListedPrices(), VERSION), "gpt-4o-mini") == Cost(
        micro_usd=800 * 0.15 + 200 * 0.075 + 100 * 0.6, price_list=VERSION
    )


def test_a_cost_on_the_wire_has_at_most_six_decimals(tmp_path: Path) -> None:
    prices = under(tmp_path, "[models.x]\ninput = 0.000000300001\noutput = 599.999999\n")
    written = cost(prices, "x", Usage(input_tokens=3, output_tokens=9_999_999)).model_dump_json()
    assert '"micro_usd":5999999390.000002' in written
    assert '"micro_usd":1e-6' in cost(prices, "x", Usage(input_tokens=3)).model_dump_json()


def test_the_files_version_stands_behind_the_lists(tmp_path: Path) -> None:
    assert under(tmp_path, 'version = "2026-12"').version == f"{VERSION} + 2026-12"
    assert cost(under(tmp_path, ""), "gpt-4o").price_list == f"{VERSION} + e3b0c442"


def test_the_files_prices_replace_those_of_the_list(tmp_path: Path) -> None:
    prices = under(tmp_path, '[models."gpt-4o-mini"]\ninput = 1\noutput = 2\n')
    assert cost(prices, "gpt-4o-mini-2024-07-18").micro_usd == 1_000 * 1 + 100 * 2
    assert cost(prices, "gpt-4o").micro_usd == 800 * 2.5 + 200 * 1.25 + 100 * 10


def test_a_tier_of_a_model_in_the_file_has_the_files_price_or_none(tmp_path: Path) -> None:
    text = '[models."gpt-4o-mini"]\ninput = 1\noutput = 2\n[models."gpt-4o-mini".tiers.flex]\ninput = 0.5\noutput = 1\n'
    prices = under(tmp_path, text)
    assert cost(prices, "gpt-4o-mini", tier="flex").micro_usd == 600
    without = cost(prices, "gpt-4o-mini", tier="priority")
    assert without.micro_usd is None
    assert without.note == "The price file has no price for this model at the tier priority."


def test_a_factor_of_the_account_scales_the_list_and_no_price_of_the_file(tmp_path: Path) -> None:
    prices = under(tmp_path, "factor = 0.9\n[models.own]\ninput = 1\noutput = 0\n")
    assert cost(prices, "gpt-4o").micro_usd == pytest.approx((800 * 2.5 + 200 * 1.25 + 100 * 10) * 0.9)
    assert cost(prices, "own").micro_usd == 1_000


def test_a_factor_of_a_model_takes_the_place_of_the_accounts_and_holds_for_tiers(tmp_path: Path) -> None:
    prices = under(tmp_path, 'factor = 0.9\n[models."gpt-4o*"]\nfactor = 0.5\n')
    assert cost(prices, "gpt-4o").micro_usd == (800 * 2.5 + 200 * 1.25 + 100 * 10) / 2
    assert cost(prices, "gpt-4o", tier="priority").micro_usd == (800 * 4.25 + 200 * 2.125 + 100 * 17) / 2


def test_a_price_for_each_call_is_added_to_those_of_the_list_and_not_scaled(tmp_path: Path) -> None:
    prices = under(tmp_path, 'factor = 0.5\n[models."gpt-4o"]\nper_call = 0.001\n')
    assert cost(prices, "gpt-4o", Usage(input_tokens=1_000)).micro_usd == 1_250 + 1_000


def test_a_deployment_is_priced_like_the_model_behind_it(tmp_path: Path) -> None:
    prices = under(tmp_path, '[models."our-mails"]\nlike = "gpt-4o"\n[models."our-*"]\nlike = "gpt-none"\n')
    assert cost(prices, "our-mails") == cost(prices, "gpt-4o")
    assert cost(prices, "our-leads").note == "The list has no such model."


def test_a_tier_may_be_added_to_a_model_of_the_list(tmp_path: Path) -> None:
    prices = under(tmp_path, '[models."gpt-4".tiers.flex]\ninput = 15\noutput = 30\n')
    assert cost(prices, "gpt-4", tier="flex").micro_usd == 1_000 * 15 + 100 * 30
    assert cost(prices, "gpt-4").micro_usd == 1_000 * 30 + 100 * 60


def test_a_price_of_the_file_begins_with_its_day_in_utc(tmp_path: Path) -> None:
    prices = under(tmp_path, '[[models."gpt-4o"]]\nfrom = 2026-12-01\ninput = 1\noutput = 1\n')
    at = datetime(2026, 12, 1, tzinfo=UTC)
    assert cost(prices, "gpt-4o", at=at).micro_usd == 1_100
    assert cost(prices, "gpt-4o", at=at - timedelta(seconds=1)).micro_usd == 3_250
    assert cost(prices, "gpt-4o", at=datetime(2026, 12, 1, 1, tzinfo=timezone(timedelta(hours=2)))).micro_usd == 3_250


def test_the_tier_scale_says_that_it_is_paid_in_advance() -> None:
    said = cost(LayeredPrices(ListedPrices(), VERSION), "gpt-4o", tier="scale").note
    assert said is not None
    assert said.endswith("The tier scale is paid for in advance.")


@pytest.mark.parametrize(
    "at",
    [
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
    ],
)
def test_at_the_ends_of_time_a_price_with_a_date_is_none_and_no_error(tmp_path: Path, at: datetime) -> None:
    said = "There are no prices at such an instant."
    assert cost(under(tmp_path, ""), "gpt-4o", at=at).note == said
    assert cost(LayeredPrices(ListedPrices(), VERSION), "gpt-5.5-cyber", at=at).note == said


def test_what_is_looked_up_is_bounded_whatever_names_a_server_answers_with() -> None:
    prices = LayeredPrices(ListedPrices(), VERSION)
    for number in range(LOOKED_UP_MAX + 100):
        cost(prices, f"model-{number}")
    assert prices._looked_up.cache_info().currsize == LOOKED_UP_MAX


def test_the_settings_name_provider_and_file_or_none_at_all(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('version = "mine"\n[models.x]\ninput = 3\n')
    given = settings_of(costs={"prices_file": str(file)})
    prices = price_list(given)
    assert prices is not None
    assert (prices.version, cost(prices, "x", Usage(input_tokens=1)).micro_usd) == (f"{VERSION} + mine", 3)
    assert list_with(given, None).version == VERSION
    assert price_list(settings_of(costs={"enabled": False, "provider": "nobody"})) is None
    with pytest.raises(SettingsError, match=r"costs\.provider 'nobody' is no provider"):
        price_list(settings_of(costs={"provider": "nobody"}))
