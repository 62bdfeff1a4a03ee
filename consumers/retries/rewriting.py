"""Output for each record of the failures: its request, on its lane again, or a dead letter.

A record that is no failure, that its lane does not take, or that our own code cannot read or write becomes a dead
letter of its own; it affects no other record.
"""

import structlog

from headrace.broker.ports import Fetched, Outgoing, UnreadableRange
from headrace.broker.traces import traced
from headrace.consumers.retries.culprits import Culprits
from headrace.consumers.retries.dead_letter_writer import DeadLetterWriter
from headrace.consumers.retries.rules import RetrierRules
from headrace.consumers.retries.watcher import RetryCounter
from headrace.schemas.codec import OtherReleaseError, WireError, decode_failure, encode_retry
from headrace.schemas.dead_letter import Origin
from headrace.schemas.failure import RetryableFailure
from headrace.schemas.topics import failures_topic, requests_topic

LANE_CHARS_MAX = 32
"""Longest name of a lane; one of thousands of characters would fit no stored progress, and end every retrier."""

_log = structlog.get_logger("retrier")


class Rewriting:
    """Reader of failures, and writer of the output for each."""

    def __init__(
        self, rules: RetrierRules, letters: DeadLetterWriter, culprits: Culprits, watcher: RetryCounter
    ) -> None:
        """`culprits` counts how often a record was refused alone: its output becomes smaller."""
        self._rules = rules
        self._topic = failures_topic(rules.topic_prefix)
        self._letters = letters
        self._culprits = culprits
        self._watcher = watcher

    def read(self, number: int, fetched: Fetched) -> tuple[RetryableFailure | None, int]:
        """Decode a failure and its due time; None for a record that is no failure, or that our own code cannot read.

        Raises:
            OtherReleaseError: A dead letter would be all that is left of a request.
        """
        try:
            failure = decode_failure(fetched.record.value, fetched.record.headers)
            if len(failure.lane) > LANE_CHARS_MAX:
                return None, 0
            return failure, max(0, int(failure.not_before.timestamp() * 1_000))
        except OtherReleaseError:
            raise
        except WireError:
            return None, 0
        except Exception as error:  # noqa: BLE001 — one broken failure is a dead letter; all others go on
            self._contained(error, number, fetched.offset)
            return None, 0

    def written(
        self, number: int, offset: int, fetched: Fetched | None, unread: UnreadableRange | None
    ) -> tuple[Outgoing, str]:
        """Return the output for a record, and its kind."""
        origin = Origin(self._topic, number, offset)
        if unread is not None:
            reason = "lost_by_retention" if unread.removed else "undecodable"
            return self._letters.lost(origin._replace(offset=unread.first), reason), "undecodable"
        if fetched is None:
            return self._letters.lost(origin), "undecodable"
        failure, _ = self.read(number, fetched)
        if failure is None:
            return self._undecodable(origin, fetched), "undecodable"
        try:
            return self._retry(failure, origin), failure.kind
        except Exception as error:  # noqa: BLE001 — as when it is read
            self._contained(error, number, offset)
            return self._undecodable(origin, fetched), failure.kind

    def _undecodable(self, origin: Origin, fetched: Fetched) -> Outgoing:
        """Make its dead letter; without its content if not even that can be written."""
        try:
            bare = self._culprits.refusals((origin.partition, origin.offset)) > 0
            return self._letters.undecodable(origin, fetched.record, bare=bare)
        except Exception as error:  # noqa: BLE001 — as when it is read
            self._contained(error, origin.partition, origin.offset)
            return self._letters.lost(origin, "undecodable")

    def _retry(self, failure: RetryableFailure, origin: Origin) -> Outgoing:
        lane = self.lane(failure.lane)
        if lane != failure.lane:
            _log.warning("lane_is_gone", lane=failure.lane, instead=lane)
        topic = requests_topic(self._rules.topic_prefix, lane)
        record, refusals = encode_retry(failure, origin), self._culprits.refusals((origin.partition, origin.offset))
        if refusals or record.bytes_max > self._rules.lane_bytes_max:
            return self._letters.unpublishable(
                origin, record, run=failure.run, attempts=failure.attempt, bare=refusals > 1
            )
        submitted_ms = max(0, int(failure.submitted_at.timestamp() * 1_000))  # Kafka takes no time before 1970
        return Outgoing(topic, record, submitted_ms)

    def lane(self, named: str) -> str:
        """Return the lane to write to; the last one replaces a lane that is no longer configured and has no reader."""
        return named if named in self._rules.lanes else self._rules.lanes[-1]

    def _contained(self, error: Exception, number: int, offset: int) -> None:
        self._watcher.contained("retry")
        _log.error("contained", step="retry", topic=self._topic, partition=number, offset=offset, **traced(error))
