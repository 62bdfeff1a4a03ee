"""One request, asked of the leader: no other process knows it, and Redis holds nothing of single requests."""

import asyncio
from urllib.parse import urlencode, urlsplit

from headrace.broker.cli.status.sources import OWN_TIMEOUT_S, asked, look_in_redis, own_url, status_url
from headrace.broker.errors import Unreachable
from headrace.broker.service.status.guard import TokenGuard
from headrace.broker.service.status.reading import Report, Said
from headrace.broker.settings.whole import Settings


async def where_is(
    settings: Settings, request_id: str, run: int | None, *, url: str | None, cluster: str | None, timeout_s: float
) -> Said:
    """Return a dispatcher's report on one request: the one at `url`, else the leader found by Redis or on this machine.

    Raises:
        Unreachable: No dispatcher that could know can be asked; the sentence says what to do.
        InvalidRequest: The dispatcher did not understand the question.
    """
    query = {"id": request_id} | ({} if run is None else {"run": str(run)})
    if url is not None:
        return await _asked(url, query, timeout_s, TokenGuard.of(settings))
    until = asyncio.get_running_loop().time() + timeout_s
    try:
        look = await look_in_redis(settings, cluster=cluster, timeout_s=timeout_s)
    except Unreachable as reason:
        return await _here(settings, query, reason)
    leader = leader_url(look.dispatcher, look.prefix)
    try:
        left_s = until - asyncio.get_running_loop().time()
        return await _asked(leader, query, max(OWN_TIMEOUT_S, left_s), TokenGuard.of(settings))
    except Unreachable as reason:
        raise Unreachable(
            f"The leader reports the address {leader}. {reason} Run this where that address can be reached, or name "
            "another one with --url."
        ) from reason


def leader_url(report: Report, prefix: str) -> str:
    """Return the URL of the leader, as it reports it.

    Raises:
        Unreachable: No leader has reported of late, or it has not reported its URL.
    """
    if report.said is None or report.is_stale:
        raise Unreachable(
            f"No dispatcher of {prefix} has reported recently, so nothing is known of the request: `headrace "
            "status` says what is wrong."
        )
    url = report.said.get("url")
    if not isinstance(url, str):
        host = report.said.get("host", "an unknown host")
        raise Unreachable(
            f"The leader, on {host}, has not reported its address yet: try again in a second, or name it with --url "
            "http://HOST:PORT."
        )
    return url


async def _here(settings: Settings, query: dict[str, str], reason: Unreachable) -> Said:
    """Ask on this machine, which may be the leader's, since Redis is away."""
    try:
        told = await _asked(own_url(settings), query, OWN_TIMEOUT_S, TokenGuard.of(settings))
    except Unreachable:
        told = {}
    if told.get("topic_prefix") != settings.kafka.topic_prefix:
        raise Unreachable(f"{reason} Ask the leader directly: --url http://HOST:PORT.") from reason
    return told


async def _asked(url: str, query: dict[str, str], timeout_s: float, guard: TokenGuard) -> Said:
    address = urlsplit(status_url(url))._replace(query=urlencode(query)).geturl()
    told = await asked(address, timeout_s, guard)
    if "topic_prefix" not in told:
        raise Unreachable(f"The server at {url} is not a dispatcher of Headrace: check the address and the port.")
    if "state" not in told:
        raise Unreachable(
            f"The dispatcher at {url} is of an older release, which does not report single requests: upgrade it."
        )
    return told
