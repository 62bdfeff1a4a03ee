"""Doors that any process and loop may use: each request is answered at once, or when it is let go, by this process."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from headrace.broker.client_ports import AnswerLog, Appended, Pending, Start, SubmitLog
from headrace.schemas.expectation import Expectation
from headrace.schemas.outcome import Completed, Outcome
from headrace.schemas.record import Record

BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}


@dataclass(frozen=True)
class Written:
    """A record that is there."""

    at: Appended

    async def wait(self, *, timeout_s: float) -> Appended:
        return self.at


@dataclass
class EchoDoors:
    """Doors of a client; `silent` ids have no outcome.

    Attributes:
        waits: Waits that are under way in the loop.
        closes: Times that a client's doors were closed.
        topics: Of each record, in order.
    """

    silent: frozenset[str] = frozenset()
    waits: set[str] = field(default_factory=set)
    closes: int = 0
    topics: list[str] = field(default_factory=list)

    def submissions(self) -> SubmitLog:
        return EchoLog(self)

    def answers(self, topic: str, *, read_back_s: float) -> AnswerLog:
        return EchoAnswers(self)

    def outcomes(self, topic: str, *, group: str | None, start: Start) -> Any:
        raise NotImplementedError  # only readers use it

    def scan(self, topic: str, *, since: datetime | None) -> Any:
        raise NotImplementedError  # only readers use it


@dataclass
class EchoLog:
    doors: EchoDoors

    async def append(self, topic: str, record: Record, *, timeout_s: float) -> Appended:
        return await (await self.begin(topic, record, timeout_s=timeout_s)).wait(timeout_s=timeout_s)

    async def begin(self, topic: str, record: Record, *, timeout_s: float) -> Pending:
        self.doors.topics.append(topic)
        return Written(Appended(topic, os.getpid(), len(self.doors.topics) - 1, 1_780_000_000_000))

    async def check(self, topic: str) -> None:
        return None

    async def close(self) -> None:
        self.doors.closes += 1


@dataclass
class EchoAnswers:
    doors: EchoDoors
    futures: "set[asyncio.Future[Outcome]]" = field(default_factory=set)

    @asynccontextmanager
    async def waiting(self, expected: Expectation, *, connect_s: float) -> AsyncIterator["asyncio.Future[Outcome]"]:
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.futures.add(answer)
        self.doors.waits.add(expected.id)
        if expected.id not in self.doors.silent:
            content = {"role": "assistant", "content": str(os.getpid())}
            answer.set_result(Completed(id=expected.id, response={"choices": [{"index": 0, "message": content}]}))
        try:
            yield answer
        finally:
            self.futures.discard(answer)
            self.doors.waits.discard(expected.id)

    async def or_earlier(
        self, request_id: str, answer: "asyncio.Future[Outcome]", *, accepts: Callable[[Outcome], bool]
    ) -> Outcome:
        return await answer

    async def close(self) -> None:
        for answer in self.futures:
            answer.cancel()
