"""What keeps a request from being called where limits of input tokens or images have no room for it."""

from dataclasses import replace
from typing import Any

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.budget.side_limit import IMAGE_UNITS
from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.laws import Prices
from tests.unit.core.specimens import candidate, place
from tests.unit.service.status.test_wait_reasons import FULL, Asked, limited

IMAGES = LevelBounds(LimitMetric.TOKENS, 1, 1, 5, MINUTE_MS, kind="input-images")


def limited_beside(*sides: LevelBounds, **settings: Any) -> Asked:
    """Whose limit has all its tokens, and other limits beside them that were left like this."""
    shell = limited(LevelBounds(LimitMetric.TOKENS, FULL, FULL, FULL, MINUTE_MS), **settings)
    made = shell.core.limits._make_budget

    def make(name: str, now_ms: int) -> Budget:
        budget = made(name, now_ms)
        budget.sides.inherit(sides, now_ms)
        return budget

    shell.core.limits._make_budget = make
    return shell


def beside(prices: Prices, *sides: LevelBounds, lane: str = "urgent") -> dict[str, Any]:
    """Why a request waits for which only a limit beside tokens and requests has no room."""
    return why(limited_beside(*sides), prices, lane)


def why(shell: Asked, prices: Prices, lane: str = "urgent") -> dict[str, Any]:
    number = shell.take(replace(candidate("lead"), prices=prices), partition=place(lane))
    (found,) = shell.why(next(each for each in shell.core.registry.tickets() if each.number == number))
    return found


def windowed(*sides: LevelBounds) -> Asked:
    """Images are counted from mark to mark, and one of five is left; the next mark is half a minute away."""
    shell = limited_beside(IMAGES, *sides)
    budget = shell.core.limits.limit_queue("gpt", shell.now_ms).budget
    mirrors = budget.sides._limits["input-images"].buckets._mirrors
    mirrors.keep(lambda _: False)
    window = FixedWindowMirror(
        LimitMetric.TOKENS, 5 * IMAGE_UNITS, MINUTE_MS, shell.now_ms + 30_000, IMAGE_UNITS + IMAGE_UNITS // 2
    )
    mirrors.add(window)
    return shell


def test_input_tokens_that_are_missing_are_told_by_what_they_are() -> None:
    """Before: nothing seemed to hold the limit back but its pace."""
    prices = Prices("chat.completions", (Law.DOCUMENTED,), (100,), input_tokens=300)
    found = beside(prices, LevelBounds(LimitMetric.TOKENS, 0, 0, 6_000, MINUTE_MS, kind="input-tokens"))
    assert (found["kind"], found["metric"], found["needed"], found["there"]) == ("limit", "input-tokens", 300, 0)
    assert 2.9 <= found["payable_in_s"] <= 3.1


def test_images_that_are_missing_are_told_with_what_is_there_and_what_is_kept() -> None:
    """Before: two units of rounding took longer than was allowed for, and the request seemed to wait for the pace."""
    prices = Prices("chat.completions", (Law.DOCUMENTED,), (100,), images=1)
    found = beside(prices, IMAGES, lane="standard")
    assert (found["kind"], found["metric"], found["needed"], found["there"]) == ("limit", "input-images", 1, 1)
    assert (found["kept"], found["kept_for"]) == (1, ["urgent"])
    assert 12.0 <= found["payable_in_s"] <= 12.1


def test_a_part_of_an_image_that_is_kept_is_told_as_one() -> None:
    prices = Prices("chat.completions", (Law.DOCUMENTED,), (100,), images=1)
    found = beside(prices, replace(IMAGES, capacity=4), lane="standard")
    assert (found["kind"], found["needed"], found["there"], found["kept"]) == ("limit", 1, 1, 1)
    assert 12.0 <= found["payable_in_s"] <= 12.1, "eight tenths of an image"


def test_of_several_limits_beside_tokens_the_one_that_keeps_it_longest_is_told() -> None:
    prices = Prices("chat.completions", (Law.DOCUMENTED,), (100,), input_tokens=300, images=2)
    for tokens, told in ((6_000, "input-images"), (600, "input-tokens")):
        spent = LevelBounds(LimitMetric.TOKENS, 0, 0, tokens, MINUTE_MS, kind="input-tokens")
        assert beside(prices, spent, IMAGES)["metric"] == told


def test_a_window_of_images_that_is_used_up_is_told_with_its_figures() -> None:
    prices = Prices("chat.completions", (Law.DOCUMENTED,), (100,), images=2)
    found = why(windowed(), prices)
    assert (found["kind"], found["metric"], found["needed"], found["there"]) == ("limit", "input-images", 2, 1)


def test_a_window_keeps_a_request_until_its_mark_however_little_of_it_is_missing() -> None:
    """One image of five is missing, which comes not after 12 s but after 30; the input is after 20 s."""
    prices = Prices("chat.completions", (Law.DOCUMENTED,), (100,), input_tokens=300, images=2)
    spent = LevelBounds(LimitMetric.TOKENS, 0, 0, 900, MINUTE_MS, kind="input-tokens")
    found = why(windowed(spent), prices)
    assert (found["kind"], found["metric"]) == ("limit", "input-images")
    assert 29 < found["payable_in_s"] <= 30.1


def test_images_that_are_used_up_are_not_to_blame_where_a_request_carries_none() -> None:
    shell = limited_beside(replace(IMAGES, low=0, high=0), burst_ms=100)
    shell.waits(charge=100, lane="standard")
    asked = shell.waits(charge=100, lane="standard")
    (found,) = shell.why(asked)
    while found["payable_in_s"] > 0.01:
        assert found["kind"] == "pace"
        shell.now_ms += 5
        (found,) = shell.why(asked)
    assert found["kind"] == "pace"
