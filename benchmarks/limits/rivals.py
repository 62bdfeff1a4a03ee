"""Two rivals that make the same calls under the same behaviour, in virtual time.

`counting`: one client that counts tokens with a tokenizer, as libraries for parallel calls do. It starts from the
configured limits with token buckets of its own, reserves input + max_tokens for each call and settles what the answer's
usage says. `workers`: four that know nothing of each other or of tokens; each paces itself to the README's 60 requests
a minute, scaled as the row's limit is to the README's 10,000 tokens a minute, and loses a call when the SDK gives up.

Both call through an SDK with its defaults: two retries of a 429, after `retry-after` if that is at most a minute, else
after half a second that doubles, with a jitter of up to a quarter less.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final

from benchmarks.limits.calls import Asked
from benchmarks.limits.rows import Row
from benchmarks.limits.world import Record, World
from headrace.broker.simulator.virtual import VirtualAnswer

RETRIES: Final = 2
SECOND_US: Final = 1_000_000
WORKERS: Final = 4
WORKER_REQUESTS_PER_MINUTE: Final = 60
WORKER_TOKENS_PER_MINUTE: Final = 10_000
INFLIGHT_MAX: Final = 2_000
LONGEST_US: Final = 30 * 60 * SECOND_US

OnAnswer = Callable[[Mapping[str, Any] | None, int], None]
"""Gets the usage of an answer, or None when the SDK has given up; and the instant."""


class Sdk:
    """A client library with its default retries."""

    def __init__(self, world: World, seed: str) -> None:
        self._world = world
        self._chance = Random(seed)

    def create(self, asked: Asked, heard: OnAnswer, tries: int = 0) -> None:
        """Make a call, and retry it."""

        def told(answer: VirtualAnswer, now_us: int) -> None:
            if answer.status == 200 and isinstance(answer.body, Mapping):
                heard(answer.body["usage"], now_us)
            elif tries == RETRIES:
                heard(None, now_us)
            else:
                wait_us = self._wait_us(answer, tries)
                self._world.at(now_us + wait_us, lambda _: self.create(asked, heard, tries + 1))

        self._world.call(asked, told)

    def _wait_us(self, answer: VirtualAnswer, tries: int) -> int:
        after_ms = answer.headers.get("retry-after-ms")
        stated_us = int(after_ms) * 1_000 if after_ms else int(answer.headers.get("retry-after", 0)) * SECOND_US
        if 0 < stated_us <= 60 * SECOND_US:
            return stated_us
        backoff_us = min(8 * SECOND_US, SECOND_US // 2 << tries)
        return round(backoff_us * (1 - 0.25 * self._chance.random()))


class OwnBucket:
    """A token bucket as a client keeps one: in floating point, full at the start."""

    def __init__(self, per_minute: int) -> None:
        self.capacity = float(per_minute)
        self.level, self.at_us = self.capacity, 0

    def wait_us(self, cost: float, now_us: int) -> int:
        """Return the time until it can pay."""
        self.level = min(self.capacity, self.level + (now_us - self.at_us) * self.capacity / (60 * SECOND_US))
        self.at_us = now_us
        missing = min(cost, self.capacity) - self.level
        return 0 if missing <= 0 else int(missing * 60 * SECOND_US / self.capacity) + 1


class Counting:
    """The client that counts tokens."""

    def __init__(self, world: World, row: Row, asked: Sequence[Asked]) -> None:
        self._world, self._sdk = world, Sdk(world, row.name)
        self._waiting = deque(asked)
        self._tokens = OwnBucket(row.tokens_per_minute)
        self._requests = OwnBucket(row.requests_per_minute)
        self._inflight = 0
        self._wake_us: int | None = None
        self.left = len(asked)

    def turn(self, now_us: int) -> None:
        """Send what its own buckets can pay."""
        while self._waiting and self._inflight < INFLIGHT_MAX:
            asked = self._waiting[0]
            reserved = asked.shown_tokens + asked.answer_max
            wait_us = max(self._tokens.wait_us(reserved, now_us), self._requests.wait_us(1, now_us))
            if wait_us:
                self._wake_us = now_us + wait_us
                self._world.at(self._wake_us, self._wake)
                return
            self._waiting.popleft()
            self._tokens.level -= reserved
            self._requests.level -= 1
            self._inflight += 1
            self._sdk.create(asked, self._settler(asked, reserved))

    def _wake(self, now_us: int) -> None:
        if now_us == self._wake_us:
            self.turn(now_us)

    def _settler(self, asked: Asked, reserved: int) -> OnAnswer:
        def heard(usage: Mapping[str, Any] | None, now_us: int) -> None:
            self._inflight -= 1
            if usage is None:
                self._waiting.append(asked)  # it is tried again later, and paid again
            else:
                self.left -= 1
                self._tokens.level = min(self._tokens.capacity, self._tokens.level + reserved - usage["total_tokens"])
            self.turn(now_us)

        return heard


def counting(row: Row, asked: Sequence[Asked]) -> Record:
    """Let the counting client make the calls."""
    world = World(row)
    client = Counting(world, row, asked)
    client.turn(0)
    world.run(lambda: client.left == 0 or world.now_us > LONGEST_US)
    world.record.lost = client.left
    return world.record


def workers(row: Row, asked: Sequence[Asked]) -> Record:
    """Let the four workers make the calls."""
    world = World(row)
    waiting = deque(asked)
    pace = WORKER_REQUESTS_PER_MINUTE * row.tokens_per_minute / WORKER_TOKENS_PER_MINUTE
    interval_us = round(60 * SECOND_US / pace)
    decided = 0

    def heard(usage: Mapping[str, Any] | None, _: int) -> None:
        nonlocal decided
        decided += 1
        world.record.lost += usage is None

    def work(sdk: Sdk, now_us: int) -> None:
        if waiting:
            sdk.create(waiting.popleft(), heard)
            world.at(now_us + interval_us, lambda at_us: work(sdk, at_us))

    for number in range(WORKERS):
        work(Sdk(world, f"{row.name}/{number}"), 0)
    world.run(lambda: decided == len(asked))
    return world.record
