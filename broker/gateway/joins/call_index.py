"""Index of the calls that an SDK may repeat: which of the same content no client has received. No I/O, no clock."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

ENTRIES_MAX: Final = 200_000
"""Some 60 MB. Beyond it the oldest call is forgotten: its repetition would be a call of its own."""
RECEIVED_MAX: Final = 10_000
"""Received calls whose notes may still be on their way; those of a second or two."""
CHOSEN_MS: Final = 1_000
"""A client waits for the call that was chosen for it milliseconds later; after this time it counts as gone."""


@dataclass(slots=True)
class OpenCall:
    """A call that no client has received.

    Attributes:
        waiters: Number of clients that wait for it at this gateway.
        chosen_ms: When it was chosen for a repetition whose client does not wait yet.
    """

    digest: str
    opened_ms: int
    waiters: int = 0
    chosen_ms: int | None = None

    def clients(self, now_ms: int) -> int:
        """Return how many clients wait for it at this gateway, or are about to."""
        return self.waiters + (self.chosen_ms is not None and now_ms - self.chosen_ms < CHOSEN_MS)


class CallIndex:
    """Calls by the digest of their content, for as long as a repetition may come."""

    def __init__(self, *, window_ms: int, entries_max: int = ENTRIES_MAX) -> None:
        """A call is forgotten `window_ms` after it was opened, and at once when a client has received its answer."""
        self._window_ms = window_ms
        self._entries_max = entries_max
        self._calls: OrderedDict[str, OpenCall] = OrderedDict()
        self._by_digest: dict[str, list[str]] = {}
        self._received: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._calls)

    def opened(self, digest: str, call_id: str, at_ms: int) -> None:
        """Note a call; noted twice, or after its answer was received, it counts once."""
        if call_id in self._calls or call_id in self._received:
            return
        self._calls[call_id] = OpenCall(digest, at_ms)
        self._by_digest.setdefault(digest, []).append(call_id)
        while len(self._calls) > self._entries_max:
            self._drop(next(iter(self._calls)))

    def received(self, call_id: str) -> None:
        """Note that a client has received the answer. A gateway knows it before it reads its own note of the call."""
        self._received[call_id] = None
        if len(self._received) > RECEIVED_MAX:
            self._received.popitem(last=False)
        if call_id in self._calls:
            self._drop(call_id)

    def waits(self, call_id: str) -> None:
        """Note that a client waits for the call at this gateway."""
        if (call := self._calls.get(call_id)) is not None:
            call.waiters += 1
            call.chosen_ms = None

    def left(self, call_id: str) -> None:
        """Note that a client waits for it no longer."""
        if (call := self._calls.get(call_id)) is not None:
            call.waiters = max(0, call.waiters - 1)

    def repeated(self, digest: str, now_ms: int) -> str | None:
        """Choose the call that a repetition joins: of this content, that with the fewest clients, the last of these.

        So of two equal calls cut off together each gets one repetition, also if both repetitions come at once, and
        before this gateway has noticed that the clients of the first attempts are gone.
        """
        self._forget(now_ms)
        chosen, fewest = None, None
        for call_id in reversed(self._by_digest.get(digest, ())):
            clients = self._calls[call_id].clients(now_ms)
            if fewest is None or clients < fewest:
                chosen, fewest = call_id, clients
            if not clients:
                break
        if chosen is not None:
            self._calls[chosen].chosen_ms = now_ms
        return chosen

    def _forget(self, now_ms: int) -> None:
        while self._calls:
            call_id, call = next(iter(self._calls.items()))
            if now_ms - call.opened_ms <= self._window_ms:
                return
            self._drop(call_id)

    def _drop(self, call_id: str) -> None:
        call = self._calls.pop(call_id)
        same = self._by_digest[call.digest]
        same.remove(call_id)
        if not same:
            del self._by_digest[call.digest]
