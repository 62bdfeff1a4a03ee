"""A service tier without capacity in a whole dispatcher on doubles: what operators and readers are told of it."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from headrace.broker.service.page.headline import headline
from headrace.broker.service.status.findings import findings
from headrace.broker.testing.upstream import Asked, Said
from tests.unit.service.rig import MODEL, Process, World, led, settings_of, until, warmed
from tests.unit.service.status.specimens import look
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

UNAVAILABLE = Said(429, {"error": {"message": "Resource Unavailable", "code": "resource_unavailable"}})
UNSUPPORTED = Said(400, {"error": {"message": "Unsupported service_tier: flex", "param": "service_tier"}})


def body(tier: object = None) -> dict[str, Any]:
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
    return asked if tier is None else {**asked, "service_tier": tier}


def refused(asked: Asked) -> Said | None:
    return UNAVAILABLE if asked.body.get("service_tier") == "flex" else None


def served_at(tier: str) -> Said:
    answer = {
        "id": "chatcmpl-1",
        "model": MODEL,
        "service_tier": tier,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
    return Said(200, answer)


async def started(**groups: Any) -> Process:
    process = Process(World(latency_s=0.2), "a", settings=settings_of(**groups)).start()
    await led(process)
    await warmed(process.world)
    return process


async def rests(process: Process, ids: int = 12) -> None:
    """Requests of the flex tier have come, and its breaker has opened."""
    process.world.upstream.script = refused
    for number in range(ids):
        process.world.submit(f"f{number}", "bulk", body=body("flex"))
    await until(lambda: process.core.limits.limit_queues()[MODEL].budget.tiers.any_open)


def outcomes(process: Process) -> dict[str, dict[str, Any]]:
    return {outcome["id"]: outcome for outcome in process.world.outcomes()}


def metric(process: Process, name: str, labels: Mapping[str, str]) -> float:
    return process.metric(name, dict(labels))


async def test_an_operator_reads_which_tier_rests_how_many_wait_for_it_and_when_it_is_asked_again() -> None:
    process = await started()
    with capture_logs() as logs:
        await rests(process)
        await asyncio.sleep(70)  # those refused one by one have come back, and wait apart
        limit = process.status.snapshot(process.clock.now_ms())["limits"][MODEL]
        (tier,) = limit["resting_tiers"]
        sentences = [each.sentence for each in findings(look({"role": "leader", "limits": {MODEL: limit}}))]
        process.telemetry.gauges(process.core, process.health, process.clock.now_ms())
        waiting = metric(process, "headrace_tier_waiting", {"model": MODEL, "tier": "flex"})
        process.world.upstream.script = None
        await until(lambda: len(outcomes(process)) >= 12, 120)
        process.telemetry.gauges(process.core, process.health, process.clock.now_ms())
        assert metric(process, "headrace_tier_waiting", {"model": MODEL, "tier": "flex"}) == 0
    assert waiting == tier["waiting"]
    assert (tier["model"], tier["tier"], tier["breaker"]) == (MODEL, "flex", "open: tier_unavailable")
    assert tier["tripped"]["code"] == "resource_unavailable"
    assert 10 <= tier["waiting"] <= 12
    assert limit["breaker"] == "closed"
    (sentence,) = [each for each in sentences if "service tier" in each]
    assert f"{MODEL}: service tier flex has no capacity; {tier['waiting']} requests wait for it" in sentence
    assert not any("wait for tokens" in each for each in sentences)
    told = [entry for entry in logs if entry["event"] in {"breaker_opened", "breaker_closed"}]
    assert [(entry["event"], entry["breaker"], entry["tier"]) for entry in told] == [
        ("breaker_opened", MODEL, "flex"),
        ("breaker_closed", MODEL, "flex"),
    ]
    assert {entry["log_level"] for entry in told} == {"warning"}
    assert not any(entry["event"] == "upstream_trouble" for entry in logs)
    assert {each["status"] for each in outcomes(process).values()} == {"completed"}
    await process.end()


async def test_a_request_that_waits_for_its_tier_says_so_whether_it_waits_apart_or_sleeps() -> None:
    process = await started()
    await rests(process)
    asleep = process.whereabouts.of("f0", None, process.clock.now_ms())
    process.world.submit("later", "bulk", body=body("flex"))
    await until(lambda: process.whereabouts.of("later", None, process.clock.now_ms())["state"] == "waiting")
    apart = process.whereabouts.of("later", None, process.clock.now_ms())
    await process.end()
    for told in (asleep, apart):
        reason = told["waits_for"][-1]
        assert (reason["kind"], reason["of"], reason["limit"], reason["tier"]) == ("breaker", "tier", MODEL, "flex")
        assert told["estimated_start"] is None
    assert [each["kind"] for each in asleep["waits_for"]] == ["retry", "breaker"]


async def test_other_tiers_are_served_meanwhile() -> None:
    process = await started()
    await rests(process)
    for number in range(20):
        process.world.submit(f"d{number}", "bulk", body=body())
    await until(lambda: sum(each.startswith("d") for each in outcomes(process)) == 20, 5)
    await process.end()


async def test_an_outcome_and_the_metrics_state_the_tier_asked_for_and_the_one_that_served() -> None:
    process = await started()
    process.world.upstream.script = lambda _: served_at("default")
    process.world.submit("lead-1", "standard", body=body("priority"))
    process.world.submit("lead-2", "standard", body=body())
    process.world.submit("lead-3", "standard", body=body(7))
    await until(lambda: {"lead-1", "lead-2", "lead-3"} <= outcomes(process).keys())
    told = outcomes(process)
    tiers = {each: (told[each]["tier_asked"], told[each]["tier_served"]) for each in told}
    assert tiers["lead-1"] == ("priority", "default")
    assert tiers["lead-2"] == (None, "default")
    assert tiers["lead-3"] == ("(malformed)", "default")
    assert metric(process, "headrace_attempts_total", {"model": MODEL, "tier": "priority", "result": "ok"}) == 1
    used = {"model": MODEL, "tier": "default", "kind": "input"}
    assert metric(process, "headrace_usage_tokens_total", used) >= 30
    await process.end()


async def test_invented_models_and_tiers_take_no_labels_from_those_that_are_served() -> None:
    process = await started()
    process.world.upstream.script = lambda asked: (
        served_at("on_demand") if asked.body["model"] == "real" else UNSUPPORTED
    )
    for number in range(120):
        invented = {**body(f"tier-{number}"), "model": f"invented-{number}"}
        process.world.submit(f"f{number}", "standard", body=invented)
    await until(lambda: len(outcomes(process)) >= 120)
    process.world.submit("served", "standard", body={**body("flex"), "model": "real"})
    await until(lambda: "served" in outcomes(process))
    assert metric(process, "headrace_attempts_total", {"model": "real", "tier": "flex", "result": "ok"}) == 1
    used = {"model": "real", "tier": "on_demand", "kind": "input"}
    assert metric(process, "headrace_usage_tokens_total", used) == 10
    refused = {"model": "other", "tier": "other", "result": "rejected"}
    assert metric(process, "headrace_attempts_total", refused) > 60
    await process.end()


async def test_levels_of_a_limit_that_is_forgotten_leave_the_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    process = await started()
    forgotten: list[str] = []
    monkeypatch.setattr(process.meter, "limit_forgotten", forgotten.append)
    process.telemetry.gauges(process.core, process.health, process.clock.now_ms())
    assert MODEL in process.telemetry._levels._shown
    process.core.limits.limit_queues().pop(MODEL)
    for _ in range(2):
        process.telemetry.gauges(process.core, process.health, process.clock.now_ms())
    assert forgotten == [MODEL]
    assert not process.telemetry._levels._shown
    await process.end()


async def test_a_tier_that_the_model_lacks_fails_the_request_that_names_it_and_no_other() -> None:
    process = await started()
    process.world.upstream.script = lambda _: UNSUPPORTED
    process.world.submit("lead-1", "standard", body=body("flex"))
    process.world.submit("lead-2", "standard", body=body())
    await until(lambda: "lead-1" in outcomes(process))
    await asyncio.sleep(30)
    assert "lead-2" not in outcomes(process)
    process.world.upstream.script = None
    await until(lambda: "lead-2" in outcomes(process), 120)
    failed, completed = outcomes(process)["lead-1"], outcomes(process)["lead-2"]
    assert (failed["status"], failed["reason"], failed["tier_asked"]) == ("failed", "rejected", "flex")
    assert completed["status"] == "completed"
    await process.end()


async def test_where_only_requests_of_a_resting_tier_wait_the_page_says_so() -> None:
    process = await started()
    await rests(process)
    await asyncio.sleep(20)
    told = process.status.reported(process.clock.now_ms())
    assert told["limits"][MODEL]["next_waits_for"][-1]["of"] == "tier"
    sentence = headline(look(told)).sentence
    assert f"OpenAI has no capacity for service tier flex of {MODEL}" in sentence
    await process.end()


async def test_where_a_tenants_cap_holds_all_that_wait_the_page_says_so() -> None:
    process = await started(tenants={"acme": {"inflight_max": 1}})
    process.world.upstream.latency_s = 30.0
    for number in range(3):
        process.world.submit(f"r{number}", "bulk", tenant="acme")
    await until(lambda: process.core.limits.limit_queues()[MODEL].waiting() == 2)
    told = process.status.reported(process.clock.now_ms())
    assert told["limits"][MODEL]["next_waits_for"][-1]["kind"] == "tenant_cap"
    assert f"A tenant's own cap binds the next requests of {MODEL}" in headline(look(told)).sentence
    await process.end()
