"""Calls of the gateway's clients: each gets an id, its place on a lane, and its outcome, at this gateway or at another.

A call whose client chose an id has that one, so that the same id again joins it. Another call gets an id that belongs
to this gateway's home partition of the results, and if an SDK makes it, it is noted first, so that the SDK's repetition
finds it (`headrace.broker.gateway.joins`).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self

from headrace.broker.client import GenerationClient, Submission, new_id, submission
from headrace.broker.client_ports import AnswerLog, GatewayDoors, HomeAnswers, OutcomeLog, ScanLog, Start, SubmitLog
from headrace.broker.clock import WallClock
from headrace.broker.errors import Disconnected, HeadraceError, InvalidRequest, WaitTimedOut
from headrace.broker.gateway.call_options import CallOptions
from headrace.broker.gateway.ids import given_id, internal_id
from headrace.broker.gateway.joins.call_log import CallLog
from headrace.broker.gateway.joins.call_records import content_digest
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.shapes.errors import deadline_passed
from headrace.schemas.ids import is_valid_id
from headrace.schemas.outcome import Outcome
from headrace.schemas.topics import calls_topic, control_topic, results_topic

SOURCE: Final = "headrace.gateway"
_AGAIN_AFTER_S: Final = 0.2
_IDS_TRIED_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class CallRules:
    """Topics and times of a gateway's calls; `dedupe_window_s` is the dispatchers'.

    `kafka_within_s` is how long Kafka may be away before a client is told to come back.
    """

    topic_prefix: str
    dedupe_window_s: float
    join_window_s: float
    kafka_within_s: float = 10.0


@dataclass(frozen=True, slots=True)
class CallContent:
    """What a client wants called: `body` goes to OpenAI, `sent` is the body as the client sent it."""

    endpoint: str
    body: Mapping[str, Any]
    sent: Mapping[str, Any]
    stream: bool = False


@dataclass(frozen=True, slots=True)
class ClientCall:
    """A call that has an id.

    Attributes:
        given_id: The id under which its client knows it.
        known_before: Whether it may have been answered already.
        joined: Whether it is the repetition of an earlier one.
        digest: Digest of its content, if its client's SDK may repeat it.
    """

    key: ClientKey
    prepared: Submission
    given_id: str
    known_before: bool = False
    joined: bool = False
    digest: str | None = None

    @property
    def id(self) -> str:
        """The id in Kafka."""
        return self.prepared.request.id


@dataclass(frozen=True, slots=True)
class _OwnDoors:
    """Doors of the one client that a gateway has."""

    log: SubmitLog
    home: HomeAnswers
    doors: GatewayDoors

    def submissions(self) -> SubmitLog:
        return self.log

    def answers(self, topic: str, *, read_back_s: float) -> AnswerLog:
        return self.home

    def outcomes(self, topic: str, *, group: str | None, start: Start) -> OutcomeLog:
        return self.doors.outcomes(topic, group=group, start=start)

    def scan(self, topic: str, *, since: datetime | None) -> ScanLog:
        return self.doors.scan(topic, since=since)


@dataclass(eq=False)
class Calls:
    """Calls of one gateway process; used with `async with`, which connects nothing that does not connect by itself."""

    doors: GatewayDoors
    rules: CallRules
    clock: WallClock
    repeats: CallLog = field(init=False)
    _log: SubmitLog = field(init=False)
    _notes: SubmitLog = field(init=False)
    _answers: HomeAnswers = field(init=False)
    _client: GenerationClient = field(init=False)
    _waits: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        prefix = self.rules.topic_prefix
        window_s = self.rules.dedupe_window_s
        self._log = self.doors.submissions()
        self._answers = self.doors.home_answers(results_topic(prefix), read_back_s=window_s)
        own = _OwnDoors(self._log, self._answers, self.doors)
        self._client = GenerationClient(connection=own, topic_prefix=prefix, source=SOURCE, dedupe_window_s=window_s)
        topic = calls_topic(prefix)
        self._notes = self.doors.submissions()  # a producer has one request under way at each node
        self.repeats = CallLog(self.doors, topic, window_s=self.rules.join_window_s, log=self._notes, clock=self.clock)

    async def __aenter__(self) -> Self:
        await self.repeats.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.repeats.__aexit__(kind, error, trace)
        await self._notes.close()
        await self._client.close()

    # ------------------------------------------------------------------ before the call

    async def begun(self, key: ClientKey, content: CallContent, options: CallOptions) -> ClientCall:
        """Give a call its id, and note it if its SDK may repeat it. `ended` must follow.

        Its client counts as waiting from here on, so that of two repetitions at once each takes a call of its own.

        Raises:
            InvalidRequest: It cannot be put on a lane as it is.
            LogUnavailable: Kafka does not answer; nothing was sent.
        """
        call = await self._called(key, content, options)
        self._waits[call.id] = self._waits.get(call.id, 0) + 1
        self.repeats.waits(call.id)
        return call

    def ended(self, call: ClientCall) -> None:
        """Note that the client of a call waits no longer."""
        self.repeats.left(call.id)
        self._waits[call.id] -= 1
        if not self._waits[call.id]:
            del self._waits[call.id]

    async def _called(self, key: ClientKey, content: CallContent, options: CallOptions) -> ClientCall:
        if options.given_id is not None:
            prepared = self._prepared(internal_id(key.tenant, options.given_id), key, content, options)
            return ClientCall(key, prepared, options.given_id, known_before=True)
        if options.retry_count is None:
            return self._new(key, content, options, await self._home())
        digest = content_digest(key.name, content.endpoint, content.sent)
        former = await self.repeats.repeated(digest) if options.retry_count > 0 else None
        if former is not None and _is_own(former, key):
            prepared = self._prepared(former, key, content, options)
            return ClientCall(key, prepared, _shown(former), known_before=True, joined=True, digest=digest)
        call = self._new(key, content, options, await self._home(), digest)
        await self.repeats.opened(digest, call.id)
        return call

    async def _home(self) -> int:
        return (await self._answers.home(connect_s=self.rules.kafka_within_s)).partition

    def _new(
        self, key: ClientKey, content: CallContent, options: CallOptions, home: int, digest: str | None = None
    ) -> ClientCall:
        for _ in range(_IDS_TRIED_MAX):
            made = f"{key.tenant}/call-{new_id()}"
            if self._answers.partition_of(made.encode()) == home:
                break
        return ClientCall(key, self._prepared(made, key, content, options), _shown(made), digest=digest)

    def _prepared(self, request_id: str, key: ClientKey, content: CallContent, options: CallOptions) -> Submission:
        fields = {
            "id": request_id,
            "endpoint": content.endpoint,
            "tenant": key.tenant,
            "body": dict(content.body),
            "stream": content.stream,
            "deadline": options.deadline,
            "template": options.template,
        }
        try:
            return submission(
                fields,
                lane=options.lane,
                ordering_key=options.ordering_key,
                traceparent=options.traceparent,
                source=SOURCE,
            )
        except InvalidRequest:
            if options.deadline is not None and options.deadline <= self.clock.utc_now():
                raise deadline_passed() from None  # it was ahead when the request came
            raise

    # ------------------------------------------------------------------ the call

    async def submitted(self, call: ClientCall) -> None:
        """Put a call on its lane without waiting for its outcome; raises as `GenerationClient.submit`."""
        async for _ in self._client.submit_many([call.prepared], timeout_s=self.rules.kafka_within_s):
            pass

    async def outcome(self, call: ClientCall) -> Outcome:
        """Put a call on its lane and wait for its outcome, as long as its key allows.

        Raises:
            WaitTimedOut: No outcome yet; the request goes on.
            IdConflict, LogUnavailable, NotSubmitted: As `GenerationClient.outcome_of`, and what it raises of rights.
        """
        loop = asyncio.get_running_loop()
        until_s, known_before = loop.time() + call.key.wait_s, call.known_before
        while True:
            left_s = until_s - loop.time()
            if left_s <= 0:
                raise WaitTimedOut(f"No outcome of {call.given_id} within {call.key.wait_s:g} s.")
            try:
                return await self._client.outcome_of(
                    call.prepared,
                    timeout_s=left_s,
                    submit_timeout_s=min(left_s, self.rules.kafka_within_s),
                    known_before=known_before,
                )
            except Disconnected:  # the request may be under way, and the same id again is free
                known_before = True
                await asyncio.sleep(_AGAIN_AFTER_S)

    async def earlier(self, request_id: str) -> Outcome | None:
        """Return the outcome of an id within the dedupe window, of its latest run; None if there is none.

        Raises:
            HeadraceError: Kafka does not let us look.
        """
        return await self._answers.earlier(request_id, connect_s=self.rules.kafka_within_s)

    def is_awaited_by_others(self, call: ClientCall) -> bool:
        """Whether any further client, beside the one of this call, waits for the same id at this gateway."""
        return self._waits.get(call.id, 0) > 1

    def received(self, call: ClientCall) -> None:
        """Note that its client has the answer, so that no repetition joins it."""
        if call.digest is not None:
            self.repeats.received(call.digest, call.id)

    async def cancel(self, key: ClientKey, request_id: str) -> None:
        """Ask that a request of the key's tenant be cancelled; raises as `GenerationClient.cancel`."""
        await self._client.cancel(request_id, tenant=key.tenant, timeout_s=self.rules.kafka_within_s)

    # ------------------------------------------------------------------ probes

    async def trouble(self) -> str:
        """Return why no call can be made now; empty if one can."""
        prefix = self.rules.topic_prefix
        try:
            await self._home()
            await self._log.check(control_topic(prefix))
        except HeadraceError as reason:
            return str(reason)
        return "" if self.repeats.is_ready else "The topic of calls is not followed yet."


def _is_own(internal: str, key: ClientKey) -> bool:
    """Whether it is an id of the key's tenant: the key may have had another one, and the topic may hold anything."""
    return is_valid_id(internal) and bool(given_id(key.tenant, internal))


def _shown(internal: str) -> str:
    """Return the client's own name of an id that the gateway chose."""
    return internal.partition("/")[2]
