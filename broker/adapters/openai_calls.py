"""The door to OpenAI: one attempt through the SDK's public `client.post`, and everything that can come of it as data.

`client.post` is the SDK's documented call for endpoints it has no method for: authentication, base URL, organisation,
project and time-outs stay the SDK's business, the body goes out as the producer wrote it, and one call costs a fifth
of the processor time of `chat.completions.create` on the default transport. `max_retries=0`: a hidden second attempt
would spend budget that nobody reserved. The JSON is parsed by us, from the text we publish.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import httpx2
import openai

from broker.core.envelope import answer_of
from broker.core.verdict import Answer
from broker.ports import UpstreamReply

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

    async def call(self, endpoint: str, body: Mapping[str, object], client_request_id: str) -> UpstreamReply:
        """See `broker.ports.Upstream.call`."""
        try:
            response = await self._client.post(
                _PATHS[endpoint],
                body=body,
                cast_to=httpx2.Response,
                options={"headers": {"X-Client-Request-Id": client_request_id}},
            )
        except openai.APIStatusError as error:
            return UpstreamReply(_refused(error), None)
        except openai.APITimeoutError as error:
            if _timed_out(error):
                return UpstreamReply(_silent("timeout", "OpenAI did not answer in time."), None)
            return UpstreamReply(_silent("connection", _reason(error)), None)
        except openai.APIConnectionError as error:
            return UpstreamReply(_silent("connection", _reason(error)), None)
        except openai.APIError as error:
            return UpstreamReply(_silent("connection", _reason(error)), None)
        answer = Answer(response.status_code, dict(response.headers), None, None, None, "")
        return UpstreamReply(answer, response.text)

    async def close(self) -> None:
        """See `broker.ports.Upstream.close`."""
        await self._client.close()


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
