"""Events for open pages: made once a second for all of them, and not at all without one."""

import asyncio
from typing import Any

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.clock import WallClock
from headrace.broker.service.containment import Containment
from headrace.broker.service.page.broadcast import PAGES_MAX, Broadcast, encoded
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


async def test_all_open_pages_get_the_same_event_that_was_made_once() -> None:
    source = Source()
    pages = broadcast(source)
    streams = [pages.events() for _ in range(50)]
    first = [await anext(each) for each in streams]
    assert set(first) == {event(1)}
    assert set(await asyncio.gather(*(anext(each) for each in streams))) == {event(2)}
    assert source.made == 2
    assert {id(each) for each in first} == {id(first[0])}, "encoded once"
    await pages.close()


async def test_one_event_a_second_is_made_however_long_it_takes_to_make() -> None:
    source = Source(takes_s=0.4)
    stream = broadcast(source).events()
    began_s = asyncio.get_running_loop().time()
    for _ in range(10):
        await anext(stream)
    assert 9 <= asyncio.get_running_loop().time() - began_s < 10
    await stream.aclose()


async def test_nothing_is_made_while_no_page_is_open() -> None:
    source = Source()
    pages = broadcast(source)
    await asyncio.sleep(60)
    assert source.made == 0
    stream = pages.events()
    await anext(stream)
    await stream.aclose()
    assert pages.pages == 0
    await asyncio.sleep(60)
    assert source.made == 1
    again = pages.events()
    assert await anext(again) == event(2), "a page that is opened later starts it again"
    await again.aclose()


async def test_a_page_that_takes_no_events_keeps_one_and_gets_the_newest() -> None:
    source = Source()
    stream = broadcast(source).events()
    await anext(stream)
    await asyncio.sleep(100)
    assert await anext(stream) == event(source.made)
    assert source.made > 90
    await stream.aclose()


async def test_a_document_that_cannot_be_made_keeps_the_connection_and_is_no_event() -> None:
    source = Source(fails=True)
    stream = broadcast(source).events()
    assert await anext(stream) == b": still here\n\n"
    source.fails = False
    assert await anext(stream) == event(2)
    await stream.aclose()


async def test_a_document_that_is_never_made_does_not_end_the_stream() -> None:
    source = Source(takes_s=3_600)
    stream = broadcast(source).events()
    assert await anext(stream) == b": still here\n\n"
    await stream.aclose()


async def test_streams_end_at_once_when_the_process_leaves() -> None:
    pages = broadcast(Source())
    streams = [pages.events() for _ in range(3)]
    reading = [asyncio.create_task(_all(each)) for each in streams]
    await asyncio.sleep(2.5)
    await pages.close()
    await asyncio.wait_for(asyncio.gather(*reading), 0.1)
    assert pages.pages == 0


async def _all(stream: Any) -> None:
    async for _ in stream:
        pass


async def test_pages_are_bounded_in_number() -> None:
    pages = broadcast(Source())
    streams = [pages.events() for _ in range(PAGES_MAX)]
    assert pages.is_full
    await anext(streams[0])
    await streams[0].aclose()
    assert not pages.is_full
    await pages.close()
    for each in streams[1:]:
        await each.aclose()


def test_an_event_has_its_data_on_one_line_whatever_is_in_it() -> None:
    told = encoded("status", {"a\nb": "x\r\n\ndata: forged\u2028\x85", "half": "\udcff", "nan": float("nan")})
    lines = told.decode().split("\n")
    assert lines[0] == "event: status"
    assert lines[1].startswith("data: {")
    assert lines[2:] == ["", ""]
    assert told.isascii()
