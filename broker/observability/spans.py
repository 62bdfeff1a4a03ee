"""The table of spans and of their attributes: every name that leaves in a trace, with the convention it comes from.

Names of conventions that are still in development may change with them; they are pinned with `SCHEMA_URL`, which each
span carries, and with `GEN_AI`, since the GenAI conventions moved to a repository without a schema URL of its own. A
test compares them with the published constants.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final, Self

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
SCOPE: Final = "headrace"


class Convention(Enum):
    """Conventions that names come from; `in_development` says that they may still change."""

    MESSAGING = "OpenTelemetry semantic conventions 1.44.0, messaging and Kafka"
    GEN_AI = "OpenTelemetry GenAI semantic conventions 0.1.0"
    GENERAL = "OpenTelemetry semantic conventions 1.44.0"
    HEADRACE = "Headrace"

    @property
    def in_development(self) -> bool:
        """Whether the convention is not stable yet."""
        return self in {Convention.MESSAGING, Convention.GEN_AI}


class SpanKind(Enum):
    """Kinds of spans, by OpenTelemetry's names."""

    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"
    CLIENT = "CLIENT"
    SERVER = "SERVER"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class SpanRow:
    """One kind of span: its name begins with `operation`, and what it works on follows.

    Attributes:
        operation: First word of the name.
        target: What follows it, for the page.
        made_by: Process that makes it.
        meaning: What it covers, from its start to its end.
        source: Convention of its name and kind.
    """

    operation: str
    target: str
    kind: SpanKind
    made_by: str
    meaning: str
    source: Convention

    def name(self, target: str) -> str:
        """Return the name of one span."""
        return f"{self.operation} {target}"


SEND: Final = SpanRow(
    "send",
    "<topic>",
    SpanKind.PRODUCER,
    "client, gateway, dispatcher, retrier",
    "a record, until Kafka has it",
    Convention.MESSAGING,
)
PROCESS: Final = SpanRow(
    "process",
    "<topic>",
    SpanKind.CONSUMER,
    "dispatcher, retrier, reader",
    "a record, from its append (a reader: from its delivery) until it is done",
    Convention.MESSAGING,
)
WAIT: Final = SpanRow(
    "wait", "<lane>", SpanKind.INTERNAL, "dispatcher", "a request's wait for its next call", Convention.HEADRACE
)
CALL: Final = SpanRow(
    "chat",
    "<model>",
    SpanKind.CLIENT,
    "dispatcher",
    "one HTTP call for a chat completion or a response",
    Convention.GEN_AI,
)
EMBEDDINGS: Final = SpanRow(
    "embeddings", "<model>", SpanKind.CLIENT, "dispatcher", "one HTTP call for embeddings", Convention.GEN_AI
)
SERVE: Final = SpanRow(
    "POST",
    "<path>",
    SpanKind.SERVER,
    "gateway",
    "one call of a client, until its answer is sent",
    Convention.GENERAL,
)

SPANS: Final = (SEND, PROCESS, WAIT, CALL, EMBEDDINGS, SERVE)


class Attribute(StrEnum):
    """Attributes of spans: the name, its convention, its meaning."""

    source: Convention
    meaning: str

    def __new__(cls, name: str, source: Convention, meaning: str) -> Self:
        """Make one row of the table."""
        made = str.__new__(cls, name)
        made._value_ = name
        made.source, made.meaning = source, meaning
        return made

    SYSTEM = "messaging.system", Convention.MESSAGING, "always `kafka`"
    OPERATION = "messaging.operation.name", Convention.MESSAGING, "`send` or `process`"
    OPERATION_TYPE = "messaging.operation.type", Convention.MESSAGING, "`send` or `process`"
    DESTINATION = "messaging.destination.name", Convention.MESSAGING, "the topic"
    PARTITION = "messaging.destination.partition.id", Convention.MESSAGING, "the partition"
    OFFSET = "messaging.kafka.offset", Convention.MESSAGING, "the record's offset"
    GROUP = "messaging.consumer.group.name", Convention.MESSAGING, "the reader's group"
    MESSAGE_ID = "messaging.message.id", Convention.MESSAGING, "the request's id"
    BODY_SIZE = "messaging.message.body.size", Convention.MESSAGING, "bytes of the record's value"

    GEN_AI_OPERATION = "gen_ai.operation.name", Convention.GEN_AI, "`chat` or `embeddings`"
    PROVIDER = "gen_ai.provider.name", Convention.GEN_AI, "always `openai`: the protocol that the server speaks"
    REQUEST_MODEL = "gen_ai.request.model", Convention.GEN_AI, "the model that the producer asks for"
    REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens", Convention.GEN_AI, "the bound of the output, where one is set"
    REQUEST_STREAM = "gen_ai.request.stream", Convention.GEN_AI, "`true` where the answer is streamed"
    REQUEST_TIER = "openai.request.service_tier", Convention.GEN_AI, "the service tier asked for, where one is"
    RESPONSE_MODEL = "gen_ai.response.model", Convention.GEN_AI, "the model that the answer names"
    RESPONSE_ID = "gen_ai.response.id", Convention.GEN_AI, "the answer's id"
    RESPONSE_TIER = "openai.response.service_tier", Convention.GEN_AI, "the service tier that the answer names"
    FINISH_REASONS = "gen_ai.response.finish_reasons", Convention.GEN_AI, "why the answer ends"
    INPUT_TOKENS = "gen_ai.usage.input_tokens", Convention.GEN_AI, "tokens billed for the input"
    OUTPUT_TOKENS = "gen_ai.usage.output_tokens", Convention.GEN_AI, "tokens billed for the output"
    CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens", Convention.GEN_AI, "of the input: read from a cache"
    REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens", Convention.GEN_AI, "of the output: reasoning"
    INPUT_MESSAGES = "gen_ai.input.messages", Convention.GEN_AI, "the prompt; only with `tracing.content`"
    OUTPUT_MESSAGES = "gen_ai.output.messages", Convention.GEN_AI, "the answer; only with `tracing.content`"

    SERVER_ADDRESS = "server.address", Convention.GENERAL, "the host of the base URL"
    SERVER_PORT = "server.port", Convention.GENERAL, "its port"
    HTTP_METHOD = "http.request.method", Convention.GENERAL, "of a client's call: `POST`"
    HTTP_ROUTE = "http.route", Convention.GENERAL, "its path, one of OpenAI's"
    URL_PATH = "url.path", Convention.GENERAL, "the same"
    URL_SCHEME = "url.scheme", Convention.GENERAL, "`http`, or `https`"
    HTTP_STATUS = "http.response.status_code", Convention.GENERAL, "the status of the answer"
    RESEND_COUNT = "http.request.resend_count", Convention.GENERAL, "the number of calls before this one, if any"
    ERROR_TYPE = "error.type", Convention.GENERAL, "why the span failed"

    LANE = "headrace.lane", Convention.HEADRACE, "the lane"
    LIMIT = "headrace.limit", Convention.HEADRACE, "the limit that the call draws on"
    TENANT = "headrace.tenant.hash", Convention.HEADRACE, "a hash of the tenant: it groups, and does not name"
    RUN = "headrace.run", Convention.HEADRACE, "the number of the replay, if it is one"
    VERDICT = "headrace.verdict", Convention.HEADRACE, "what the answer means"
    DECISION = "headrace.decision", Convention.HEADRACE, "`completed`, `failed`, `parked`, `duplicate`, …"
    REASON = "headrace.reason", Convention.HEADRACE, "the reason of a failure, of a park or of a wait"
    CHARGE = "headrace.charge.tokens", Convention.HEADRACE, "tokens reserved for the call"
    REPEATED = "headrace.call.repeated", Convention.HEADRACE, "`true`: a leader died during this very call"
    LOST = "headrace.call.lost", Convention.HEADRACE, "`true`: the call of a dead leader, written by its successor"
    OPENAI_REQUEST_ID = "headrace.upstream.request_id", Convention.HEADRACE, "the answer's `x-request-id`"
    IN_KAFKA_MS = "headrace.wait.kafka_ms", Convention.HEADRACE, "of a wait: from the append until this process took it"
    IN_QUEUE_MS = "headrace.wait.queue_ms", Convention.HEADRACE, "of a wait: in this process's queue"
    ATTEMPT = "headrace.handler.attempt", Convention.HEADRACE, "the number of the handler's attempt"


def messaging(topic: str, row: SpanRow) -> dict[str, str]:
    """Return the attributes of every span of a record, whichever process makes it."""
    return {
        Attribute.SYSTEM: "kafka",
        Attribute.DESTINATION: topic,
        Attribute.OPERATION: row.operation,
        Attribute.OPERATION_TYPE: row.operation,
    }
