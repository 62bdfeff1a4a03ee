"""What a person sees of a file that is sent: a bar, a summary, and after Ctrl-C the line to go on with."""

import _thread
import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.progress import Progress
from structlog.testing import capture_logs

from headrace.broker.cli.main import main
from headrace.broker.cli.request_lines import submissions
from headrace.broker.cli.screen import screen
from headrace.broker.cli.sending import Sending
from headrace.broker.cli.submit import Showing, SubmitOptions, send
from headrace.broker.cli.termination import INTERRUPTED
from headrace.broker.client import GenerationClient, Receipt, each
from headrace.broker.errors import InvalidRequest
from headrace.broker.testing.memory_broker import MemoryBroker
from headrace.broker.testing.upstream import Asked, Said, Silence
from headrace.schemas.outcome import Completed, Failed, Timings
from tests.virtual_time import VIRTUAL_TIME

BODY = {"model": "gpt-4o-mini", "messages": []}
REFUSED = Said(400, {"error": {"message": "no", "type": "invalid_request_error", "code": "bad"}})
NEVER = Silence("timeout", after_s=500.0)
AT = datetime(2026, 12, 1, 9, tzinfo=UTC)


def file_of(*ids: str) -> bytes:
    return b"".join(json.dumps({"id": each, "body": BODY}).encode() + b"\n" for each in ids)


@contextmanager
def showing(sending: Sending, *, wait: bool, as_lines: bool = False) -> Iterator[Showing]:
    console = screen(err=True)
    console.width = 200
    with Progress(console=console, disable=True) as bar:
        bar.add_task("sent", total=sending.total)
        yield Showing(sending, bar, SubmitOptions(wait, 60.0, 5.0, as_lines))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


async def sent(broker: MemoryBroker, sending: Sending, content: bytes, *, wait: bool, as_lines: bool = False) -> None:
    read = sending.read(
        submissions(sending.lines(io.BytesIO(content)), lane="urgent", tenant="acme", source="leads.jsonl")
    )
    async with GenerationClient(connection=broker.connection) as client:
        with showing(sending, wait=wait, as_lines=as_lines) as shown:
            await send(client, each(read), shown)


def answer(asked: Asked) -> Any:
    return REFUSED if asked.request_id.startswith("bad") else "Dear Ada"


@VIRTUAL_TIME
async def test_a_person_sees_what_failed_and_a_summary_and_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    async with MemoryBroker(answer, latency_s=0.3) as broker:
        sending = Sending("leads.jsonl", 4)
        await sent(
            broker, sending, file_of("a", "b", "bad-\u001b", "bad-2").replace(b"bad-\\u001b", b"bad-1"), wait=True
        )
    assert not sending.is_all_well
    summary = list(sending.ended())
    assert summary[0] == "4 requests: 2 answered, 2 failed (rejected)."
    assert summary[1].startswith("Time from sent to answered: 50 % within 0.")
    assert summary[2] == "`headrace results --failed` shows what failed."
    said = capsys.readouterr()
    assert said.out == ""
    assert sorted(line.split(":")[0] for line in said.err.splitlines()) == [
        "bad-1 failed, rejected",
        "bad-2 failed, rejected",
    ]


@VIRTUAL_TIME
async def test_a_pipe_gets_a_line_of_json_for_each_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    async with MemoryBroker(answer) as broker:
        await sent(broker, Sending("leads.jsonl", 2), file_of("a", "bad"), wait=True, as_lines=True)
        outcomes = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        await sent(broker, Sending("leads.jsonl", 1), file_of("c"), wait=False, as_lines=True)
        receipts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted((each["id"], each["status"]) for each in outcomes) == [("a", "completed"), ("bad", "failed")]
    assert [sorted(each) for each in receipts] == [["id", "lane", "offset", "partition", "submitted_at", "topic"]]


@VIRTUAL_TIME
async def test_what_is_sent_is_summed_by_lane() -> None:
    async with MemoryBroker(answer) as broker:
        sending = Sending("leads.jsonl", 3)
        bulk = json.dumps({"id": "c", "lane": "bulk", "body": BODY}).encode()
        await sent(broker, sending, file_of("a", "b") + bulk, wait=False)
    assert sending.is_all_well
    assert sending.sent() == (
        "3 requests are sent: 2 on urgent, 1 on bulk. `headrace results --follow` shows outcomes as they arrive."
    )


@pytest.mark.slow
@VIRTUAL_TIME
async def test_a_wait_without_any_outcome_says_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    async with MemoryBroker(lambda asked: NEVER) as broker:
        sending = Sending("leads.jsonl", 1)
        await sent(broker, sending, file_of("a"), wait=True)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "No outcome yet after 10 s: `headrace status` says what they wait for."
    assert second.startswith("No outcome of a within 60 s")
    assert list(sending.ended()) == [
        "1 request: 0 answered, 1 without an outcome in time.",
        "Requests without an outcome stay under way; `headrace status` says what they wait for.",
    ]


# ---------------------------------------------------------------------------------------------------- interrupted


async def interrupted(count: int, *, wait: bool, after: int) -> Sending:
    """A file of `count` requests with an empty line after each, cut off once `after` have been answered or sent."""
    sending = Sending("my leads.jsonl", count)
    enough = asyncio.Event()

    def answered(asked: Asked) -> Any:
        number = int(asked.request_id.removeprefix("lead-"))
        return "Dear Ada" if number < after else NEVER

    async def slowly(content: bytes) -> AsyncIterator[Any]:
        lines = sending.lines(io.BytesIO(content))
        for number, one in enumerate(sending.read(submissions(lines, lane="urgent", tenant=None, source="x"))):
            yield one
            if number == count // 2:
                enough.set()
                await asyncio.Event().wait()

    content = file_of(*(f"lead-{number}" for number in range(count))).replace(b"\n", b"\n\n")
    async with MemoryBroker(answered) as broker, GenerationClient(connection=broker.connection) as client:
        with showing(sending, wait=wait) as shown:
            sends = asyncio.create_task(send(client, slowly(content), shown))
            await enough.wait()
            await asyncio.sleep(5)
            sends.cancel()
            await asyncio.gather(sends, return_exceptions=True)
    return sending


@VIRTUAL_TIME
async def test_ctrl_c_while_waiting_says_what_is_answered_what_goes_on_and_with_which_line_to_begin() -> None:
    sending = await interrupted(20, wait=True, after=3)
    said = sending.how_to_go_on(waited=True)
    assert said.startswith(
        "3 of 20 have their outcome. 8 more may have been sent and they are under way. Nothing was sent from line "
        "22 on. To continue, begin with line 7: `tail -n +7 'my leads.jsonl' | headrace submit -`, with the same "
        "options. A line with an id is safe to send again"
    )


def test_stopped_after_the_last_line_was_sent_no_line_is_named_behind_it() -> None:
    sending = Sending("leads.jsonl", 1)
    prepared = sending.read(
        submissions(sending.lines(io.BytesIO(file_of("a"))), lane="urgent", tenant=None, source="x")
    )
    next(prepared)
    sending.note_begun("a")
    assert sending.how_to_go_on(waited=True).startswith(
        "0 of 1 have their outcome. 1 more may have been sent and it is under way. To continue, begin with line 1: "
    )


@VIRTUAL_TIME
async def test_ctrl_c_while_sending_says_with_which_line_to_begin() -> None:
    sending = await interrupted(20, wait=False, after=0)
    assert sending.how_to_go_on(waited=False).startswith(
        "0 of 20 are certainly sent. Up to 11 of the next may have been sent too. To continue, begin with line 1: "
    )


def test_of_standard_input_the_line_is_named_and_no_command_is_made_up() -> None:
    sending = Sending("-", None)
    prepared = sending.read(
        submissions(sending.lines(io.BytesIO(file_of("a"))), lane="urgent", tenant=None, source="-")
    )
    next(prepared)
    sending.note_begun("a")
    assert "begin with line 1 of the former standard input. A line with" in sending.how_to_go_on(waited=True)
    sending.note_ended("a", Completed(id="a", response={}))
    assert "begin with line 2 of the former standard input" in sending.how_to_go_on(waited=True)


def test_of_a_pipe_that_a_shell_has_named_no_command_is_made_up() -> None:
    said = Sending("/dev/fd/63", None).how_to_go_on(waited=False)
    assert "begin with line 1 of the input read from /dev/fd/63. A line with" in said
    assert "tail" not in said


def test_ctrl_c_while_a_file_is_checked_says_that_nothing_was_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "leads.jsonl"
    source.write_bytes(file_of("a") * 1_000)

    def interrupted(*_: object, **__: object) -> None:
        _thread.interrupt_main()

    monkeypatch.setattr("headrace.broker.cli.submit.checked", interrupted)
    assert main(["submit", str(source), "--bootstrap-servers=127.0.0.1:1"]) == INTERRUPTED
    assert capsys.readouterr().err == f"Interrupted while {source} was checked: nothing was sent.\n"


def test_a_line_that_is_no_request_is_the_one_to_go_on_with() -> None:
    sending = Sending("-", None)
    lines = io.BytesIO(file_of("a") + b"\nno request\n")
    prepared = sending.read(submissions(sending.lines(lines), lane="urgent", tenant=None, source="-"))
    next(prepared)
    sending.note_sent(Receipt("a", "urgent", "t", 0, 0, AT))
    with pytest.raises(InvalidRequest):
        next(prepared)
    assert sending.has_begun
    assert "1 is certainly sent. To continue, begin with line 2 of the" in sending.how_to_go_on(waited=False)


def test_waits_are_told_by_rank() -> None:
    sending = Sending("f", 100)
    for number in range(100):
        timings = Timings(submitted_at=AT, finished_at=AT + timedelta(seconds=number + 1))
        sending.note_ended(f"lead-{number}", Completed(id=f"lead-{number}", response={}, timings=timings))
    sending.note_ended("x", Failed(id="x", reason="rejected", message="No."))
    summary = list(sending.ended())
    assert summary[1] == "Time from sent to answered: 50 % within 50 s, 95 % within 1 min 35 s, all within 1 min 40 s."
