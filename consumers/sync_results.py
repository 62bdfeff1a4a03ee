"""Reader for services without an event loop that act on outcomes: `for outcome in results`. `ResultReader`, blocking.

    with SyncResultReader("localhost:9092", group="lead-mailer") as results:
        for outcome in results:
            send_mail(outcome.metadata["lead"], outcome.text)

The same rules hold: an outcome counts as handled when the loop body asks for the next one.
"""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.client_ports import ClientDoors, Start
from headrace.broker.errors import IdConflict
from headrace.consumers.deliveries import Delivery
from headrace.consumers.handling import ATTEMPTS_MAX, PAUSE_S, Handling
from headrace.consumers.outcome_spans import OutcomeSpans
from headrace.consumers.results import ResultReader
from headrace.consumers.sync_handling import Hands
from headrace.consumers.sync_reading import SyncReader
from headrace.schemas.expectation import Expected
from headrace.schemas.outcome import Outcome
from headrace.schemas.topics import results_topic


class SyncResultReader(SyncReader[ResultReader, Delivery]):
    """Iterator over Completed and Failed, committed ones only.

    Args:
        bootstrap_servers: `host:port`, several separated by commas.
        group: Consumer group; members of one group share the outcomes. None: read all, remember nothing.
        topic_prefix: Which budget.
        connection: Address and credentials, where more than an address is needed; or a `SyncMemoryBroker`'s, in a test.
        start: Where a group that never read begins: `earliest`, `latest`, or an aware datetime.
        topic: Another topic of outcomes: a `reply_to`, or the service's own dead letters; default: the results.
        follow: False: end where the topic ended when the reader was opened.
        expected: Gives what this service knows of the request of an id, None if it is none of its own; see
            `ResultReader`. It is called in the background thread, so it must not wait for anything.

    Iterate in one thread; `stop` and `close` may be called from any, `stop` from a signal handler too.
    """

    def __init__(  # noqa: PLR0913  # each is a choice of the service
        self,
        bootstrap_servers: str = "",
        *,
        group: str | None,
        topic_prefix: str = "generation",
        connection: KafkaConnection | ClientDoors | None = None,
        start: Start = "earliest",
        topic: str | None = None,
        follow: bool = True,
        expected: Expected | None = None,
    ) -> None:
        make = partial(
            ResultReader,
            bootstrap_servers,
            group=group,
            topic_prefix=topic_prefix,
            connection=connection,
            start=start,
            topic=topic,
            follow=follow,
            expected=expected,
        )
        super().__init__(make)
        self._traces = OutcomeSpans(topic or results_topic(topic_prefix), group)
        self._in_hand: tuple[ResultReader, Delivery] | None = None

    @property
    def conflicts(self) -> int:
        """Outcomes that were not delivered, since they contradict what was expected of their ids."""
        return self._reader.inner.conflicts

    @property
    def undecodable(self) -> int:
        """Values that could not be read; see `ResultReader`."""
        return self._reader.inner.undecodable

    @property
    def duplicates(self) -> int:
        """Outcomes that had been delivered already and were skipped."""
        return self._reader.inner.duplicates

    @property
    def made_anew(self) -> int:
        """Number of times the topic was deleted and made anew while it was read: it is then read from its beginning."""
        return self._reader.inner.made_anew

    @property
    def published_at(self) -> datetime | None:
        """Kafka's timestamp of the outcome that the iteration returned last; None before the first."""
        if self._in_hand is None:
            return None
        return datetime.fromtimestamp(self._in_hand[1].arrived[0].timestamp_ms / 1_000, UTC)

    def stop(self) -> None:
        """End the iteration, or `handle`, once the outcomes in hand have been handled: for a signal handler."""
        self._reader.post(ResultReader.stop)

    def close(self) -> None:
        """Commit what is handled and leave the group; never hangs. It may be called twice."""
        self._traces.end()
        super().close()

    def __next__(self) -> Outcome:
        """Return the next outcome; asking for it marks the one before as handled.

        An exception that interrupts the wait, such as KeyboardInterrupt, loses nothing: asking again goes on waiting.

        Raises:
            IdConflict: It is of another request than is expected of its id. It counts as handled; ask for the next.
            RightsError, AuthenticationError: Kafka does not let us.
        """
        delivery = self._next()
        self._in_hand = self._reader.inner, delivery
        if differs := self._reader.inner.contradicted(delivery.outcome):
            raise IdConflict(delivery.outcome.id, differs)
        self._traces.begin(delivery)
        return delivery.outcome

    def _ask(self) -> "Future[Delivery | None]":
        before, self._in_hand = self._in_hand, None
        self._traces.end()

        async def following(reader: ResultReader) -> Delivery | None:
            await reader.open()
            if before is not None and before[0] is reader:  # of a parent's reader, another member has it
                reader.done(before[1])
            return await reader.delivery()

        return self._reader.begin(following)

    def handle(
        self,
        handler: Callable[[Outcome], None],
        *,
        dead_letters: str | None,
        attempts_max: int = ATTEMPTS_MAX,
        pause_s: float = PAUSE_S,
        concurrency: int = 1,
    ) -> Handling:
        """Call `handler` for each outcome; whatever it raises, the outcome is neither lost nor retried forever.

        Args:
            handler: Returning marks the outcome as handled. `headrace.consumers.handling.Refused` means that a retry is
                of no use; after any other exception the outcome is retried.
            dead_letters: The service's own topic for outcomes given up; a reader with `topic=` handles them again.
                None: the last exception is raised here, and the outcome comes again after the next start.
            attempts_max: Maximum number of attempts for an outcome.
            pause_s: Pause before the second attempt; each further pause is twice as long, half a minute at most.
            concurrency: Number of outcomes handled at once. With 1 the handler is called in the calling thread, and the
                outcomes of a partition in order; else in that many threads, of which the calling one is one.

        Returns:
            The counts, once `stop` was called or a reader that does not follow has reached the end.

        Raises:
            MissingTopic: There is no topic `dead_letters`.
            RightsError, AuthenticationError, Unreachable: Kafka does not let us, or is away at the start.
        """
        hands = Hands(handler, concurrency)
        return hands.work(
            self._reader.begin(
                lambda reader: reader.handle(
                    hands.handed,
                    dead_letters=dead_letters,
                    attempts_max=attempts_max,
                    pause_s=pause_s,
                    concurrency=concurrency,
                )
            )
        )
