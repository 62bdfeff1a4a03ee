"""Client for producers: puts a request on a lane, waits for its outcome if wanted, and cancels it if not.

A lead-ingest service imports this module, so it loads aiokafka and pydantic, and nothing that an extra brings.
Submitting the same id again is always safe: it costs one call and has one outcome.
"""

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, Unpack

from headrace.broker.adapters.kafka.client import client_doors
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.otel.joining import SendingSpan, sending
from headrace.broker.client_ports import Appended, ClientDoors, Pending
from headrace.broker.errors import (
    GenerationFailed,
    HeadraceError,
    InvalidRequest,
    MissingTopic,
    NotSubmitted,
    OutcomeUnreadable,
)
from headrace.broker.lane_names import no_such_lane
from headrace.broker.outcome_wait import OutcomeWait
from headrace.broker.submission import Envelope, Submission, each, new_id, submission
from headrace.schemas.codec import encode_cancel
from headrace.schemas.control import Cancel
from headrace.schemas.expectation import Expectation
from headrace.schemas.ids import is_valid_id
from headrace.schemas.nearest import listed
from headrace.schemas.outcome import Completed, Failed, Outcome
from headrace.schemas.request import LABEL_LENGTH_MAX
from headrace.schemas.topics import control_topic, requests_topic, results_topic
from headrace.schemas.unreadable import is_unreadable

__all__ = ["CancelReceipt", "Envelope", "GenerationClient", "Receipt", "Submission", "each", "new_id", "submission"]

SUBMIT_TIMEOUT_S = 30.0
GENERATE_TIMEOUT_S = 600.0
IN_FLIGHT_MAX = 500
DEDUPE_WINDOW_S = 3_600.0
"""The default of the dispatchers' `dedupe.window_s`."""


def check_tenant(tenant: object) -> None:
    """Refuse a tenant that no request can have; None means any.

    Raises:
        InvalidRequest: It is empty, too long, or not text.
    """
    if tenant is None:
        return
    if not isinstance(tenant, str) or not 1 <= len(tenant) <= LABEL_LENGTH_MAX:
        raise InvalidRequest(f"A tenant has 1 to {LABEL_LENGTH_MAX} characters; leave it out to mean any.")
    try:
        tenant.encode()
    except UnicodeEncodeError:
        raise InvalidRequest("The tenant is not valid UTF-8: name it as its requests do.") from None


@dataclass(frozen=True, slots=True)
class Receipt:
    """Receipt of a request that is in its lane; `submitted_at` is its Kafka timestamp, aware UTC."""

    id: str
    lane: str
    topic: str
    partition: int
    offset: int
    submitted_at: datetime


@dataclass(frozen=True, slots=True)
class CancelReceipt:
    """Receipt of a cancel that is in the control topic; `asked_at` is its Kafka timestamp, aware UTC."""

    id: str
    topic: str
    partition: int
    offset: int
    asked_at: datetime


class GenerationClient:
    """Client that submits requests. Use one per event loop, as long as the service runs; safe for many tasks at once.

    Args:
        bootstrap_servers: `host:port`, several separated by commas.
        topic_prefix: The budget; each prefix has a dispatcher of its own.
        connection: Address and credentials, where more than an address is needed; or a `MemoryBroker`'s, in a test.
        source: The sender, for CloudEvents' `source`.
        dedupe_window_s: The dispatchers' `dedupe.window_s`. An id that was answered within it is not called again, so
            its outcome is searched for in the results that far back.

    Nothing is connected before the first request, so a service may start while Kafka is away.
    """

    def __init__(
        self,
        bootstrap_servers: str = "",
        *,
        topic_prefix: str = "generation",
        connection: KafkaConnection | ClientDoors | None = None,
        source: str = "headrace.client",
        dedupe_window_s: float = DEDUPE_WINDOW_S,
    ) -> None:
        self._prefix = topic_prefix
        self._source = source
        doors = client_doors(bootstrap_servers, connection)
        self._log = doors.submissions()
        self._answers = doors.answers(results_topic(topic_prefix), read_back_s=dedupe_window_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Deliver what is on its way if Kafka answers within three seconds; never hangs."""
        await self._answers.close()
        await self._log.close()

    async def submit(
        self,
        body: Mapping[str, Any],
        *,
        lane: str = "standard",
        ordering_key: str | None = None,
        traceparent: str | None = None,
        timeout_s: float = SUBMIT_TIMEOUT_S,
        **asked: Unpack[Envelope],
    ) -> Receipt:
        """Put one request on its lane.

        Args:
            body: The JSON body of the HTTP request, sent to OpenAI unchanged.
            lane: `urgent`, `standard`, `bulk`, or another one the dispatcher has.
            ordering_key: Requests of one key start in the order in which they were submitted.
            traceparent: W3C trace context, passed on. Without it, a service that traces with OpenTelemetry has its
                present span continued.
            timeout_s: How long Kafka may be away.
            **asked: `endpoint`, `tenant`, `id` (default: a UUIDv7), `deadline` (an aware datetime, or a timedelta from
                now), `stream`, `template`, `metadata`, `reply_to`.

        Returns:
            The position of the request, once all replicas in sync have it.

        Raises:
            InvalidRequest: It was refused before it was sent.
            LogUnavailable: Kafka did not take it within `timeout_s`; submit it again with the same id.
            NotSubmitted: There is no such lane.
            RightsError, AuthenticationError: Kafka denies us access.
        """
        prepared = self._prepared(body, asked, lane=lane, ordering_key=ordering_key, traceparent=traceparent)
        return await (await self._begin(prepared, timeout_s)).receipt(timeout_s)

    async def submit_many(
        self,
        submissions: Iterable[Submission] | AsyncIterable[Submission],
        *,
        in_flight_max: int = IN_FLIGHT_MAX,
        timeout_s: float = SUBMIT_TIMEOUT_S,
    ) -> AsyncIterator[Receipt]:
        """Put many requests on their lanes, in order, with up to `in_flight_max` unacknowledged; receipts in order.

        Raises:
            NotSubmitted: As `submit`, for the first request whose receipt would be next; some behind it may have been
                taken nevertheless. Any error that `submissions` itself raises comes after the receipts of those before
                it.
        """
        source = each(submissions)
        flying: deque[_Flying] = deque()
        failure: HeadraceError | None = None
        while True:
            try:
                prepared = await anext(source, None)
                begun = None if prepared is None else await self._begin(prepared, timeout_s)
            except HeadraceError as reason:
                failure = reason
                break
            if begun is None:
                break
            flying.append(begun)
            if len(flying) >= in_flight_max:
                yield await flying.popleft().receipt(timeout_s)
        while flying:
            yield await flying.popleft().receipt(timeout_s)
        if failure is not None:
            raise failure

    async def generate(
        self,
        body: Mapping[str, Any],
        *,
        lane: str = "standard",
        ordering_key: str | None = None,
        traceparent: str | None = None,
        timeout_s: float = GENERATE_TIMEOUT_S,
        **asked: Unpack[Envelope],
    ) -> Completed:
        """Submit one request and wait for its outcome; an id answered within the dedupe window has its earlier one.

        Raises:
            IdConflict: The id belongs to a request of another tenant, endpoint or body; its outcome is not handed out.
            GenerationFailed: The outcome is Failed; it is in `outcome`.
            OutcomeUnreadable: There is an outcome that this release cannot read; `outcome` holds what its headers say.
            WaitTimedOut: No outcome within `timeout_s`; the request goes on, ask again with the same id.
            NotSubmitted: As `submit`.
        """
        prepared = self._prepared(body, asked, lane=lane, ordering_key=ordering_key, traceparent=traceparent)
        outcome = await self.outcome_of(
            prepared,
            timeout_s=timeout_s,
            submit_timeout_s=min(timeout_s, SUBMIT_TIMEOUT_S),
            known_before=asked.get("id") is not None,
        )
        if isinstance(outcome, Failed):
            raise OutcomeUnreadable(outcome) if is_unreadable(outcome) else GenerationFailed(outcome)
        return outcome

    async def outcome_of(
        self,
        prepared: Submission,
        *,
        timeout_s: float | None = GENERATE_TIMEOUT_S,
        submit_timeout_s: float = SUBMIT_TIMEOUT_S,
        known_before: bool = True,
    ) -> Outcome:
        """Submit and wait like `generate`, and return Completed and Failed alike.

        Args:
            prepared: What to submit.
            timeout_s: The longest wait in all; None: until the outcome has come.
            submit_timeout_s: How long Kafka may be away.
            known_before: Whether the id may have been answered already, so that it is worth reading back.

        Raises:
            IdConflict, WaitTimedOut, NotSubmitted: As `generate`.
        """

        async def submit() -> None:
            await (await self._begin(prepared, submit_timeout_s)).receipt(submit_timeout_s)

        wait = OutcomeWait(prepared.expectation, "request", "it goes on; ask again with the same id", known_before)
        return await wait.result(self._answers, submit, timeout_s=timeout_s, connect_s=submit_timeout_s)

    async def cancel(
        self, request_id: str, *, tenant: str | None = None, timeout_s: float = SUBMIT_TIMEOUT_S
    ) -> CancelReceipt:
        """Ask that a request be answered `cancelled`, unless it is answered already. It need not have been taken yet.

        With `tenant` only a request of that tenant is cancelled; without it, the one that has the id, of any sender.
        The receipt says that the cancel will be heeded; the request's outcome says what became of it.

        Raises:
            InvalidRequest: That is no id, or no tenant.
            LogUnavailable, NotSubmitted, RightsError, AuthenticationError: As `submit`; cancelling again is safe.
        """
        if not is_valid_id(request_id):
            raise InvalidRequest("An id is 1 to 128 printable ASCII characters.")
        check_tenant(tenant)
        cancel = Cancel(id=request_id, tenant=tenant)
        record = encode_cancel(cancel, source=self._source, time=datetime.now(UTC))
        try:
            placed = await self._log.append(control_topic(self._prefix), record, timeout_s=timeout_s)
        except MissingTopic as reason:
            raise NotSubmitted(f"The cancel was not sent. {reason}") from reason
        asked_at = datetime.fromtimestamp(placed.timestamp_ms / 1_000, UTC)
        return CancelReceipt(request_id, placed.topic, placed.partition, placed.offset, asked_at)

    async def outcome_of_cancelled(
        self,
        request_id: str,
        *,
        tenant: str | None = None,
        timeout_s: float | None = GENERATE_TIMEOUT_S,
        submit_timeout_s: float = SUBMIT_TIMEOUT_S,
    ) -> Outcome:
        """Cancel a request and wait for its outcome: Failed (`cancelled`), or the one it had within the dedupe window.

        With `tenant` another tenant's request with this id is not cancelled, and its outcome raises IdConflict, also if
        it comes during the wait. An outcome that names no tenant, as an older release wrote it, is taken for the
        caller's. Without `tenant` the request that has the id is cancelled, of any sender.

        Raises as `cancel`; IdConflict; and WaitTimedOut if there is none: no such request was sent yet, another
        tenant's is not answered yet, or no dispatcher leads.
        """

        async def cancel() -> None:
            await self.cancel(request_id, tenant=tenant, timeout_s=submit_timeout_s)

        expected = Expectation(request_id, tenant)
        whose = "" if tenant is None else " of its tenant"
        then, mend = f"the cancel waits for a request{whose} with this id", "check the id"
        wait = OutcomeWait(expected, "cancel", then, known_before=True, mend=mend)
        return await wait.result(self._answers, cancel, timeout_s=timeout_s, connect_s=submit_timeout_s)

    def _prepared(self, body: Mapping[str, Any], asked: Envelope, **sent: Any) -> Submission:
        unknown = asked.keys() - Envelope.__annotations__.keys()
        if unknown:
            raise TypeError(f"a request takes no {listed(sorted(unknown))}, only {listed(Envelope.__annotations__)}")
        metadata = dict(asked.get("metadata") or {})
        return submission({**asked, "body": dict(body), "metadata": metadata}, source=self._source, **sent)

    async def _begin(self, prepared: Submission, timeout_s: float) -> "_Flying":
        topic = requests_topic(self._prefix, prepared.lane)
        span = sending(topic, prepared.request.id, prepared.record.headers)
        try:
            pending = await self._log.begin(topic, prepared.record.with_headers(span.headers), timeout_s=timeout_s)
        except BaseException as reason:
            span.failed(reason)
            if isinstance(reason, MissingTopic):
                raise NotSubmitted(no_such_lane(prepared.lane, self._prefix, reason.beside)) from reason
            raise
        return _Flying(prepared, pending, span)


@dataclass(frozen=True, slots=True)
class _Flying:
    prepared: Submission
    pending: Pending
    span: SendingSpan

    async def receipt(self, timeout_s: float) -> Receipt:
        try:
            placed: Appended = await self.pending.wait(timeout_s=timeout_s)
        except BaseException as reason:
            self.span.failed(reason)
            raise
        self.span.sent(placed.partition, placed.offset)
        return Receipt(
            id=self.prepared.request.id,
            lane=self.prepared.lane,
            topic=placed.topic,
            partition=placed.partition,
            offset=placed.offset,
            submitted_at=datetime.fromtimestamp(placed.timestamp_ms / 1_000, UTC),
        )
