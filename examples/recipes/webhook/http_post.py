"""The HTTP client: one POST, at most ten seconds, no redirects; of the answer only its status and Retry-After."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp

from webhook.delivery import Reply

TIMEOUT_S = 10.0


class HttpPost:
    """A `Post` over aiohttp. `async with` closes its connections."""

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        """Must be called inside the running event loop."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=timeout_s), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send a body to a URL; a status of 0 means that no HTTP answer came."""
        try:
            async with self._session.post(url, headers=headers, data=body, allow_redirects=False) as response:
                return Reply(response.status, _seconds(response.headers.get("retry-after", "")))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):  # ValueError: an answer that is no HTTP
            return Reply(0)


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() else 0.0
