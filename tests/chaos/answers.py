"""How the simulated OpenAI treats the requests of `traffic`, and what it remembers of each call."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from headrace.broker.simulator.script import Scripted
from tests.hostile.sowing import answered_anyway

PARKED_FOR_S = 3
_GOOD_BETWEEN = 10
"""Errors in a row would open the breaker, and the silence that follows would be no fault's."""
_OVERLOADED = {"error": {"message": "The server is overloaded.", "type": "server_error", "code": "server_overloaded"}}


class Answers:
    """A script. Calls of one id that no error asked for are repetitions: somebody paid twice.

    Attributes:
        latency_s: What calls take, once it is set; None: as the simulator's settings say.
        long_s: What the first call of a `long` request takes.
        at: When each call came, monotonic seconds, and of which id.
        repeated: For each repetition, when the call came that it repeats, and when it came itself.
    """

    def __init__(self) -> None:
        self.latency_s: float | None = None
        self.long_s = 60.0
        self._good = 0
        self.at: list[tuple[float, str]] = []
        self.calls: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self._last: dict[str, float] = {}
        self.repeated: list[tuple[float, float]] = []

    def __call__(self, number: int, body: Mapping[str, Any]) -> Scripted | None:
        request_id = _lead(body)
        if request_id is None:
            return answered_anyway(body, 0.1 + number % 30 / 10)
        self.at.append((time.monotonic(), request_id))
        self.calls[request_id] += 1
        made, before_s = self.calls[request_id], self._last.get(request_id, 0.0)
        self._last[request_id] = time.monotonic()
        if made > 1 + self.errors[request_id]:
            self.repeated.append((before_s, self._last[request_id]))
        self._good += 1
        is_failing = request_id.startswith("failing") and self._good > _GOOD_BETWEEN
        if made == 1 and (is_failing or request_id.startswith("parked")):
            self._good = 0
            self.errors[request_id] += 1
            headers = {} if is_failing else {"retry-after": str(PARKED_FOR_S)}
            return Scripted(503, _OVERLOADED, headers, delay_s=1 + number % 20 / 10)
        if made == 1 and request_id.startswith("long"):
            return Scripted(delay_s=self.long_s)
        return None if self.latency_s is None else Scripted(delay_s=self.latency_s)

    async def first_after(self, instant_s: float, within_s: float) -> float:
        """Seconds from that instant to the next call."""
        async with asyncio.timeout(within_s):
            while not self.at or self.at[-1][0] <= instant_s:
                await asyncio.sleep(0.01)
        return next(at_s for at_s, _ in self.at if at_s > instant_s) - instant_s

    def between(self, begin_s: float, end_s: float) -> list[float]:
        """When calls came in that stretch."""
        return [at_s for at_s, _ in self.at if begin_s < at_s <= end_s]


def _lead(body: Mapping[str, Any]) -> str | None:
    """The id of a request of `traffic`; None: it is a hostile one."""
    match body:
        case {"messages": [{"content": str(content)}, *_]} if content.startswith("Write to lead "):
            return content.split()[3].rstrip(".")
        case _:
            return None
