"""Deltas of streamed calls on their way to the chunks topic: the first at once, later ones gathered for a moment.

A chunk names its attempt, that attempt's term, and its place there. The last one is marked as final only if the answer
is whole. Nothing is sent for a call that was cancelled, nor while the term in which it began is in doubt or has ended.

A defect here ends the chunks of one call, without a last one, but neither the call nor its outcome: the outcome has the
whole answer, and readers of chunks end with it.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from headrace.broker.clock import WallClock
from headrace.broker.ports import ChunkLog
from headrace.broker.service.containment import ContainmentReporter
from headrace.schemas.chunk import Chunk
from headrace.schemas.codec import encode_chunk
from headrace.schemas.delta import Delta, Head, merged, merged_heads
from headrace.schemas.ids import request_digest
from headrace.schemas.record import Record
from headrace.schemas.request import GenerationRequest

GATHER_MS = 50
"""Least interval between two chunks of a call, unless deltas cannot be merged; no delta waits longer."""


@dataclass(eq=False)
class Streaming:
    """Factory of a `Telling` for each streamed call.

    `term` returns the one that this process leads now, or None.
    """

    log: ChunkLog
    clock: WallClock
    term: Callable[[], int | None]
    contained: ContainmentReporter

    def begin(self, request: GenerationRequest, run: int, attempt: int) -> "Telling":
        """Begin the stream of one call; `attempt` is the number its outcome will give.

        Neither this method nor what it returns raises.
        """
        telling = Telling(self, request, run, attempt)
        telling.prepare()
        return telling


class Telling:
    """Chunk stream of one call; end it, whatever becomes of the call. No method raises."""

    def __init__(self, streaming: Streaming, request: GenerationRequest, run: int, attempt: int) -> None:
        self._streaming = streaming
        self._request = request
        self._digest = ""
        self._run = run
        self._attempt = attempt
        self._term = streaming.term()
        self._seq = 0
        self._gathered: list[Delta] = []
        self._head: Head = {}
        self._not_before_ms = streaming.clock.now_ms()
        self._timer: asyncio.TimerHandle | None = None
        self._is_broken = False

    def prepare(self) -> None:
        """Connect in advance: OpenAI takes longer to send its first word."""
        with self._contained():
            self._digest = request_digest(self._request.endpoint, self._request.body)
            self._streaming.log.prepare()

    @contextlib.contextmanager
    def _contained(self) -> Iterator[None]:
        """Contain a defect: it breaks the stream of this call, which sends no further chunk and no last one."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 — chunks are an extra: no defect in them may cost the answer
            self._is_broken = True
            self._streaming.contained("stream", error, request_id=self._request.id)

    def head(self, head: Head) -> None:
        """Add what OpenAI has said beside deltas; it goes with the next chunk."""
        if not self._is_broken:
            with self._contained():
                self._head = merged_heads(self._head, head)

    def delta(self, delta: Delta) -> None:
        """Add a delta that OpenAI has just sent."""
        if not self._is_broken:
            with self._contained():
                self._gather(delta)

    def _gather(self, delta: Delta) -> None:
        both = merged(self._gathered[-1], delta) if self._gathered else None
        if both is None:
            self._gathered.append(delta)
        else:
            self._gathered[-1] = both
        if self._timer is None:
            wait_ms = self._not_before_ms - self._streaming.clock.now_ms()
            if wait_ms <= 0:
                self._send()
            else:
                self._timer = asyncio.get_running_loop().call_later(wait_ms / 1_000, self._send_gathered)

    def _send_gathered(self) -> None:
        with self._contained():
            self._send()

    def _send(self, *, final: bool = False) -> None:
        self._timer = None
        self._not_before_ms = self._streaming.clock.now_ms() + GATHER_MS
        deltas: list[Delta | None] = [*self._gathered]
        self._gathered.clear()
        if final and not deltas:
            deltas.append(None)
        head, self._head = self._head, {}
        if self._term is None or self._streaming.term() != self._term:
            self._seq += len(deltas)  # should this leader be confirmed, its readers see that something is missing
            return
        now = self._streaming.clock.utc_now()
        for number, delta in enumerate(deltas, start=1):
            chunk = Chunk.model_construct(
                id=self._request.id,
                tenant=self._request.tenant,
                endpoint=self._request.endpoint,
                request_digest=self._digest,
                run=self._run,
                term=self._term,
                attempt=self._attempt,
                seq=self._seq,
                delta=delta,
                head=(head or None) if number == 1 else None,
                final=final and number == len(deltas),
            )
            self._seq += 1
            record = _record(chunk, now)
            if record is None:
                self._streaming.log.dropped += 1
            else:
                self._streaming.log.send(record)

    def end(self, *, whole: bool) -> None:
        """End the stream; what is left is sent if the answer is whole, and dropped if not."""
        if self._timer is not None:
            self._timer.cancel()
        if whole and not self._is_broken:
            with self._contained():
                self._send(final=True)
        self._gathered.clear()


def _record(chunk: Chunk, now: datetime) -> Record | None:
    """Encode a chunk; half a surrogate pair in it becomes `?`. None for what JSON cannot express."""
    try:
        return encode_chunk(chunk, time=now)
    except (ValueError, TypeError, RecursionError):
        pass
    try:
        told = {"delta": chunk.delta, "head": chunk.head}
        whole = json.loads(json.dumps(told, ensure_ascii=False).encode(errors="replace"))
        return encode_chunk(chunk.model_copy(update=whole), time=now)
    except (ValueError, TypeError, RecursionError):
        return None
