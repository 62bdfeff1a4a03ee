"""Events for open pages: made once a second for all of them, and not at all without one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.clock import WallClock
from headrace.broker.service.containment import Containment
from headrace.broker.service.page.broadcast import PAGES_MAX, WRITE_WITHIN_S, Broadcast, encoded
from headrace.broker.service.page.pages import _write
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


class Source:
    """Numbered documents."""

    def __init__(self, *, takes_s: float = 0.0, fails: bool = False) -> None:
        self.made, self.takes_s, self.fails = 0, takes_s, fails

    async def document(self) -> dict[str, Any]:
        self.made += 1
        await asyncio.sleep(self.takes_s)
        if self.fails:
            raise RuntimeError
        return {"number": self.made}


def broadcast(source: Source) -> Broadcast:
    loop = asyncio.get_running_loop()
    return Broadcast(source.document, Containment(Meter(), WallClock(loop.time)))


def event(number: int) -> bytes:
    return f'event: status\ndata: {{"number":{number}}}\n\n'.encode()


class Opened:
    """An open page."""

    def __init__(self, pages: Broadcast) -> None:
        self._context = pages.page()
        self._events = self._context.__enter__()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._events

    async def __anext__(self) -> bytes:
        return await anext(self._events)

    def close(self) -> None:
        self._context.__exit__(None, None, None)


async def test_all_open_pages_get_the_same_event_that_was_made_once() -> None:
    source = Source()
    pages = broadcast(source)
    streams = [Opened(pages) for _ in range(50)]
    first = [await anext(each) for each in streams]
    assert set(first) == {event(1)}
    assert set(await asyncio.gather(*(anext(each) for each in streams))) == {event(2)}
    assert source.made == 2
    assert {id(each) for each in first} == {id(first[0])}, "encoded once"
    await pages.close()


async def test_one_event_a_second_is_made_however_long_it_takes_to_make() -> None:
    source = Source(takes_s=0.4)
    stream = Opened(broadcast(source))
    began_s = asyncio.get_running_loop().time()
    for _ in range(10):
        await anext(stream)
    assert 9 <= asyncio.get_running_loop().time() - began_s < 10
    stream.close()


async def test_nothing_is_made_while_no_page_is_open() -> None:
    source = Source()
    pages = broadcast(source)
    await asyncio.sleep(60)
    assert source.made == 0
    stream = Opened(pages)
    await anext(stream)
    stream.close()
    assert pages.pages == 0
    await asyncio.sleep(60)
    assert source.made == 1
    again = Opened(pages)
    assert await anext(again) == event(2), "a page that is opened later starts it again"
    again.close()


async def test_a_page_that_takes_no_events_keeps_one_and_gets_the_newest() -> None:
    source = Source()
    stream = Opened(broadcast(source))
    await anext(stream)
    await asyncio.sleep(100)
    assert await anext(stream) == event(source.made)
    assert source.made > 90
    stream.close()


async def test_a_document_that_cannot_be_made_keeps_the_connection_and_is_no_event() -> None:
    source = Source(fails=True)
    stream = Opened(broadcast(source))
    assert await anext(stream) == b": still here\n\n"
    source.fails = False
    assert await anext(stream) == event(2)
    stream.close()


async def test_a_document_that_is_never_made_does_not_end_the_stream() -> None:
    source = Source(takes_s=3_600)
    stream = Opened(broadcast(source))
    assert await anext(stream) == b": still here\n\n"
    stream.close()


async def test_streams_end_at_once_when_the_process_leaves() -> None:
    pages = broadcast(Source())
    streams = [Opened(pages) for _ in range(3)]
    reading = [asyncio.create_task(_all(each)) for each in streams]
    await asyncio.sleep(2.5)
    await pages.close()
    await asyncio.wait_for(asyncio.gather(*reading), 0.1)
    assert pages.pages == 0


async def _all(page: Opened) -> None:
    async for _ in page:
        pass
    page.close()


async def test_a_page_that_is_gone_before_its_first_event_leaves_nothing_behind() -> None:
    source = Source()
    pages = broadcast(source)
    Opened(pages).close()
    await asyncio.sleep(10)
    assert (pages.pages, source.made) == (0, 0)


async def test_a_page_that_is_opened_as_the_last_one_closes_gets_events() -> None:
    pages = broadcast(Source())
    first = Opened(pages)
    await anext(first)
    first.close()
    second = Opened(pages)
    async with asyncio.timeout(5):
        await anext(second)
        await anext(second)
    second.close()


async def test_pages_are_bounded_in_number() -> None:
    pages = broadcast(Source())
    streams = [Opened(pages) for _ in range(PAGES_MAX)]
    assert pages.is_full
    await anext(streams[0])
    streams[0].close()
    assert not pages.is_full
    await pages.close()
    for each in streams[1:]:
        each.close()


def test_an_event_has_its_data_on_one_line_whatever_is_in_it() -> None:
    told = encoded("status", {"a\nb": "x\r\n\ndata: forged\u2028\x85", "half": "\udcff", "nan": float("nan")})
    lines = told.decode().split("\n")
    assert lines[0] == "event: status"
    assert lines[1].startswith("data: {")
    assert lines[2:] == ["", ""]
    assert told.isascii()


class Hanging:
    """A request and its response, whose other end takes nothing, or is gone."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.aborted = error, False

    @property
    def transport(self) -> "Hanging":
        return self

    def abort(self) -> None:
        self.aborted = True

    async def write(self, event: bytes) -> None:
        if self.error is not None:
            raise self.error
        await asyncio.sleep(3_600)


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
async def test_a_page_that_takes_no_event_in_time_or_is_gone_is_dropped(error: Exception | None) -> None:
    other_end: Any = Hanging(error)
    began_s = asyncio.get_running_loop().time()
    assert not await _write(other_end, other_end, b"event")
    assert asyncio.get_running_loop().time() - began_s <= WRITE_WITHIN_S
    assert other_end.aborted
