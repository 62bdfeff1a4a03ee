"""Dead letters in the order of time, and what can be told of their originals, whatever strangers wrote."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from headrace.broker.client_ports import StoredRecord
from headrace.consumers.dead_letters import Original, original_of
from headrace.consumers.oldest_first import OldestFirstReader
from headrace.schemas.codec import decode_dead_letter, encode_dead_letter
from headrace.schemas.dead_letter import DeadLetter
from headrace.schemas.record import Record

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)


def standing(partition: int, offset: int, timestamp_ms: int) -> StoredRecord:
    return StoredRecord("t", partition, offset, timestamp_ms, Record(None, b""))


class Log:
    """Partitions whose records come in the portions given, and how often each was asked."""

    def __init__(self, **portions: Sequence[Sequence[tuple[int, int]]]) -> None:
        self.left = {int(name[1:]): list(each) for name, each in portions.items()}
        self.asked: list[int] = []

    @property
    def partitions(self) -> list[int]:
        return sorted(self.left)

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def take(self, partition: int) -> Sequence[StoredRecord]:
        self.asked.append(partition)
        portions = self.left[partition]
        return [standing(partition, offset, at_ms) for offset, at_ms in portions.pop(0)] if portions else ()

    async def all(self) -> list[tuple[int, int]]:
        found = []
        async with reader_of(self) as reader:
            while (each := await reader.next()) is not None:
                found.append((each.partition, each.offset))
            assert await reader.next() is None
        return found


def reader_of(log: Log) -> OldestFirstReader:
    return OldestFirstReader(log)  # type: ignore[arg-type]  # all that a pass asks of a scan


async def test_partitions_are_merged_by_time() -> None:
    log = Log(p0=[[(0, 10), (1, 40)], [(2, 50)]], p1=[[(7, 20)], [(9, 30)]], p2=[])
    assert await log.all() == [(0, 0), (1, 7), (1, 9), (0, 1), (0, 2)]


async def test_a_partitions_own_order_is_kept_whatever_its_timestamps() -> None:
    log = Log(p0=[[(0, 90), (1, 10)]], p1=[[(0, 50)]])
    assert await log.all() == [(1, 0), (0, 0), (0, 1)]


async def test_no_more_is_taken_than_the_next_of_each_partition_needs() -> None:
    log = Log(p0=[[(0, 1), (1, 2), (2, 3)]], p1=[[(0, 100)], [(1, 200)]])
    async with reader_of(log) as reader:
        for _ in range(3):
            await reader.next()
    assert log.asked == [0, 1]


# ---------------------------------------------------------------------------------------------------- originals


def request(**fields: Any) -> bytes:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "confidential"}]}
    return json.dumps({"id": "lead-1", "tenant": "acme", "body": body} | fields).encode()


def letter(value: bytes | None, headers: Sequence[tuple[str, bytes]] = (), *, bytes_max: int = 1_000_000) -> DeadLetter:
    record = encode_dead_letter(
        b"key",
        value,
        headers,
        reason="rejected",
        origin=("generation.requests.bulk", 1, 2),
        attempts=1,
        run=0,
        failed_at=NOW,
        max_bytes=bytes_max,
    )
    return decode_dead_letter(record.key, record.value, record.headers)


def test_a_request_tells_who_it_was() -> None:
    assert original_of(letter(request())) == Original("lead-1", "acme", "gpt-4o-mini", "chat.completions")


def test_a_request_that_is_invalid_tells_as_much() -> None:
    refused = letter(request(endpoint="images", stream="perhaps"))
    assert original_of(refused) == Original("lead-1", "acme", "gpt-4o-mini", "images")


def test_an_event_in_structured_mode_is_unwrapped() -> None:
    event = {"specversion": "1.0", "subject": "lead-9", "data": {"body": {"model": "m"}}}
    headers = [("content-type", b"application/cloudevents+json")]
    assert original_of(letter(json.dumps(event).encode(), headers)).id == "lead-9"


def test_of_a_value_that_was_cut_its_beginning_tells() -> None:
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "x" * 5_000_000}]}
    cut = letter(request(body=body))
    assert cut.original_length is not None
    assert len(cut.value or b"") == 65_536
    assert original_of(cut) == Original("lead-1", "acme", "gpt-4.1", None)


def test_of_a_value_that_was_cut_before_its_id_the_headers_tell() -> None:
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "x" * 5_000_000}]}
    value = json.dumps({"body": body, "id": "too-late"}).encode()
    told = original_of(letter(value, [("ce_subject", b"lead-7"), ("ce_id", b"lead-7")]))
    assert (told.id, told.model) == ("lead-7", "gpt-4.1")


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff\xfe\x00 no text",
        b"[" * 100_000,
        b"[1]",
        b'{"id": 7, "tenant": ["a"], "body": "text"}',
        b'{"id": "' + "ü".encode() + b'", "body": {"model": {}}}',
        b'{"id": "' + b"x" * 200 + b'"}',
    ],
)
def test_bytes_that_tell_nothing_are_no_error(value: bytes | None) -> None:
    assert original_of(letter(value)) == Original(None, None, None, None)
