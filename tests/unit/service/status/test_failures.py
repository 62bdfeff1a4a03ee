"""What fails is told: a line each, within bounds, without a word of the prompt; and counted for the status."""

from typing import Any

from structlog.testing import capture_logs

from headrace.broker.clock import WallClock
from headrace.broker.core.commands import DeadLetterOnly, Fail
from headrace.broker.service.status.failures import (
    HOUR_MINUTES,
    KINDS_MAX,
    LATELY_MINUTES,
    SAID_EVERY_MS,
    SAID_MAX,
    Failures,
)
from headrace.broker.testing.upstream import Said
from tests.unit.service.publication_rig import Rig
from tests.unit.service.rig import MODEL, Process, World, led, until
from tests.virtual_time import VIRTUAL_TIME

REJECTED = Fail("rejected", "OpenAI refused this request for what it is; it is not tried again (HTTP 400).")
PROMPT = "Dear Ms Prompt, I am an unhappy paragraph"


class Told:
    def __init__(self) -> None:
        self.at_s = 1_000.0
        self.failures = Failures(WallClock(lambda: self.at_s))
        self.rig = Rig()

    def fail(self, count: int = 1, fail: Fail = REJECTED, **fields: Any) -> None:
        for _ in range(count):
            self.failures.count_failed(self.rig.request(**fields), fail)


def test_a_failed_request_is_one_line_with_all_that_finds_it() -> None:
    told = Told()
    cargo = told.rig.request(id="lead-1", body={"model": "gpt-9", "messages": [{"role": "user", "content": PROMPT}]})
    cargo.upstream_request_id = "req_12"
    with capture_logs() as logs:
        told.failures.count_failed(cargo, REJECTED)
    assert logs == [
        {
            "event": "request_failed",
            "log_level": "warning",
            "id": "lead-1",
            "run": 0,
            "lane": "standard",
            "tenant": "acme",
            "model": "gpt-9",
            "calls": 2,
            "origin": "t.requests.standard/3/42",
            "upstream_request_id": "req_12",
            "reason": "rejected",
            "sentence": REJECTED.sentence,
        }
    ]


def test_a_record_without_an_outcome_has_a_line_too() -> None:
    told = Told()
    with capture_logs() as logs:
        told.failures.count_dead_letter(
            told.rig.cargo(b"no JSON " + PROMPT.encode()), DeadLetterOnly("undecodable", "It is no JSON.")
        )
    assert (logs[0]["event"], logs[0]["origin"]) == ("dead_lettered", "t.requests.standard/3/42")
    assert PROMPT not in str(logs)
    assert told.failures.shown()["dead_letters"] == {"undecodable": 1}


def test_lines_are_bounded_in_rate_and_what_is_left_out_is_said() -> None:
    told = Told()
    with capture_logs() as logs:
        told.fail(1_000)
        told.failures.log_omitted()
        assert len(logs) == SAID_MAX
        told.at_s += SAID_EVERY_MS / 1_000
        told.failures.log_omitted()
        told.failures.log_omitted()
        told.fail()
    assert logs[SAID_MAX] == {
        "event": "failures_left_out",
        "log_level": "warning",
        "lines": 1_000 - SAID_MAX,
        "reasons": {"rejected": 1_000 - SAID_MAX},
    }
    assert [each["event"] for each in logs[SAID_MAX + 1 :]] == ["request_failed"]
    assert told.failures.shown()["dead_letters"] == {"rejected": 1_001}


def test_what_was_cancelled_is_no_failure() -> None:
    told = Told()
    with capture_logs() as logs:
        told.fail(5, Fail("cancelled", "It was cancelled."))
    assert (logs, told.failures.shown()["dead_letters"], told.failures.shown()["all_failing"]) == ([], {}, [])


def test_dead_letters_are_counted_for_an_hour() -> None:
    told = Told()
    told.fail(2)
    told.at_s += 60 * (HOUR_MINUTES - 1)
    told.failures.count_late_letter("deadline_exceeded")
    assert told.failures.shown()["dead_letters"] == {"rejected": 2, "deadline_exceeded": 1}
    assert told.failures.shown()["seconds"] == 60 * (HOUR_MINUTES - 1)
    told.at_s += 120
    assert told.failures.shown()["dead_letters"] == {"deadline_exceeded": 1}
    assert told.failures.shown()["seconds"] == 3_600


def test_a_model_of_which_all_fail_is_named_until_one_is_answered() -> None:
    told = Told()
    told.fail(2, body={"model": "gpt-9"})
    assert told.failures.shown()["all_failing"] == []
    told.failures.count_completed(told.rig.request(body={"model": "gpt-4o-mini"}))
    told.fail(1, body={"model": "gpt-9"})
    told.fail(1, Fail("exhausted", "Gave up."), body={"model": "gpt-9"})
    [failing] = told.failures.shown()["all_failing"]
    assert failing == {
        "kind": "model",
        "name": "gpt-9",
        "minutes": LATELY_MINUTES,
        "reasons": {"rejected": 3, "exhausted": 1},
    }
    told.failures.count_completed(told.rig.request(body={"model": "gpt-9"}))
    assert told.failures.shown()["all_failing"] == []
    told.at_s += 60 * LATELY_MINUTES
    assert told.failures.shown()["all_failing"] == []


def test_names_that_producers_choose_are_kept_in_bounds() -> None:
    told = Told()
    for number in range(1_000):
        told.fail(body={"model": f"model-{number}"})
    assert len(told.failures._minutes[-1].failed) == KINDS_MAX


async def _failing(count: int) -> tuple[Process, list[Any]]:
    world = World(latency_s=0.1)
    error = {"error": {"message": f"{PROMPT} is not allowed", "type": "invalid_request_error", "code": "bad_thing"}}
    world.upstream.script = lambda asked: Said(400, error, {"X-Request-Id": "req_77"})
    process = Process(world, "a")
    with capture_logs() as logs:
        process.start()
        await led(process)
        for number in range(count):
            body = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
            world.submit(f"lead-{number}", body=body)
        await until(lambda: len(world.outcomes()) == count)
        await until(lambda: len(process.telemetry.failures.shown()["all_failing"]) == 2)
    return process, logs


@VIRTUAL_TIME
async def test_a_dispatcher_tells_what_openai_refused_and_never_the_prompt() -> None:
    process, logs = await _failing(3)
    status = process.status.snapshot(process.clock.now_ms())["failed_lately"]
    await process.end()
    lines = [each for each in logs if each["event"] == "request_failed"]
    assert sorted(each["id"] for each in lines) == ["lead-0", "lead-1", "lead-2"]
    assert {each["upstream_request_id"] for each in lines} == {"req_77"}
    assert all("code bad_thing" in each["sentence"] for each in lines)
    assert PROMPT not in str(logs)
    assert status["dead_letters"] == {"rejected": 3}
    assert {each["kind"]: each["name"] for each in status["all_failing"]} == {"lane": "urgent", "model": MODEL}
