"""Search for one request: at the leader, which alone knows requests, from whichever dispatcher serves the page.

A process that stands by asks the leader at the address that the leader reports of itself: that address alone, without
following redirects, and only for two seconds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from headrace.broker.errors import LeaseUnavailable, Unreachable
from headrace.broker.service.health import Health
from headrace.broker.service.status.guard import TokenGuard
from headrace.broker.service.status.reading import STALE_AFTER_S, read_report
from headrace.broker.service.status.request_sentences import lines
from headrace.broker.status_ports import StatusBoard
from headrace.schemas.bounded_json import json_or_none

WITHIN_S: Final = 2.0
_ANSWER_BYTES_MAX: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Finder:
    """Searches of one process's page."""

    health: Health
    whereabouts: Callable[[str, int | None], dict[str, Any]]
    board: StatusBoard | None
    guard: TokenGuard
    topic_prefix: str

    async def find(self, request_id: str, run: int | None) -> dict[str, Any]:
        """Return what the leader knows of a request, also in sentences.

        Raises:
            Unreachable: No leader can be asked; the sentence says why.
        """
        if self.health.holds_the_lease:
            told: Mapping[str, Any] = self.whereabouts(request_id, run)
            asked = None
        else:
            asked = await self._leader()
            told = await self._ask(asked, request_id, run)
        return {"told": told, "lines": lines(told), "asked": asked}

    async def _leader(self) -> str:
        """Return the leader's address, as it reports it: scheme, host and port, and nothing else of it."""
        try:
            left = None if self.board is None else await self.board.dispatcher()
        except LeaseUnavailable as error:
            raise Unreachable(f"This process does not lead, and cannot find the leader: {error}") from error
        said = None if left is None else read_report(left.status)
        if left is None or said is None or (left.age_s or 0) > STALE_AFTER_S:
            raise Unreachable(
                "No dispatcher leads, so nothing is known of single requests: try again in a few seconds."
            )
        address = plain_address(said.get("url"))
        if address is None:
            raise Unreachable("The leader has not reported an address at which it can be asked: open its own page.")
        return address

    async def _ask(self, address: str, request_id: str, run: int | None) -> Mapping[str, Any]:
        query = {"id": request_id} | ({} if run is None else {"run": str(run)})
        timeout = aiohttp.ClientTimeout(total=WITHIN_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.get(
                    f"{address}/status", params=query, headers=self.guard.header, allow_redirects=False
                ) as answer,
            ):
                body = await answer.content.read(_ANSWER_BYTES_MAX)
                while len(body) < _ANSWER_BYTES_MAX and (more := await answer.content.read(_ANSWER_BYTES_MAX)):
                    body += more
                status = answer.status
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreachable(f"The leader, at {address}, cannot be asked from here: open its own page.") from error
        told = json_or_none(body) if status == 200 else None
        if not isinstance(told, Mapping) or told.get("topic_prefix") != self.topic_prefix:
            raise Unreachable(f"The leader, at {address}, gave no answer that can be read (HTTP {status}).")
        return told


def plain_address(url: object) -> str | None:
    """Return scheme, host and port of a URL that has nothing else; None: it is none of ours."""
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme != "http" or not parts.hostname or port is None or "@" in parts.netloc:
        return None
    return f"http://{parts.netloc}" if url in {f"http://{parts.netloc}", f"http://{parts.netloc}/"} else None
