"""Which ids are cancelled, what is said of each, and how it ends: without a Kafka."""

import asyncio
import os
import sys

import pytest

from headrace.broker.cli.cancel import _each, _named, _outcome, _said, _Waits
from headrace.broker.cli.main import main
from headrace.broker.client import GenerationClient
from headrace.broker.errors import InvalidRequest, LogUnavailable
from headrace.broker.testing.memory_broker import MemoryBroker
from headrace.schemas.outcome import Completed, Failed
from tests.virtual_time import VIRTUAL_TIME


def stdin_of(text: bytes) -> int:
    """Standard input, as a pipe that holds this; returns what it was before."""
    reading, writing = os.pipe()
    os.write(writing, text)
    os.close(writing)
    before = os.dup(0)
    os.dup2(reading, 0)
    os.close(reading)
    return before


def test_ids_come_from_arguments_and_standard_input_each_once_and_in_order() -> None:
    before = stdin_of(b"b\r\n\n  \nc d\na\n")
    try:
        assert _named(["a", "-", "e"]) == ["a", "b", "c d", "e"]
    finally:
        os.dup2(before, 0)
        os.close(before)


@pytest.mark.parametrize("wrong", ["ü", "x" * 129])
def test_an_id_that_is_none_is_named_before_anything_is_sent(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidRequest):
        _named(["a", wrong])
    assert main(["cancel", "a", wrong]) == 2
    assert capsys.readouterr() == (
        "",
        f"headrace: {wrong!r} is not an id: an id is 1 to 128 printable ASCII characters.\n",
    )


def test_cancelling_nobody_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cancel"]) == 2
    assert capsys.readouterr().out == ""


async def test_lines_come_in_the_order_of_the_ids_however_long_each_takes(capsys: pytest.CaptureFixture[str]) -> None:
    async def one(request_id: str) -> tuple[str, bool]:
        for _ in range(int(request_id) % 7):
            await asyncio.sleep(0)
        return request_id, request_id != "3"

    ids = [str(number) for number in range(1_200)]
    assert await _each(ids, one) is False
    assert capsys.readouterr().out.splitlines() == ids
    assert await _each(["1", "2"], one) is True


async def test_the_first_that_cannot_be_sent_ends_it_and_nothing_is_left_running() -> None:
    async def one(request_id: str) -> tuple[str, bool]:
        if request_id == "1":
            raise LogUnavailable("Kafka is away.")
        await asyncio.sleep(sys.maxsize)
        raise AssertionError

    before = asyncio.all_tasks()
    with pytest.raises(LogUnavailable):
        await _each(["1", "2", "3"], one)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Completed(id="a", response={}), "a was completed before it could be cancelled."),
        (Failed(id="a", reason="cancelled", message="…"), "a was cancelled."),
        (Failed(id="a", reason="rejected", message="No."), "a had already failed (rejected): No."),
    ],
)
def test_a_person_is_told_what_became_of_each(outcome: Completed | Failed, said: str) -> None:
    assert _said(outcome) == said


@VIRTUAL_TIME
async def test_with_a_tenant_another_ones_request_goes_on_and_that_is_said() -> None:
    async with MemoryBroker(latency_s=5) as broker:
        client = GenerationClient(connection=broker.connection)
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
        await client.submit(body, id="lead-1", tenant="acme")
        waits = _Waits("zenith", timeout_s=5, wait_s=60)
        told, well = await _outcome(client, "lead-1", waits, as_json=False)
        await client.close()
        assert [each.status for each in broker.outcomes] == ["completed"]
    assert told == ("The id lead-1 belongs to a request with another tenant: check the id.")
    assert not well
