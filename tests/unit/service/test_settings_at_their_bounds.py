"""Whatever a setting says, requests are answered, or the start says what is wrong with it."""

from typing import Any

import pytest
from pydantic import ValidationError

from tests.unit.service.rig import MODEL, Process, World, led, settings_of, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

YEARS_S = 3_153_600_000  # a hundred
LONG = {"requests": {"retention_s": YEARS_S}, "failures": {"retention_s": YEARS_S}}
HUGE = 10**15


@pytest.mark.parametrize(
    "groups",
    [
        {"topics": LONG},
        {"topics": LONG, "lanes": {"urgent": {"order": 1, "deadline_s": YEARS_S - 86_400}}},
        {"limits": {MODEL: {"burst_s": 1_000_000, "tokens_per_minute": HUGE, "requests_per_minute": HUGE}}},
        {"limits": {MODEL: {"burst_s": 1e-12}}},
        {"limits": {MODEL: {"tokens_per_day": HUGE, "requests_per_day": HUGE, "cap_tokens_per_minute": HUGE}}},
        {"tenants": {"*": {"weight": 0.001, "cap_tokens_per_minute": HUGE, "inflight_max": HUGE}}},
        {"retry": {"in_place_max_s": YEARS_S}, "openai": {"timeout_s": 1_000_000}},
    ],
)
async def test_at_its_bound_a_setting_fails_no_request(groups: dict[str, Any]) -> None:
    world = World(latency_s=0.1)
    process = Process(world, "p", settings=settings_of(**groups)).start()
    await led(process)
    world.submit("plain")
    world.submit("dated", deadline="9999-12-31T23:59:59Z", tenant="acme")
    await until(lambda: len(world.outcomes()) == 2)
    assert [outcome["status"] for outcome in world.outcomes()] == ["completed"] * 2
    await process.end()


@pytest.mark.parametrize(
    "groups",
    [
        {"topics": {**LONG, "requests": {"retention_s": 315_360_000_000}}},  # ten years in milliseconds
        {"limits": {MODEL: {"burst_s": 1.7e308}}},
        {"limits": {MODEL: {"tokens_per_minute": 10**400}}},
        {"tenants": {"acme": {"cap_tokens_per_minute": 10**400}}},
        {"openai": {"timeout_s": 1.7e308}},
        {"retry": {"in_place_max_s": 10**30}},
    ],
)
async def test_beyond_it_the_start_says_so(groups: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="less than or equal"):
        settings_of(**groups)
