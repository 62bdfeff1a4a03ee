"""The door to OpenAI: one attempt through the SDK's public `client.post`, and everything that can come of it as data.

`client.post` is the SDK's documented call for endpoints it has no method for: authentication, base URL, organisation,
project and time-outs stay the SDK's business, the body goes out as the producer wrote it, and one call costs a fifth
of the processor time of `chat.completions.create` on the default transport. `max_retries=0`: a hidden second attempt
would spend budget that nobody reserved. The JSON is parsed by us, from the text we publish.

A stream is read with the SDK's `AsyncStream`, event by event as plain JSON, and put together by `stream_assembly`.
The time-out of the settings bounds each silence, and a stream as a whole.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import httpx2
import openai

from broker.adapters.stream_assembly import asking_for_a_stream, assembly
from broker.core.envelope import answer_of
from broker.core.verdict import Answer
from broker.ports import UpstreamReply
from schemas.delta import Delta

_PATHS = {
    "chat.completions": "/chat/completions",
    "responses": "/responses",
    "embeddings": "/embeddings",
}
_CONNECT_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class OpenAIAccess:
    """Where and as whom; None leaves it to the SDK, that is to its environment variables."""

    api_key: str | None
    base_url: str | None
    organization: str | None
    project: str | None
    timeout_s: float
    connections_max: int


class OpenAICalls:
    """An `Upstream` on the openai SDK with its aiohttp transport."""

    def __init__(self, access: OpenAIAccess) -> None:
        """Raises openai.OpenAIError if there is no API key anywhere; `broker.service.compose` says so beforehand."""
        limits = httpx2.Limits(max_connections=access.connections_max, max_keepalive_connections=access.connections_max)
        timeout = httpx2.Timeout(access.timeout_s, connect=_CONNECT_WITHIN_S)
        self._client = openai.AsyncOpenAI(
            api_key=access.api_key,
            base_url=access.base_url,
            organization=access.organization,
            project=access.project,
            max_retries=0,
            timeout=timeout,
            http_client=openai.DefaultAioHttpClient(limits=limits, timeout=timeout),
        )
        self._stream_within_s = access.timeout_s

    async def call(
        self,
        endpoint: str,
        body: Mapping[str, object],
        client_request_id: str,
        on_delta: Callable[[Delta], None] | None = None,
    ) -> UpstreamReply:
        """See `broker.ports.Upstream.call`."""
        try:
            if on_delta is None:
                return await self._asked(endpoint, body, client_request_id)
            async with asyncio.timeout(self._stream_within_s):
                return await self._streamed(endpoint, body, client_request_id, on_delta)
        except TimeoutError:
            answer = _silent("timeout", "OpenAI did not answer in time.")
        except openai.APIError as error:
            answer = _unanswered(error)
        return UpstreamReply(answer, None)

    async def _asked(self, endpoint: str, body: Mapping[str, object], client_request_id: str) -> UpstreamReply:
        response = await self._client.post(
            _PATHS[endpoint],
            body=body,
            cast_to=httpx2.Response,
            options={"headers": {"X-Client-Request-Id": client_request_id}},
        )
        return UpstreamReply(_answered(response), response.text)

    async def _streamed(
        self,
        endpoint: str,
        body: Mapping[str, object],
        client_request_id: str,
        on_delta: Callable[[Delta], None],
    ) -> UpstreamReply:
        stream = await self._client.post(
            _PATHS[endpoint],
            body=asking_for_a_stream(endpoint, body),
            cast_to=object,
            options={"headers": {"X-Client-Request-Id": client_request_id}},
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )
        async with stream:
            try:
                if "event-stream" not in stream.response.headers.get("content-type", ""):
                    await stream.response.aread()
                    return UpstreamReply(_answered(stream.response), stream.response.text)
                return await _told(stream, endpoint, on_delta)
            except openai.APIConnectionError:
                raise
            except openai.APIError as error:  # an event that says so
                return UpstreamReply(_failed(stream.response, {"error": error.body}), None)
            except httpx2.HTTPError as error:
                return UpstreamReply(_silent("connection", f"{type(error).__name__}: {error}"), None)
            except (ValueError, RecursionError):  # an event that is no JSON
                return UpstreamReply(Answer(502, dict(stream.response.headers), None, None, None, ""), None)

    async def close(self) -> None:
        """See `broker.ports.Upstream.close`."""
        await self._client.close()


async def _told(stream: openai.AsyncStream[object], endpoint: str, on_delta: Callable[[Delta], None]) -> UpstreamReply:
    whole = assembly(endpoint)
    async for event in stream:
        delta = whole.add(event)
        if whole.is_error(event):
            return UpstreamReply(_failed(stream.response, event), None)
        if delta is not None:
            on_delta(delta)
    answer = whole.whole()
    if answer is None:
        return UpstreamReply(_silent("connection", "The stream ended before the answer did."), None)
    return UpstreamReply(replace(_answered(stream.response), early=True), json.dumps(answer))


def _answered(response: httpx2.Response) -> Answer:
    return Answer(response.status_code, dict(response.headers), None, None, None, "")


def _failed(response: httpx2.Response, event: object) -> Answer:
    """An error in a stream: the status and the headers are of an answer that began well."""
    return answer_of(response.status_code, dict(response.headers), event)


def _unanswered(error: openai.APIError) -> Answer:
    """What is known where no answer came, or a refusal did."""
    if isinstance(error, openai.APIStatusError):
        return _refused(error)
    if isinstance(error, openai.APITimeoutError) and _timed_out(error):
        return _silent("timeout", "OpenAI did not answer in time.")
    return _silent("connection", _reason(error))


def _refused(error: openai.APIStatusError) -> Answer:
    """From the whole body: the SDK keeps only what is under `error`, and some servers say the rest beside it."""
    try:
        body: object = error.response.text
    except httpx2.ResponseNotRead:
        body = error.body
    return answer_of(error.status_code, dict(error.response.headers), body)


def _silent(code: str, message: str) -> Answer:
    return Answer(None, {}, code, None, None, message)


def _timed_out(error: openai.APITimeoutError) -> bool:
    """Whether time ran out: the aiohttp transport calls a refused or cut connection a time-out as well."""
    chain: list[BaseException] = []
    cause: BaseException | None = error.__cause__
    while cause is not None:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return len(chain) < 2 or any(isinstance(each, TimeoutError) for each in chain)


def _reason(error: openai.APIError) -> str:
    cause = error.__cause__
    while cause is not None and cause.__cause__ is not None:
        cause = cause.__cause__
    return f"{type(cause).__name__}: {cause}" if cause is not None else str(error)
