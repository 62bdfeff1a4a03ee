"""The settings as the broker gets them: one frozen object of groups that do not contradict each other."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from headrace.broker.core.bounds import CALL_RESERVE_BYTES
from headrace.broker.core.ticket import CONTROL
from headrace.broker.settings import duties, fitting
from headrace.broker.settings.connections import KafkaSettings, OpenAISettings, RedisSettings
from headrace.broker.settings.costs import CostsSettings
from headrace.broker.settings.gateway import ENVELOPE_BYTES, GatewaySettings
from headrace.broker.settings.group import Contradiction, ContradictionsError, Group
from headrace.broker.settings.lanes import LANE_DEFAULTS, LaneSettings
from headrace.broker.settings.limits import (
    LimitSettings,
    doubly_claimed,
    is_openais_own,
    limit_name,
    long_context_limit,
    with_patterns,
)
from headrace.broker.settings.metrics import MetricsSettings
from headrace.broker.settings.tenants import TenantSettings
from headrace.broker.settings.topics import DAY_S, TopicsSettings
from headrace.broker.settings.tracing import TracingSettings
from headrace.schemas.request import TOPIC_NAME
from headrace.schemas.topics import (
    LANE_NAME,
    control_topic,
    failures_topic,
    gateway_topics,
    requests_topic,
    topics,
)

_ENVELOPE_BYTES = 32 * 1024
"""Room for key, headers and the batch around a request of `request_bytes_max` on its topic."""


class Settings(Group):
    """All groups, each with its defaults. Raises pydantic's ValidationError; `load` turns that into one sentence."""

    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    openai: OpenAISettings = OpenAISettings()
    dispatcher: duties.DispatcherSettings = duties.DispatcherSettings()
    retrier: duties.RetrierSettings = duties.RetrierSettings()
    lanes: Mapping[str, LaneSettings] = Field(
        default_factory=lambda: {name: LaneSettings(**keys) for name, keys in LANE_DEFAULTS.items()}
    )
    limits: Annotated[Mapping[str, LimitSettings], AfterValidator(with_patterns)] = Field(default_factory=dict)
    tenants: Mapping[str, TenantSettings] = Field(default_factory=dict)
    models: duties.ModelsSettings = duties.ModelsSettings()
    tools: duties.ToolsSettings = duties.ToolsSettings()
    replies: duties.RepliesSettings = duties.RepliesSettings()
    input: duties.InputSettings = duties.InputSettings()
    retry: duties.RetrySettings = duties.RetrySettings()
    dedupe: duties.DedupeSettings = duties.DedupeSettings()
    topics: TopicsSettings = TopicsSettings()
    tracing: TracingSettings = TracingSettings()
    metrics: MetricsSettings = MetricsSettings()
    gateway: GatewaySettings = GatewaySettings()
    costs: CostsSettings = CostsSettings()

    @property
    def ledger_retention_s(self) -> int:
        """How long the ledger keeps its records: as set, else twice the dedupe window and at least a day."""
        return self.topics.ledger.retention_s or max(2 * self.dedupe.window_s, DAY_S)

    @property
    def gateway_body_bytes_max(self) -> int:
        """The largest body of a call that a gateway takes: as set, else what fits into the value of a record."""
        return int(self.gateway.body_bytes_max or self.input.request_bytes_max - ENVELOPE_BYTES)

    def deadline_max_s(self, lane: str) -> int:
        """Return the longest deadline a request of `lane` may ask for; by default a day less than its topic retains."""
        return self.lanes[lane].deadline_max_s or self.topics.requests.retention_s - DAY_S

    @property
    def parked_max_s(self) -> int:
        """How long a request may wait in the failures topic: the longest deadline of the lanes that park."""
        return max((self.deadline_max_s(name) for name, lane in self.lanes.items() if not lane.serial), default=0)

    def limit_for(self, model: str, input_tokens: int = 0) -> str:
        """Return the name of the limit that a request of so much input draws from, configured or not."""
        limit, documented = limit_name(model, self.limits), is_openais_own(self.openai.base_url)
        return long_context_limit(model, input_tokens, limit, self.limits, documented=documented)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        found = [contradiction for check in _CHECKS for contradiction in check(self)]
        if found:
            raise ContradictionsError(*found)
        return self


def _check_lane_names(settings: Settings) -> Iterator[Contradiction]:
    if not settings.lanes:
        yield Contradiction("no lane is left: keep at least one under [lanes]", (("lanes",),))
    for name in settings.lanes:
        if not LANE_NAME.fullmatch(name):
            sentence = f"a lane cannot be called {name!r}: use 1 to 32 lower-case letters, digits, - and _"
            yield Contradiction(sentence, (("lanes", name),))
    if CONTROL in settings.lanes:
        yield Contradiction(f"a lane cannot be called {CONTROL!r}: that is the control topic", (("lanes", CONTROL),))


def _check_lane_orders(settings: Settings) -> Iterator[Contradiction]:
    for order, count in Counter(lane.order for lane in settings.lanes.values()).most_common():
        same = sorted(name for name, lane in settings.lanes.items() if lane.order == order)
        if count > 1:
            sentence = f"the lanes {' and '.join(same)} both have order {order}: give every lane its own"
            yield Contradiction(sentence, tuple(("lanes", name, "order") for name in same))


def _check_shares(settings: Settings) -> Iterator[Contradiction]:
    for key in ("floor", "reserve"):
        total = sum(getattr(lane, key) for lane in settings.lanes.values())
        if total >= 1:
            sentence = f"the {key}s of all lanes add up to {total:g}: keep their sum below 1"
            yield Contradiction(sentence, tuple(("lanes", name, key) for name in settings.lanes))


def _check_deadlines(settings: Settings) -> Iterator[Contradiction]:
    retention_s = settings.topics.requests.retention_s
    for name, lane in settings.lanes.items():
        keys = (("lanes", name, "deadline_s"), ("lanes", name, "deadline_max_s"))
        longest_s = max(lane.deadline_s, lane.deadline_max_s or 0)
        if longest_s + DAY_S > retention_s:
            sentence = (
                f"lane {name} allows deadlines of {longest_s} s, but topics.requests.retention_s is {retention_s}: "
                f"requests could expire unanswered, so retain at least a day longer ({longest_s + DAY_S})"
            )
            yield Contradiction(sentence, (*keys, ("topics", "requests", "retention_s")))
        if lane.deadline_max_s is not None and lane.deadline_s > lane.deadline_max_s:
            sentence = f"lanes.{name}.deadline_s {lane.deadline_s} is above its deadline_max_s {lane.deadline_max_s}"
            yield Contradiction(sentence, keys)


def _check_failures(settings: Settings) -> Iterator[Contradiction]:
    """Find retention that may remove a RetryableFailure while its request waits, so that its id has no outcome."""
    retention_s, longest_s = settings.topics.failures.retention_s, settings.parked_max_s
    if longest_s + DAY_S > retention_s:
        lanes = [name for name, lane in settings.lanes.items() if not lane.serial]
        name = max(lanes, key=settings.deadline_max_s)
        sentence = (
            f"lane {name} allows deadlines of {longest_s} s, but topics.failures.retention_s is {retention_s}: "
            f"parked requests could expire unanswered, so retain at least a day longer ({longest_s + DAY_S})"
        )
        keys = (("topics", "failures", "retention_s"), ("lanes", name, "deadline_max_s"))
        yield Contradiction(sentence, (*keys, ("topics", "requests", "retention_s")))


def _check_results(settings: Settings) -> Iterator[Contradiction]:
    retention_s, window_s = settings.topics.results.retention_s, settings.dedupe.window_s
    if retention_s < window_s:
        sentence = (
            f"topics.results.retention_s {retention_s} is below dedupe.window_s {window_s}: a duplicate would be "
            "recognised after the outcome that answers it has expired, so retain at least that long"
        )
        yield Contradiction(sentence, (("topics", "results", "retention_s"), ("dedupe", "window_s")))


def _check_sizes(settings: Settings) -> Iterator[Contradiction]:
    request_max, request_key = settings.input.request_bytes_max, ("input", "request_bytes_max")
    topic_max = settings.topics.requests.max_message_bytes
    if request_max + _ENVELOPE_BYTES > topic_max:
        sentence = (
            f"input.request_bytes_max {request_max} leaves no room for headers in topics.requests.max_message_bytes "
            f"{topic_max}: keep {_ENVELOPE_BYTES} bytes between them"
        )
        yield Contradiction(sentence, (request_key, ("topics", "requests", "max_message_bytes")))
    for name, lane in settings.lanes.items():
        if lane.buffer_bytes_max < request_max:
            sentence = (
                f"lanes.{name}.buffer_bytes_max {lane.buffer_bytes_max} is smaller than one request of "
                f"input.request_bytes_max {request_max}"
            )
            yield Contradiction(sentence, (("lanes", name, "buffer_bytes_max"), request_key))
    held_min = max(CALL_RESERVE_BYTES, settings.topics.results.max_message_bytes)
    held_max, held_key = settings.dispatcher.held_bytes_max, ("dispatcher", "held_bytes_max")
    if held_max < held_min:
        sentence = f"dispatcher.held_bytes_max {held_max} is smaller than one answer of {held_min}"
        yield Contradiction(sentence, (held_key, ("topics", "results", "max_message_bytes")))


def _check_fitting(settings: Settings) -> Iterator[Contradiction]:
    """Find topics too small for the records that they must hold, and partitions too many for one commit."""
    given = settings.topics
    least = {
        "ledger": (
            given.ledger,
            fitting.ledger_line_bytes_max(len(settings.lanes)),
            "a full line must fit, else no leader can commit",
        ),
        "results": (given.results, fitting.OUTCOME_BYTES_MIN, "else no answer would fit"),
        "failures": (given.failures, fitting.PARKED_BYTES_MIN, "else no request could be parked"),
        "dead_letters": (given.dead_letters, fitting.DEAD_LETTER_BYTES_MIN, "a dead letter keeps 64 KiB of its record"),
        "chunks": (given.chunks, fitting.CHUNK_BYTES_MIN, "chunks are sent in batches of 64 KiB"),
        "totals": (given.totals, fitting.TOTALS_BYTES_MIN, "a sum with long names must fit"),
        "control": (given.control, fitting.CONTROL_BYTES_MIN, "a cancel with its headers must fit"),
        "calls": (given.calls, fitting.CALL_BYTES_MIN, "a call with its headers must fit"),
        "batches": (given.batches, fitting.BATCHES_BYTES_MIN, "a part of a file must fit"),
    }
    for kind, (topic, bytes_min, because) in least.items():
        if topic.max_message_bytes < bytes_min:
            sentence = f"topics.{kind}.max_message_bytes {int(topic.max_message_bytes)} is below {bytes_min}: {because}"
            yield Contradiction(sentence, (("topics", kind, "max_message_bytes"),))
    yield from _check_partitions(settings)


def _check_partitions(settings: Settings) -> Iterator[Contradiction]:
    prefix, given = settings.kafka.topic_prefix, settings.topics
    taken = [
        fitting.GroupTopic(requests_topic(prefix, name), given.requests.partitions, lane.buffer_max)
        for name, lane in settings.lanes.items()
    ]
    groups = {
        "requests": ("dispatcher", [*taken, fitting.GroupTopic(control_topic(prefix), given.control.partitions, 0)]),
        "failures": ("retrier", [fitting.GroupTopic(failures_topic(prefix), given.failures.partitions, 0)]),
    }
    for kind, (name, committed) in groups.items():
        weight = fitting.offsets_bytes_max(f"{prefix}.{name}", committed)
        if weight > fitting.OFFSETS_BYTES_MAX:
            partitions = sum(each.partitions for each in committed)
            sentence = (
                f"the progress of {partitions} partitions may weigh {weight} bytes, and Kafka takes "
                f"{fitting.OFFSETS_BYTES_MAX} in one commit: no {name} could start, so lower topics.{kind}.partitions"
            )
            yield Contradiction(sentence, (("topics", kind, "partitions"),))


def _check_ledger(settings: Settings) -> Iterator[Contradiction]:
    needed_s = max(2 * settings.dedupe.window_s, DAY_S)
    if settings.ledger_retention_s < needed_s:
        sentence = (
            f"topics.ledger.retention_s {settings.ledger_retention_s} is below {needed_s}: the ledger must keep twice "
            "dedupe.window_s and at least a day"
        )
        yield Contradiction(sentence, (("topics", "ledger", "retention_s"), ("dedupe", "window_s")))


def _check_gateway(settings: Settings) -> Iterator[Contradiction]:
    """Find values of the gateway that cannot be kept; nothing is asked of settings without a gateway."""
    given, request_max = settings.gateway, settings.input.request_bytes_max
    if not given.enabled:
        return
    if settings.gateway_body_bytes_max not in range(1, request_max - ENVELOPE_BYTES + 1):
        body = "" if given.body_bytes_max is None else f" {int(given.body_bytes_max)}"
        sentence = (
            f"gateway.body_bytes_max{body} leaves no room in input.request_bytes_max {request_max}: keep "
            f"{ENVELOPE_BYTES} bytes between them"
        )
        yield Contradiction(sentence, (("gateway", "body_bytes_max"), ("input", "request_bytes_max")))
    if given.inflight_max > given.connections_max:
        sentence = (
            f"gateway.inflight_max {given.inflight_max} is above gateway.connections_max {given.connections_max}: each "
            "waiting call holds a connection"
        )
        yield Contradiction(sentence, (("gateway", "inflight_max"), ("gateway", "connections_max")))
    if given.http_port and given.http_port == given.metrics_port:
        yield Contradiction(
            f"gateway.metrics_port is gateway.http_port, {given.http_port}: name another port for what "
            "only operators may reach",
            (("gateway", "metrics_port"), ("gateway", "http_port")),
        )
    yield from _check_joins(settings)


def _check_joins(settings: Settings) -> Iterator[Contradiction]:
    """Find a time for joins beyond which the first call is forgotten, so that its repetition would be paid again."""
    window_s, key = settings.gateway.join_window_s, ("gateway", "join_window_s")
    if window_s > settings.topics.calls.retention_s:
        sentence = (
            f"gateway.join_window_s {window_s} is above topics.calls.retention_s {settings.topics.calls.retention_s}: "
            "a call that is no longer kept cannot be joined"
        )
        yield Contradiction(sentence, (key, ("topics", "calls", "retention_s")))
    if window_s > settings.dedupe.window_s:
        sentence = (
            f"gateway.join_window_s {window_s} is above dedupe.window_s {settings.dedupe.window_s}: an attempt that "
            "joins a forgotten call would be paid again"
        )
        yield Contradiction(sentence, (key, ("dedupe", "window_s")))


def _check_patterns(settings: Settings) -> Iterator[Contradiction]:
    for pattern, first, second in doubly_claimed(settings.limits):
        sentence = (
            f"the limits {first} and {second} both name the models {pattern!r}: a model draws from one "
            "limit, so keep it in one"
        )
        yield Contradiction(sentence, (("limits", first, "models"), ("limits", second, "models")))


def _check_replies(settings: Settings) -> Iterator[Contradiction]:
    prefix = settings.kafka.topic_prefix
    own = {spec.name for spec in (*topics(prefix, settings.lanes), *gateway_topics(prefix))}
    for topic in settings.replies.allow:
        if re.fullmatch(TOPIC_NAME, topic) is None:
            yield Contradiction(
                f"replies.allow names {topic!r}, which is not a valid topic name", (("replies", "allow"),)
            )
        if topic in own or topic.startswith((requests_topic(prefix, ""), "__")):
            sentence = (
                f"replies.allow names {topic}, a topic of Headrace or Kafka: copies there would do harm, so name a "
                "topic of a producer"
            )
            yield Contradiction(sentence, (("replies", "allow"), ("kafka", "topic_prefix")))


_CHECKS: tuple[Callable[[Settings], Iterator[Contradiction]], ...] = (
    _check_lane_names,
    _check_lane_orders,
    _check_shares,
    _check_deadlines,
    _check_failures,
    _check_results,
    _check_sizes,
    _check_fitting,
    _check_ledger,
    _check_gateway,
    _check_patterns,
    _check_replies,
)
