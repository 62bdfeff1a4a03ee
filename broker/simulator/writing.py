"""Writing of replies, here rather than in aiohttp, so that an answer is counted only once it was handed over."""

import asyncio
import json
from collections.abc import Iterator
from typing import Final

from aiohttp import web

from headrace.broker.simulator.accounting import Books, IdCount, StreamEnd
from headrace.broker.simulator.chat_pieces import chat_pieces
from headrace.broker.simulator.pricing import Endpoint
from headrace.broker.simulator.reply import REQUEST_ID, Reply, reply_headers
from headrace.broker.simulator.response_pieces import response_pieces
from headrace.broker.simulator.streams import AnswerStream, Manner, TimedText

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"


async def written(request: web.Request, reply: Reply, books: Books, arrived_s: float) -> web.StreamResponse:
    """Wait until the reply is due and write it out whole, or break off as it specifies.

    Raises:
        ConnectionResetError: the client has left.
    """
    if reply.held is not None:
        await reply.held.wait()
    if reply.stream is not None and not reply.dropped:
        return await _told(request, reply, reply.stream, books, arrived_s)
    await _until(arrived_s + reply.delay_s)
    if reply.dropped:
        books.disconnected += 1
        return _hung_up(request, web.Response(status=reply.status))
    text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
    kind = "text/html" if isinstance(reply.body, str) else "application/json"
    headers = {"content-type": kind, **reply_headers(reply, arrived_s, _now_s())}
    response = web.Response(status=reply.status, body=text.encode(), headers=headers)
    await response.prepare(request)
    await response.write_eof()
    _count(reply, reply.count, books, headers[REQUEST_ID])
    return response


async def _told(
    request: web.Request, reply: Reply, stream: AnswerStream, books: Books, arrived_s: float
) -> web.StreamResponse:
    await _until(arrived_s + reply.delay_s * stream.first_share / 2)
    headers = {"content-type": EVENT_STREAM, **reply_headers(reply, arrived_s, _now_s())}
    response = web.StreamResponse(status=reply.status, headers=headers)
    count = reply.count or IdCount()
    books.begin_stream(count)
    try:
        await response.prepare(request)
        for piece in _pieces(stream):
            await _until(arrived_s + reply.delay_s * piece.share)
            await response.write(piece.text.encode())
        await _until(arrived_s + reply.delay_s * stream.end_share)
        if stream.broken is None or stream.broken.manner is not Manner.CUT:
            await response.write_eof()
    except (asyncio.CancelledError, ConnectionResetError):
        books.end_stream(count, StreamEnd.ABANDONED)
        raise
    if stream.broken is None:
        books.end_stream(count, StreamEnd.COMPLETED)
        _count(reply, count, books, headers[REQUEST_ID])
    elif stream.broken.manner is Manner.CUT:
        books.end_stream(count, StreamEnd.CUT)
        return _hung_up(request, response)
    else:
        books.end_stream(count, StreamEnd.ERRORED)
    return response


def _count(reply: Reply, count: IdCount | None, books: Books, upstream_request_id: str) -> None:
    books.answer(reply.status, count)
    if reply.page is not None and reply.status == 200:
        reply.page.record_body(reply.body)
    if reply.billed_to is not None and reply.status == 200 and not isinstance(reply.body, str):
        request_id, endpoint = reply.billed_to
        books.bills.add(request_id, upstream_request_id, endpoint, reply.body)


def _pieces(stream: AnswerStream) -> Iterator[TimedText]:
    return chat_pieces(stream) if stream.endpoint is Endpoint.CHAT else response_pieces(stream)


def _hung_up(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return response


def _now_s() -> float:
    return asyncio.get_running_loop().time()


async def _until(at_s: float) -> None:
    if (wait_s := at_s - _now_s()) > 0:
        await asyncio.sleep(wait_s)
