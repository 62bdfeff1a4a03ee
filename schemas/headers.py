"""Names of the Kafka headers we read and write, and the CloudEvents types.

CloudEvents binary mode (Kafka protocol binding 1.0.2). Headers that are not named here are ignored by readers.
"""

CE_SPECVERSION = "ce_specversion"
CE_ID = "ce_id"
CE_SOURCE = "ce_source"
CE_TYPE = "ce_type"
CE_TIME = "ce_time"
CE_SUBJECT = "ce_subject"
CE_PARTITIONKEY = "ce_partitionkey"
CONTENT_TYPE = "content-type"
TRACEPARENT = "traceparent"

ATTEMPT = "headrace-attempt"
FAILURES = "headrace-failures"
RUN = "headrace-run"
FAILURE = "headrace-failure"
DEADLINE = "headrace-deadline"
NOT_BEFORE = "headrace-not-before"
LANE = "headrace-lane"

REASON = "headrace-reason"
ORIGIN = "headrace-origin"
ATTEMPTS = "headrace-attempts"
FAILED_AT = "headrace-failed-at"
ERROR_TYPE = "headrace-error-type"
REPLY_DROPPED = "headrace-reply-dropped"
LENGTH = "headrace-length"
SHA256 = "headrace-sha256"

TYPE_REQUESTED = "headrace.generation.requested.v1"
TYPE_COMPLETED = "headrace.generation.completed.v1"
TYPE_FAILED = "headrace.generation.failed.v1"
TYPE_RETRYABLE = "headrace.generation.retryable.v1"
TYPE_CHUNK = "headrace.generation.chunk.v1"
TYPE_DEAD_LETTERED = "headrace.generation.dead-lettered.v1"
TYPE_CANCELLED = "headrace.generation.cancelled.v1"

SPECVERSION = "1.0"
JSON = b"application/json"
CLOUDEVENTS_JSON = "application/cloudevents+json"
"""The content type by which structured mode is recognised."""
