"""Cancels that name a tenant: no other tenant's request of that id ends, and the sender learns of the conflict."""

import asyncio
from typing import Any

import pytest

from headrace.broker.errors import IdConflict, InvalidRequest
from headrace.broker.testing.memory_broker import MemoryBroker
from headrace.broker.testing.upstream import Asked, Said
from headrace.schemas.outcome import Failed
from tests.unit.two_tenants import BODY, acmes, client, echo, zeniths
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


async def test_a_cancel_of_another_tenants_request_hands_out_no_outcome_of_it() -> None:
    async with MemoryBroker(echo) as broker, client(broker) as generations:
        done = await acmes(generations)
        with pytest.raises(IdConflict) as raised:
            await generations.outcome_of_cancelled("lead-1", tenant="zenith", timeout_s=5)
        assert raised.value.differs == ("tenant",)
        assert str(raised.value).endswith("another tenant: check the id.")
        assert await generations.outcome_of_cancelled("lead-1", tenant="acme") == done
        assert await generations.outcome_of_cancelled("lead-1") == done


@pytest.mark.slow
@pytest.mark.parametrize("parked", [True, False])
async def test_a_cancel_of_another_tenants_request_ends_nothing_and_its_sender_learns_of_the_conflict(
    *, parked: bool
) -> None:
    """In flight, or parked for the retrier: either way it is answered in the end, and its sender never notices."""

    def answer(asked: Asked) -> Said | str:
        if parked and asked.nth == 1:
            return Said(429, "Rate limit reached.", {"retry-after": "90"})
        return echo(asked)

    async with MemoryBroker(answer, latency_s=5) as broker, client(broker) as generations:
        acme = asyncio.create_task(acmes(generations))
        await asyncio.sleep(7)
        with pytest.raises(IdConflict, match="another tenant: check the id"):
            await generations.outcome_of_cancelled("lead-1", tenant="zenith")
        assert (await acme).tenant == "acme"
        assert [each.status for each in broker.outcomes] == ["completed"]


async def test_a_cancel_with_a_tenant_ends_a_parked_request_and_its_outcome_says_whose_it_was() -> None:
    def refuse(_asked: Asked) -> Said:
        return Said(429, "Rate limit reached.", {"retry-after": "600"})

    async with MemoryBroker(refuse) as broker, client(broker) as generations:
        await generations.submit(BODY, id="lead-1", tenant="acme", lane="urgent")
        await asyncio.sleep(5)
        outcome = await generations.outcome_of_cancelled("lead-1", tenant="acme")
        assert isinstance(outcome, Failed)
        assert (outcome.reason, outcome.tenant) == ("cancelled", "acme")
        with pytest.raises(IdConflict):
            await generations.outcome_of_cancelled("lead-1", tenant="zenith", timeout_s=5)


async def test_a_cancel_of_a_client_of_the_release_before_ends_the_request_whatever_its_tenant() -> None:
    async with MemoryBroker(echo, latency_s=600) as broker, client(broker) as generations:
        await generations.submit(BODY, id="lead-1", tenant="acme", lane="urgent")
        await asyncio.sleep(1)
        outcome = await generations.outcome_of_cancelled("lead-1", timeout_s=30)
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.tenant) == ("cancelled", "acme")


@pytest.mark.parametrize("wrong", ["", "t" * 257])
async def test_a_cancel_for_what_is_no_tenant_is_refused_before_it_is_sent(wrong: str) -> None:
    async with MemoryBroker(echo) as broker, client(broker) as generations:
        with pytest.raises(InvalidRequest, match="tenant has 1 to 256"):
            await generations.cancel("lead-1", tenant=wrong)


@pytest.mark.parametrize("wrong", ["acme\udcff", "\ud800", b"acme", 7])
async def test_a_cancel_for_a_tenant_that_no_request_can_name_is_refused_in_our_words(wrong: Any) -> None:
    async with MemoryBroker(echo) as broker, client(broker) as generations:
        with pytest.raises(InvalidRequest, match="enant"):
            await generations.cancel("lead-1", tenant=wrong)
        with pytest.raises(InvalidRequest, match="enant"):
            await generations.outcome_of_cancelled("lead-1", tenant=wrong)


async def test_a_cancel_while_a_conflict_is_told_waits_for_the_outcome_of_the_id() -> None:
    async with MemoryBroker(echo, latency_s=600) as broker, client(broker) as generations:
        await generations.submit(BODY, id="lead-1", tenant="acme", lane="urgent")
        await asyncio.sleep(1)
        with pytest.raises(IdConflict):
            await zeniths(generations)
        outcome = await generations.outcome_of_cancelled("lead-1", tenant="acme")
    assert (outcome.id, outcome.tenant) == ("lead-1", "acme")
    assert isinstance(outcome, Failed)
    assert outcome.reason == "cancelled"
