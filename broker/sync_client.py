"""Client for producers without an event loop (Django, Flask, Celery, scripts): `GenerationClient`, blocking.

    generations = SyncGenerationClient("localhost:9092")  # once, at the top of a module
    done = generations.generate({"model": "gpt-4o-mini", "messages": [...]}, lane="urgent")

All of them share one background event loop, in a daemon thread. Every thread may use them. They may be made, and even
used, before the process forks, as with gunicorn's `preload_app` or Celery's prefork pool: each child has a loop and
connections of its own, and the parent's go on. What is still open when the interpreter ends is closed then.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self, Unpack

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.background.per_process import PerProcess
from headrace.broker.client import (
    DEDUPE_WINDOW_S,
    GENERATE_TIMEOUT_S,
    IN_FLIGHT_MAX,
    SUBMIT_TIMEOUT_S,
    CancelReceipt,
    GenerationClient,
    Receipt,
)
from headrace.broker.client_ports import ClientDoors
from headrace.broker.submission import Envelope, Submission
from headrace.broker.sync_submissions import Feed
from headrace.schemas.outcome import Completed, Outcome


class SyncGenerationClient:
    """Client that submits requests, and blocks the calling thread meanwhile. Safe for many threads, and over forks.

    Args:
        bootstrap_servers: `host:port`, several separated by commas.
        topic_prefix: The budget; each prefix has a dispatcher of its own.
        connection: Address and credentials, where more than an address is needed; or a `SyncMemoryBroker`'s, in a test.
        source: The sender, for CloudEvents' `source`.
        dedupe_window_s: The dispatchers' `dedupe.window_s`; see `GenerationClient`.

    Nothing is connected before the first request, so a service may start while Kafka is away. Use one as long as the
    service runs: each process that uses it has one connection to each Kafka node that it needs.

    An exception in the waiting thread, such as KeyboardInterrupt or Celery's SoftTimeLimitExceeded, ends the wait; the
    request may be under way, and asking again with the same id is safe. Inside a running event loop it works, but
    blocks that loop: use `GenerationClient` there.
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
        make = partial(
            GenerationClient,
            bootstrap_servers,
            topic_prefix=topic_prefix,
            connection=connection,
            source=source,
            dedupe_window_s=dedupe_window_s,
        )
        self._client = PerProcess(self, make)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Deliver what is on its way if Kafka answers within three seconds; never hangs.

        Waits in other threads end with Disconnected. It may be called twice, and a later request connects again.
        """
        self._client.close()

    def submit(
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
        return self._client.run(
            lambda client: client.submit(
                body, lane=lane, ordering_key=ordering_key, traceparent=traceparent, timeout_s=timeout_s, **asked
            )
        )

    def submit_many(
        self,
        submissions: Iterable[Submission],
        *,
        in_flight_max: int = IN_FLIGHT_MAX,
        timeout_s: float = SUBMIT_TIMEOUT_S,
    ) -> Iterator[Receipt]:
        """Put many requests on their lanes, in order, with up to `in_flight_max` unacknowledged; receipts in order.

        Nothing is sent before the first receipt is asked for. `submissions` is iterated over in the calling thread, in
        portions of up to 64 requests, so it may read from a database connection of this thread.

        Raises:
            NotSubmitted: As `submit`, for the first request whose receipt would be next; some behind it may have been
                taken nevertheless. Any error of ours that `submissions` itself raises comes after the receipts of those
                before it.
        """
        feed = Feed(iter(submissions))
        submit = partial(self._client.inner.submit_many, in_flight_max=in_flight_max, timeout_s=timeout_s)
        yield from feed.receipts(self._client.begin(lambda _: feed.run(submit)))

    def generate(
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
            Disconnected: The client was closed during the wait; ask again with the same id.
            NotSubmitted: As `submit`.
        """
        return self._client.run(
            lambda client: client.generate(
                body, lane=lane, ordering_key=ordering_key, traceparent=traceparent, timeout_s=timeout_s, **asked
            )
        )

    def outcome_of(
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
            IdConflict, WaitTimedOut, Disconnected, NotSubmitted: As `generate`.
        """
        return self._client.run(
            lambda client: client.outcome_of(
                prepared, timeout_s=timeout_s, submit_timeout_s=submit_timeout_s, known_before=known_before
            )
        )

    def cancel(
        self, request_id: str, *, tenant: str | None = None, timeout_s: float = SUBMIT_TIMEOUT_S
    ) -> CancelReceipt:
        """Ask that a request be answered `cancelled`, unless it is answered already. It need not have been taken yet.

        With `tenant` only a request of that tenant is cancelled; without it, the one that has the id, of any sender.
        The receipt says that the cancel will be heeded; the request's outcome says what became of it.

        Raises:
            InvalidRequest: That is no id, or no tenant.
            LogUnavailable, NotSubmitted, RightsError, AuthenticationError: As `submit`; cancelling again is safe.
        """
        return self._client.run(lambda client: client.cancel(request_id, tenant=tenant, timeout_s=timeout_s))

    def outcome_of_cancelled(
        self,
        request_id: str,
        *,
        tenant: str | None = None,
        timeout_s: float | None = GENERATE_TIMEOUT_S,
        submit_timeout_s: float = SUBMIT_TIMEOUT_S,
    ) -> Outcome:
        """Cancel a request and wait for its outcome: Failed (`cancelled`), or the one it had within the dedupe window.

        With `tenant` another tenant's request with this id is not cancelled, and its outcome raises IdConflict; see
        `GenerationClient.outcome_of_cancelled`.

        Raises as `cancel`; IdConflict; Disconnected; and WaitTimedOut if there is none: no such request was sent yet,
        another tenant's is not answered yet, or no dispatcher leads.
        """
        return self._client.run(
            lambda client: client.outcome_of_cancelled(
                request_id, tenant=tenant, timeout_s=timeout_s, submit_timeout_s=submit_timeout_s
            )
        )
