"""Composition of the processes, and the only module that chooses doors: settings in, a dispatcher or retrier out."""

import os
import random
import secrets
from collections.abc import Callable, Mapping

from headrace.broker.adapters.kafka.chunks import KafkaChunks
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.coordinators import KafkaCoordinators
from headrace.broker.adapters.kafka.lanes import KafkaLane
from headrace.broker.adapters.kafka.ledger import KafkaLedger
from headrace.broker.adapters.kafka.offsets import KafkaOffsets
from headrace.broker.adapters.kafka.reply_topics import KafkaReplyTopics
from headrace.broker.adapters.kafka.totals import KafkaTotals
from headrace.broker.adapters.kafka.transactions import Batching, KafkaTransactions
from headrace.broker.adapters.openai.calls import OpenAIAccess, OpenAICalls
from headrace.broker.adapters.openai.environment import unusable
from headrace.broker.adapters.openai.redacted_calls import HushedCalls
from headrace.broker.adapters.prices.price_list import price_list
from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.adapters.redis.lease import RedisLease
from headrace.broker.adapters.redis.status import RedisBoard
from headrace.broker.adapters.tiktoken_counter import TiktokenCounter
from headrace.broker.clock import WallClock
from headrace.broker.core.config import LeaseTimes
from headrace.broker.errors import SettingsError
from headrace.broker.ports import RetryDoors, TokenCounter, TransactionLog
from headrace.broker.price_ports import PriceList
from headrace.broker.service.containment import Containment
from headrace.broker.service.dispatcher import Dispatcher
from headrace.broker.service.health import Health
from headrace.broker.service.leadership.clock_check import ByTheLeader
from headrace.broker.service.leadership.lease_only import Elected, KafkaWatch
from headrace.broker.service.metrics.at_start import show_retrier
from headrace.broker.service.offload import OneThread
from headrace.broker.service.retrier import RetrierProcess
from headrace.broker.service.span_exporter import spans_of
from headrace.broker.service.wiring import DispatcherDoors, assemble, dispatcher_name
from headrace.broker.settings.whole import Settings
from headrace.schemas import topics

_RETRIER_TRANSACTION_MS = 5_000  # an open transaction stops a lane for every reader: a dead one must end soon


def openai_access(settings: Settings, environ: Mapping[str, str] = os.environ) -> OpenAIAccess:
    """Return OpenAI's address and our credentials.

    Raises:
        SettingsError: There is no key, or no call could be made with what `environ` gives the SDK and its HTTP client.
    """
    openai = settings.openai
    if openai.api_key is None:
        raise SettingsError("No OpenAI key: set OPENAI_API_KEY, or openai.api_key_file to a file that holds it.")
    for found in unusable(openai.base_url, environ):
        raise SettingsError(found.sentence)
    return OpenAIAccess(
        api_key=openai.api_key.get_secret_value(),
        base_url=openai.base_url,
        organization=openai.organization,
        project=openai.project,
        timeout_s=float(openai.timeout_s),
        connections_max=settings.dispatcher.inflight_max + 8,
        outcome_bytes_max=int(settings.topics.results.max_message_bytes),
    )


def token_counter(settings: Settings) -> TokenCounter:
    """Return a tokenizer with its ranks loaded, so that no pricing waits; takes two seconds: call it in a thread."""
    counter = TiktokenCounter()
    counter.warm(tuple(settings.limits) or ("gpt-4o-mini",))
    return counter


def prices(settings: Settings) -> PriceList | None:
    """Return the price list; None: outcomes have no cost. It takes a quarter of a second, so call it at the start.

    Raises:
        SettingsError: The provider is not known, or the price file has mistakes.
    """
    return price_list(settings)


def retrier(settings: Settings, cluster_id: str) -> RetrierProcess:
    """Compose a retrier process; nothing is connected yet. Call it inside the running event loop.

    `cluster_id`: of Kafka, which alone knows it; part of the lease key.
    """
    clock, owner, health = WallClock(), secrets.token_hex(8), Health()
    prefix, connection = settings.kafka.topic_prefix, KafkaConnection.of(settings.kafka)
    name, topic = f"{prefix}.retrier", topics.failures_topic(prefix)
    times = LeaseTimes(ttl_ms=round(settings.dispatcher.lease_ttl_s * 1_000))
    lease = _lease(settings, cluster_id, name, owner)
    leader = _lease(settings, cluster_id, dispatcher_name(settings), owner)
    meter = Meter()
    show_retrier(meter, settings)
    observed = Containment(meter, clock).observed
    watched = KafkaLane(connection, topic=topic)
    elected = Elected(
        lease,
        KafkaWatch(watched, KafkaCoordinators(connection, transactional_id=name), observed=observed),
        clock=clock,
        timekeeper=ByTheLeader(clock, leader),
        health=health,
        times=times,
        owner=owner,
        dice=random.random,
        observed=observed,
    )

    doors = RetryDoors(
        failures=KafkaLane(connection, topic=topic),
        again=KafkaLane(connection, topic=topic),
        lanes={lane: KafkaLane(connection, topic=topics.requests_topic(prefix, lane)) for lane in settings.lanes},
        offsets=KafkaOffsets(connection, group=name),
        make_producer=_producers(settings, connection, name, _RETRIER_TRANSACTION_MS),
    )
    return RetrierProcess(
        settings,
        elected=elected,
        leases=(lease, leader),
        doors=doors,
        meter=meter,
        clock=clock,
        owner=owner,
        spans=spans_of(settings, "headrace-retrier"),
    )


def _lease(settings: Settings, cluster_id: str, name: str, owner: str) -> RedisLease:
    url, key = settings.redis.url.get_secret_value(), f"{settings.redis.key_prefix}:{cluster_id}:{name}"
    return RedisLease(url, key, ttl_ms=round(settings.dispatcher.lease_ttl_s * 1_000), token=owner)


def _board(settings: Settings, cluster_id: str) -> RedisBoard:
    under = f"{settings.redis.key_prefix}:{cluster_id}"
    retrier_key = f"{under}:{settings.kafka.topic_prefix}.retrier"
    return RedisBoard(settings.redis.url.get_secret_value(), f"{under}:{dispatcher_name(settings)}", retrier_key)


def _producers(
    settings: Settings, connection: KafkaConnection, name: str, transaction_ms: int
) -> Callable[[], TransactionLog]:
    """Return a maker of producers; each batch is bound to half of what the smallest topic takes."""
    every = settings.topics
    written = (every.requests, every.results, every.failures, every.dead_letters, every.totals, every.ledger)
    batching = Batching(min(int(topic.max_message_bytes) for topic in written) // 2)
    return lambda: KafkaTransactions(
        connection, transactional_id=name, transaction_timeout_ms=transaction_ms, batching=batching
    )


def dispatcher(
    settings: Settings,
    cluster_id: str,
    counter: TokenCounter,
    *,
    priced_by: PriceList | None = None,
    from_start: frozenset[str] = frozenset(),
) -> Dispatcher:
    """Compose a dispatcher process, as `retrier` does a retrier."""
    clock, owner = WallClock(), secrets.token_hex(8)
    connection, name, access = KafkaConnection.of(settings.kafka), dispatcher_name(settings), openai_access(settings)
    transaction_ms = round(settings.dispatcher.transaction_timeout_s * 1_000)
    doors = DispatcherDoors(
        upstream=HushedCalls(OpenAICalls(access), access.api_key or ""),
        lease=_lease(settings, cluster_id, name, owner),
        ledger=KafkaLedger(connection, topic=topics.ledger_topic(settings.kafka.topic_prefix)),
        coordinators=KafkaCoordinators(connection, transactional_id=name),
        offsets=KafkaOffsets(connection, group=name),
        lane=lambda topic: KafkaLane(connection, topic=topic),
        make_producer=_producers(settings, connection, name, transaction_ms),
        chunks=KafkaChunks(connection, topic=topics.chunks_topic(settings.kafka.topic_prefix)),
        replies=KafkaReplyTopics(connection),
        totals=KafkaTotals(connection, topic=topics.totals_topic(settings.kafka.topic_prefix)),
        counter=counter,
        offload=OneThread("decode"),
        board=_board(settings, cluster_id),
        spans=spans_of(settings, "headrace-dispatcher"),
        prices=priced_by,
    )
    assembly = assemble(settings, doors, clock=clock, owner=owner, dice=random.random, from_start=from_start)
    return assembly.dispatcher
