"""Upstream calls: one attempt through the SDK's public `client.post`, with every result returned as data.

`client.post` is the SDK's documented call for endpoints it has no method for: authentication, base URL, organisation
and project stay the SDK's business, the body goes out as the producer wrote it, and one call costs a fifth of the
processor time of `chat.completions.create` on the default transport. `max_retries=0`: a hidden second attempt would
spend budget that was not reserved. The JSON is parsed by us, from the text we publish.

Answers are read by `transport`, which holds the bounds, and a stream event by event as plain JSON, assembled by
`stream_assembly`. `openai.timeout_s` bounds a call as a whole: a server that sends a byte now and then would otherwise
never be silent long enough to time out.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final, cast

import httpx2
import openai

from headrace.broker.adapters.openai.address import OPENAI_URL
from headrace.broker.adapters.openai.event_stream import END, AnswerTooLarge, EventReader
from headrace.broker.adapters.openai.stream_assembly import StreamAssembly, asking_for_a_stream, assembly
from headrace.broker.adapters.openai.transport import BoundedClient, StatusError, Unanswered
from headrace.broker.core.answers.error_body import answer_of
from headrace.broker.core.answers.verdict import Answer
from headrace.broker.core.endpoints import ENDPOINT_TABLE
from headrace.broker.ports import UpstreamReply
from headrace.broker.trace_context import calling
from headrace.schemas.delta import Delta, Head

WRITTEN_OUT_PARTS: Final = 4
"""Allowed length of an answer's JSON as a multiple of the outcome's: indented, with escapes for non-ASCII text."""
STREAM_PARTS: Final = 64
"""Allowed length of a stream as a multiple of an answer's: each word comes in an envelope of some 300 bytes."""
SMALL_BYTES: Final = 256 * 1024
LARGE_AT_ONCE: Final = 32
"""Number of answers above `SMALL_BYTES` read at once; others wait for a slot, within their own time. Without this limit
each call in flight could take the bound of one."""
_TURN_BYTES: Final = 16 * 1024
"""Bytes of one stream processed before other tasks get their turn, where a stream arrives faster than it is read."""
_LINES_PER_S: Final = 20_000
"""Lines of one stream that are read in a second. A model writes a thousand at most; a flood of more would take the
processor from all other calls, because an event costs some 15 µs whatever it contains."""
_LINES_AT_ONCE: Final = 100
_REST_BYTES_MAX: Final = 64 * 1024
_REST_WITHIN_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class OpenAIAccess:
    """Upstream address and identity; None: OpenAI itself, without organisation or project.

    The SDK's environment variables are read by our settings, which treat an empty one as unset: an empty
    `OPENAI_BASE_URL` would send every call nowhere.

    Attributes:
        timeout_s: Time limit of one call, from its sending to the end of its answer.
        outcome_bytes_max: Size limit of an outcome: an answer above it is not kept.
    """

    api_key: str | None
    base_url: str | None
    organization: str | None
    project: str | None
    timeout_s: float
    connections_max: int
    outcome_bytes_max: int = 1024 * 1024


class OpenAICalls:
    """An `UpstreamApi` on the openai SDK with a transport of our own."""

    def __init__(self, access: OpenAIAccess) -> None:
        """Raises openai.OpenAIError if no API key is set; `headrace.broker.service.compose` checks that first."""
        self._answer_bytes_max = WRITTEN_OUT_PARTS * access.outcome_bytes_max
        self._outcome_bytes_max = access.outcome_bytes_max
        url = httpx2.URL(access.base_url or OPENAI_URL)
        self._client = openai.AsyncOpenAI(
            api_key=access.api_key,
            base_url=url.copy_with(query=None),
            default_query=dict(url.params),  # the SDK would put its paths behind the query
            max_retries=0,
            timeout=None,
            http_client=BoundedClient(
                connections_max=access.connections_max, body_bytes_max=STREAM_PARTS * self._answer_bytes_max
            ),
        )
        self._client.organization, self._client.project = access.organization, access.project
        self._within_s = access.timeout_s
        self._places = asyncio.Semaphore(LARGE_AT_ONCE)

    async def call(
        self,
        endpoint: str,
        body: Mapping[str, object],
        client_request_id: str,
        on_delta: Callable[[Delta], None] | None = None,
        *,
        on_head: Callable[[Head], None] | None = None,
    ) -> UpstreamReply:
        """See `headrace.broker.ports.UpstreamApi.call`."""
        if on_delta is not None:
            body = asking_for_a_stream(endpoint, body)

        async def read(response: httpx2.Response, place: _Place) -> UpstreamReply:
            if on_delta is None or "event-stream" not in response.headers.get("content-type", ""):
                return await self._whole(response, place)
            return await self._told(_Stream(response, place, assembly(endpoint), on_delta, on_head))

        return await self._reply_to(self._posted(endpoint, body, client_request_id), read)

    async def models(self) -> UpstreamReply:
        """See `headrace.broker.ports.UpstreamApi.models`."""
        return await self._reply_to(self._listed(), self._whole)

    async def _reply_to(
        self,
        asking: Coroutine[None, None, httpx2.Response],
        read: Callable[[httpx2.Response, "_Place"], Awaitable[UpstreamReply]],
    ) -> UpstreamReply:
        """Send a request and read its reply, turning every failure into data."""
        place = _Place(self._places)
        try:
            async with asyncio.timeout(self._within_s):
                response = await asking
                try:
                    return await read(response, place)
                finally:
                    await response.aclose()
        except TimeoutError:
            answer = _silent("timeout", "OpenAI did not answer in time.")
        except Unanswered as error:
            answer = _silent(error.code, str(error))
        except StatusError as refusal:
            answer = answer_of(refusal.status, refusal.headers, refusal.text)
        except openai.APIError as error:
            answer = _silent("connection", f"{type(error).__name__}: {error}")
        finally:
            place.give_back()
        return UpstreamReply(answer, None)

    async def _posted(self, endpoint: str, body: Mapping[str, object], client_request_id: str) -> httpx2.Response:
        """Return the answer with its body unread: the SDK would read all of it."""
        response = await self._client.post(
            ENDPOINT_TABLE[endpoint].path,
            body=body,
            cast_to=httpx2.Response,
            options={"headers": {"X-Client-Request-Id": client_request_id, **_trace()}},
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )
        return cast("httpx2.Response", response)

    async def _listed(self) -> httpx2.Response:
        """Return the unread answer with the list of models."""
        response = await self._client.get(
            "/models", cast_to=httpx2.Response, stream=True, stream_cls=openai.AsyncStream[object]
        )
        return cast("httpx2.Response", response)

    async def _whole(self, response: httpx2.Response, place: "_Place") -> UpstreamReply:
        """Read an answer as one text. JSON is UTF-8 whatever the headers say; invalid bytes become U+FFFD."""
        read = bytearray()
        async for piece in response.aiter_raw():
            read += piece
            if len(read) > self._answer_bytes_max:
                return UpstreamReply(_answered(response), None, len(read))
            await place.take(len(read))
        return UpstreamReply(_answered(response), read.decode("utf-8-sig", errors="replace"))

    async def _told(self, stream: "_Stream") -> UpstreamReply:
        """Read a stream to its end or to an error."""
        response = stream.response
        try:
            ended = await self._followed(stream)
            if ended is not None:
                return ended
            answer = stream.whole.whole()
            if answer is None:
                return UpstreamReply(_silent("connection", "The stream ended before the answer did."), None)
            return UpstreamReply(replace(_answered(response), early=True), json.dumps(answer))
        except AnswerTooLarge as error:
            return _too_large(response, error.bytes_seen)
        except (ValueError, RecursionError):  # an event that is not JSON, or cannot be assembled
            return UpstreamReply(Answer(502, dict(response.headers), None, None, None, ""), None)

    async def _followed(self, stream: "_Stream") -> UpstreamReply | None:
        """Assemble the events; return the call's reply if one of them says that no more will come."""
        unmeasured, whole = 0, stream.whole
        async with aclosing(_events(stream, self._answer_bytes_max)) as events:
            async for data in events:
                event = json.loads(data)
                if isinstance(event, dict) and event.get("error"):
                    return UpstreamReply(_failed(stream.response, {"error": event["error"]}), None)
                delta = whole.add(event)
                if whole.is_error(event):
                    return UpstreamReply(_failed(stream.response, event), None)
                if delta is not None:
                    stream.tell(delta)
                unmeasured += len(data)
                if unmeasured > min(SMALL_BYTES, self._outcome_bytes_max):
                    unmeasured, weight = 0, whole.weight()
                    if weight > self._outcome_bytes_max:
                        return _too_large(stream.response, weight)
                    await stream.place.take(weight)
        return None

    async def close(self) -> None:
        """See `headrace.broker.ports.UpstreamApi.close`."""
        await self._client.close()


class _Place:
    """A call's slot among those that read large answers; taken only once its answer is large."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._is_taken = False

    async def take(self, held_bytes: int) -> None:
        """Wait for a slot if `held_bytes` is large."""
        if held_bytes > SMALL_BYTES and not self._is_taken:
            await self._places.acquire()
            self._is_taken = True

    def give_back(self) -> None:
        """Release the slot: the answer is read, or given up."""
        if self._is_taken:
            self._places.release()


@dataclass(frozen=True, slots=True)
class _Stream:
    """An answer that comes event by event, with the assembly and the callbacks that get the events."""

    response: httpx2.Response
    place: _Place
    whole: StreamAssembly
    on_delta: Callable[[Delta], None]
    on_head: Callable[[Head], None] | None

    def tell(self, delta: Delta) -> None:
        """Pass a delta on, and before it what the stream has newly said beside deltas."""
        if self.on_head is not None and (head := self.whole.head()):
            self.on_head(head)
        self.on_delta(delta)


async def _events(stream: _Stream, event_bytes_max: int) -> AsyncGenerator[str]:
    """Yield the data of each event but the last, which says that there are no more."""
    reader, before = EventReader(event_bytes_max), 0
    pieces = stream.response.aiter_raw()
    async with aclosing(pieces):
        async for piece in pieces:
            for at in range(0, len(piece), _TURN_BYTES):
                for data in reader.feed(piece[at : at + _TURN_BYTES]):
                    if data.startswith(END):
                        await _read_rest(pieces)
                        return
                    yield data
                await stream.place.take(reader.held)
                lines, before = reader.lines - before, reader.lines
                await asyncio.sleep(lines / _LINES_PER_S if lines > _LINES_AT_ONCE else 0)


async def _read_rest(pieces: AsyncIterator[bytes]) -> None:
    """Read the end of the HTTP body after the last event, so that the connection can be reused; do not wait long."""
    read = 0
    with contextlib.suppress(TimeoutError, Unanswered, AnswerTooLarge):
        async with asyncio.timeout(_REST_WITHIN_S):
            async for piece in pieces:
                read += len(piece)
                if read > _REST_BYTES_MAX:
                    return


def _trace() -> dict[str, str]:
    """Return the header that lets the server continue our trace; none where the call is not traced.

    `tracestate` stays here: it holds what a producer's own tracing system notes for itself.
    """
    context = calling.get()
    return {} if context is None else {"traceparent": context.traceparent}


def _too_large(response: httpx2.Response, bytes_seen: int) -> UpstreamReply:
    return UpstreamReply(replace(_answered(response), early=True), None, bytes_seen)


def _answered(response: httpx2.Response) -> Answer:
    return Answer(response.status_code, dict(response.headers), None, None, None, "")


def _failed(response: httpx2.Response, event: object) -> Answer:
    """Build the answer for an error inside a stream: its status and headers are those of a success."""
    return answer_of(response.status_code, dict(response.headers), event)


def _silent(code: str, message: str) -> Answer:
    return Answer(None, {}, code, None, None, message)
