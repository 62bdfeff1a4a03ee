"""State of Headrace while it runs: leader, waiting requests and the estimate of the bucket. From `/status` alone."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from headrace.broker.cli.demo.dispatchers import Dispatchers, Running
from headrace.broker.cli.demo.prompt import MODEL
from headrace.broker.errors import HeadraceError

_LOOK_S: Final = 0.1
_TIMEOUT: Final = aiohttp.ClientTimeout(total=2)


@dataclass(frozen=True, slots=True)
class BucketEstimate:
    """The leader's estimate: the bucket holds at least `low` and at most `high` tokens of `capacity`."""

    low: int
    high: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Inside:
    """One snapshot. `waiting` is by lane, in order of preference; `bucket` is None before the first answer."""

    leader: str | None = None
    leader_pid: int | None = None
    standbys: tuple[str, ...] = ()
    term: int = 0
    waiting: Mapping[str, int] | None = None
    inflight: int = 0
    bucket: BucketEstimate | None = None


def read_statuses(statuses: Sequence[Mapping[str, Any]]) -> Inside:
    """Combine the `/status` of all dispatchers."""
    standbys = tuple(status["name"] for status in statuses if status["role"] == "standby")
    leading = next((status for status in statuses if status["role"] == "leader"), None)
    if leading is None:
        return Inside(standbys=standbys)
    return Inside(
        leader=leading["name"],
        leader_pid=leading.get("pid"),
        standbys=standbys,
        term=leading["term"],
        waiting={lane: told["waiting"] for lane, told in leading["lanes"].items()},
        inflight=leading["inflight"],
        bucket=_bucket(leading["limits"].get(MODEL)),
    )


def _bucket(limit: Mapping[str, Any] | None) -> BucketEstimate | None:
    levels = limit["buckets"] if limit and limit["believed"] else ()
    tokens = next((level for level in levels if level["metric"] == "tokens"), None)
    return None if tokens is None else BucketEstimate(tokens["level_low"], tokens["level_high"], tokens["capacity"])


class Lookout:
    """Reader of the dispatchers' `/status`; one that does not answer is left out of that snapshot."""

    def __init__(self, dispatchers: Dispatchers, http: aiohttp.ClientSession) -> None:
        self._dispatchers = dispatchers
        self._http = http
        self._ports: dict[str, int] = {}

    async def look(self) -> Inside:
        """Take one snapshot."""
        asked = await asyncio.gather(*(self._ask(one) for one in self._dispatchers.running))
        return read_statuses([status for status in asked if status is not None])

    async def until_ready(self, *, within_s: float) -> Inside:
        """Return the first snapshot in which one leads and the other stands by, ready to take over.

        Raises:
            HeadraceError: Not within `within_s`.
            DispatcherEnded: One of them has ended.
        """
        inside = Inside()
        try:
            async with asyncio.timeout(within_s):
                while inside.leader is None or len(inside.standbys) + 1 < len(self._dispatchers.running):
                    await asyncio.sleep(_LOOK_S)
                    for one in self._dispatchers.running:
                        if one.process.returncode is not None:
                            raise one.ended()
                    inside = await self.look()
        except TimeoutError:
            raise HeadraceError(f"The demo's dispatchers are not ready after {within_s:g} s: try again.") from None
        return inside

    async def _ask(self, one: Running) -> Mapping[str, Any] | None:
        port = self._ports.get(one.name) or one.port()
        if port is None:
            return None
        self._ports[one.name] = port
        try:
            async with self._http.get(f"http://127.0.0.1:{port}/status", timeout=_TIMEOUT) as answer:
                return {**await answer.json(), "pid": one.process.pid}
        except (aiohttp.ClientError, TimeoutError):
            return None
