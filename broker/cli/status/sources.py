"""The places of a status: Redis, where the holder of the lease leaves it, or a dispatcher itself.

The lease's key holds the id of Kafka's cluster. Kafka is asked for it first, for two seconds at most; when it is away,
which is when operators look, the key is found by walking through Redis. Should several clusters share that Redis, the
choice is left to the user.
"""

import asyncio
import socket
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import cluster_id_within
from headrace.broker.adapters.redis.lease import is_refused
from headrace.broker.adapters.redis.status import RedisStatus
from headrace.broker.cli.patience import closing, within
from headrace.broker.cli.terminal import safe
from headrace.broker.errors import InvalidRequest, LeaseUnavailable, SettingsError, Unreachable
from headrace.broker.service.status.guard import OPEN, TokenGuard
from headrace.broker.service.status.reading import Report, Said, StatusReading
from headrace.broker.settings.whole import Settings
from headrace.broker.status_ports import Reported
from headrace.schemas.bounded_json import json_or_none

KAFKA_ANSWERS_S: Final = 2.0
OWN_TIMEOUT_S: Final = 0.7
"""Timeout for a dispatcher on this machine, which is there or is not."""
_OTHERS_S: Final = 2.0
_STATUS_BYTES_MAX: Final = 8 * 1024 * 1024
_TOKEN: Final = {
    True: "set dispatcher.http_token, or dispatcher.http_token_file, as for the dispatchers",
    False: "dispatcher.http_token is not the one that it has",
}


class NothingListens(Unreachable):
    """The machine is there, and no process listens at that port: waiting would be of no use."""


async def look_in_redis(settings: Settings, *, cluster: str | None, timeout_s: float) -> StatusReading:
    """Return what the holder of the lease left in Redis, and the retrier's status beside it.

    Raises:
        NothingListens: There is no Redis; raised at once.
        Unreachable: Redis does not answer within `timeout_s`, or holds too many keys to walk through.
        SettingsError: Several clusters have reported, and nothing says which is meant.
    """
    redis = RedisStatus(settings.redis.url.get_secret_value())
    kafka_s = min(KAFKA_ANSWERS_S, timeout_s / 2)

    async def ask() -> StatusReading | NothingListens:
        try:
            await redis.check(f"{settings.redis.key_prefix}:-:{settings.kafka.topic_prefix}.dispatcher")
            return await _looked(redis, settings, cluster, kafka_s=kafka_s)
        except LeaseUnavailable as reason:
            if is_refused(reason):
                return NothingListens(str(reason))  # it will not be there in a moment either
            raise Unreachable(str(reason)) from reason

    otherwise = (
        f"Searching Redis took longer than {timeout_s:g} s: name the cluster with --cluster, or allow more time."
    )
    async with closing(redis):
        found = await within(timeout_s, ask, place="Redis", otherwise=otherwise)
    if isinstance(found, NothingListens):
        raise found
    return found


async def _looked(redis: RedisStatus, settings: Settings, cluster: str | None, *, kafka_s: float) -> StatusReading:
    prefix, key_prefix = settings.kafka.topic_prefix, settings.redis.key_prefix
    remarks: list[str] = []
    if cluster is None and (cluster := await _told_by_kafka(settings, kafka_s)) is None:
        remarks.append("Kafka does not answer from here; the status was found by a search through Redis.")
        cluster = await _only_cluster(redis, key_prefix, prefix)
    report = _report(await redis.read(f"{key_prefix}:{cluster}:{prefix}.dispatcher"), remarks)
    retrier = _report(await redis.read(f"{key_prefix}:{cluster}:{prefix}.retrier"), remarks)
    if report.said is None and cluster is not None:
        remarks += await _others(redis, key_prefix, prefix, cluster)
    return StatusReading(
        prefix, report, retrier if retrier.said is not None or retrier.spoilt else None, tuple(remarks)
    )


async def _told_by_kafka(settings: Settings, kafka_s: float) -> str | None:
    try:
        return await cluster_id_within(KafkaConnection.of(settings.kafka), kafka_s)
    except SettingsError:
        return None  # a certificate that cannot be read is another verb's business


async def _only_cluster(redis: RedisStatus, key_prefix: str, prefix: str) -> str | None:
    clusters = await redis.clusters(key_prefix, f"{prefix}.dispatcher")
    if len(clusters) > 1:
        told = [await redis.read(f"{key_prefix}:{each}:{prefix}.dispatcher") for each in clusters]
        ages = ", ".join(f"{each} ({found.age_s or 0:.0f} s ago)" for each, found in zip(clusters, told, strict=True))
        raise SettingsError(
            f"Kafka does not answer, and {len(clusters)} clusters have reported for {prefix}: {ages}. Name yours "
            "with --cluster ID."
        )
    return clusters[0] if clusters else None


async def _others(redis: RedisStatus, key_prefix: str, prefix: str, cluster: str) -> list[str]:
    """Look, within bounds, for reports of other clusters, since there is none for Kafka's own cluster."""
    try:
        async with asyncio.timeout(_OTHERS_S):
            others = [each for each in await redis.clusters(key_prefix, f"{prefix}.dispatcher") if each != cluster]
    except (TimeoutError, LeaseUnavailable):
        return []
    if not others:
        return []
    return [f"Kafka's cluster is {cluster}; this Redis has reports of {', '.join(others)}: check redis.url."]


def _report(found: Reported, remarks: list[str]) -> Report:
    said = None
    if found.status is not None:
        said = _object(found.status)
        if said is None:
            remarks.append(f"The value of {found.lease_key}:status in Redis is not a status.")
    return Report(
        said=said,
        age_s=found.age_s if said is not None else None,
        kind="redis",
        place=f"{found.lease_key}:status",
        holder=found.holder,
        standbys=found.standbys,
        spoilt=found.spoilt,
    )


async def look_at_url(settings: Settings, url: str, *, timeout_s: float) -> StatusReading:
    """Return what one process reports of itself when asked.

    Raises:
        Unreachable: No server answers there, or one that is not a dispatcher.
    """
    address = status_url(url)
    said = await asked(address, timeout_s, TokenGuard.of(settings))
    if str(said.get("role")) and "topic_prefix" in said:
        report = Report(said=said, age_s=0.0, kind="url", place=address)
        return StatusReading(str(said.get("topic_prefix") or settings.kafka.topic_prefix), report)
    raise Unreachable(f"The server at {address} is not a dispatcher of Headrace: check the address and the port.")


def status_url(url: str) -> str:
    """Return the URL of `/status` for `host:8080`, `http://host:8080` or the whole URL.

    Raises:
        SettingsError: It is not the address of a web server.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
    except ValueError:  # half a pair of brackets
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsError("--url takes an address such as http://dispatcher-0:8080.")
    path = parts.path.rstrip("/")
    path = path if path.endswith("/status") else f"{path}/status"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], path=path).geturl()  # probes know no users


def own_url(settings: Settings) -> str:
    """Return the URL at which a dispatcher with these settings listens, seen from its own machine."""
    host = settings.dispatcher.http_host
    host = "127.0.0.1" if host in {"", "0.0.0.0", "::"} else host  # noqa: S104  # nothing is bound here
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.dispatcher.http_port}"


async def asked(address: str, timeout_s: float, guard: TokenGuard = OPEN) -> Said:
    """Return what `fetched` returns, within the time given for all of it; raises as `fetched`."""
    try:
        async with asyncio.timeout(timeout_s):
            return await asyncio.to_thread(fetched, address, timeout_s, guard)
    except TimeoutError:
        raise Unreachable(
            f"{urlsplit(address).netloc} does not answer in time: check the address and the network."
        ) from None


def fetched(address: str, timeout_s: float, guard: TokenGuard = OPEN) -> Said:
    """Return the JSON object at the address, without the environment's proxies: probes are not on the internet.

    Raises:
        Unreachable: No server answers there, or the answer is not a JSON object.
        InvalidRequest: The server does not understand the question, and says why.
    """
    place = urlsplit(address).netloc
    try:
        question = Request(address)  # noqa: S310  # `status_url` admits http and https alone
        for name, value in guard.header.items():
            question.add_unredirected_header(name, value)  # another server is not given the token
        with build_opener(ProxyHandler({})).open(question, timeout=timeout_s) as answer:
            told = _object(answer.read(_STATUS_BYTES_MAX))
    except HTTPError as reason:
        mistake = (_object(reason.read(_STATUS_BYTES_MAX)) or {}).get("error")
        reason.close()
        if reason.code == HTTPStatus.BAD_REQUEST and isinstance(mistake, str):
            raise InvalidRequest(safe(mistake)) from reason
        if reason.code == HTTPStatus.UNAUTHORIZED:
            raise Unreachable(f"{place} asks for a token: {_TOKEN[guard.token is None]}.") from reason
        raise Unreachable(f"{place} answers with HTTP {reason.code}: check that it is a dispatcher's port.") from reason
    except URLError as reason:
        kind = NothingListens if isinstance(reason.reason, ConnectionRefusedError) else Unreachable
        raise kind(f"{place} cannot be reached: {_why(reason.reason)}.") from reason
    except (OSError, HTTPException, ValueError) as reason:
        raise Unreachable(f"{place} cannot be reached: {_why(reason)}.") from reason
    if told is None:
        raise Unreachable(f"{place} answers, but not with a status: check that it is a dispatcher's port.")
    return told


def _why(reason: object) -> str:
    match reason:
        case ConnectionRefusedError():
            return "nothing listens there"
        case TimeoutError():
            return "it does not answer in time"
        case socket.gaierror():
            return "the host cannot be found"
    return str(reason).rstrip(".") or type(reason).__name__


def _object(text: str | bytes) -> Said | None:
    told = json_or_none(text)
    return told if isinstance(told, Mapping) else None
