"""What a call reads of service tiers: which one served it, and whether a refusal concerns the one asked for."""

from typing import Any

import pytest

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.testing.upstream import Said
from tests.unit.service.calls.test_caller import Rig
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

UNSUPPORTED = {"message": "Unsupported service_tier: flex", "param": "service_tier", "type": "invalid_request_error"}
ASKING = {"model": "gpt-4o-mini", "messages": [], "service_tier": "flex"}


async def test_the_tier_that_served_a_call_is_kept() -> None:
    rig = Rig(Said(200, {"choices": [{"message": {"content": "Hi"}}], "service_tier": "default"}))
    await rig.call()
    assert rig.cargo.tier_served == "default"


@pytest.mark.parametrize("status", [400, 200])
async def test_a_tier_that_the_model_does_not_have_is_the_fault_of_a_request_that_asks_for_it(status: int) -> None:
    asking = Rig(Said(status, {"error": UNSUPPORTED | {"code": 400}}), body=ASKING)
    assert (await asking.call())[0].meaning is Meaning.REJECTED
    other = Rig(Said(status, {"error": UNSUPPORTED | {"code": 400}}))
    assert (await other.call())[0].meaning is Meaning.TIER_UNAVAILABLE


@pytest.mark.parametrize("status", [400, 200])
@pytest.mark.parametrize("field", [{"service_tier": None}, {"Service_Tier": "flex"}])
async def test_a_body_that_names_no_valid_tier_can_still_have_caused_the_refusal(
    status: int, field: dict[str, Any]
) -> None:
    """Judged as a tier without capacity, three of them closed the model for all requests that name no tier."""
    rig = Rig(
        Said(status, {"error": UNSUPPORTED | {"code": 400}}), body={"model": "gpt-4o-mini", "messages": []} | field
    )
    assert (await rig.call())[0].meaning is Meaning.REJECTED
