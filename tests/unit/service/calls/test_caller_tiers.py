"""What a call reads of service tiers: which one served it, and whether a refusal concerns the one asked for."""

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
    assert (await other.call())[0].meaning is not Meaning.REJECTED
