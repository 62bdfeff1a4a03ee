"""A whole Headrace in memory for tests without an event loop: a `MemoryBroker` in the background loop.

with SyncMemoryBroker(lambda asked: "Dear Ada, …") as broker:
with SyncGenerationClient(connection=broker.connection) as generations:
done = generations.generate({"model": "gpt-4o-mini", "messages": [...]}, lane="urgent")
"""

from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from headrace.broker.background.thread import background
from headrace.broker.client_ports import ClientDoors
from headrace.broker.testing.memory_broker import Answer, MemoryBroker
from headrace.broker.testing.upstream import Asked
from headrace.schemas.dead_letter import DeadLetter
from headrace.schemas.outcome import Outcome


class SyncMemoryBroker:
    """One dispatcher and one retrier for sync clients and readers; `with` starts and ends them.

    Args:
        answer: OpenAI's answer to a call; default: some text. It is called in the background thread.
        **given: As of `MemoryBroker`: `latency_s`, `settings`, `topic_prefix`, `topics`.

    Attributes:
        broker: The `MemoryBroker`, of which all that is async belongs to the background loop.
    """

    def __init__(self, answer: Callable[[Asked], Answer] | None = None, **given: Any) -> None:
        async def made() -> MemoryBroker:
            return MemoryBroker(answer, **given)

        self.broker = background().result(made)

    def __enter__(self) -> Self:
        background().result(self.broker.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        background().result(lambda: self.broker.__aexit__(kind, error, trace))

    @property
    def connection(self) -> ClientDoors:
        """For `SyncGenerationClient` and the sync readers, and only for them."""
        return self.broker.connection

    @property
    def calls(self) -> list[Asked]:
        """The calls to OpenAI, in order."""
        return self.broker.calls

    @property
    def calls_by_id(self) -> Counter[str]:
        """Number of calls by request id."""
        return self.broker.calls_by_id

    @property
    def outcomes(self) -> list[Outcome]:
        """Outcomes in the results topic."""
        return self.broker.outcomes

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """Dead letters in the dead-letters topic."""
        return self.broker.dead_letters

    def crash(self) -> None:
        """Kill the dispatcher as by SIGKILL, with its calls in flight; another one takes over within half a second."""
        background().result(self.broker.crash)
