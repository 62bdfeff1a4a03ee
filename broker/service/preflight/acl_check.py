"""Kafka rights that each process needs, and a check for them: every missing right in one sentence, before the start.

A lane that may not be read would be silent, and a transaction that may not be written would look like an absent Kafka;
both processes would wait for ever.
"""

from dataclasses import dataclass

import structlog

from headrace.broker.adapters.kafka.connection import KafkaConnection, user_of
from headrace.broker.adapters.kafka.rights import Seen, denied_group, denied_transactions, seen
from headrace.broker.errors import MissingTopic, RightsError
from headrace.broker.service.preflight.findings import kafka_tool
from headrace.broker.settings.whole import Settings
from headrace.schemas import topics

_log = structlog.get_logger("rights")


@dataclass(frozen=True, slots=True)
class Needs:
    """Topics that a process reads and writes, and the name under which it commits: transactional id and group.

    `group` is set where the group has another name than the transactional id; without transactions `name` is empty.
    `replies` are written if they can be: they belong to producers, whose mistake must keep no dispatcher from starting.
    `totals` is read and written if it can be: an installation of an older release lacks it, and no outcome depends on
    it. It is empty for a process that has no use for it.
    """

    name: str
    read: tuple[str, ...]
    write: tuple[str, ...]
    group: str = ""
    replies: tuple[str, ...] = ()
    totals: str = ""

    @property
    def topics(self) -> list[str]:
        """Every topic, once."""
        return list(dict.fromkeys([*self.read, *self.write]))


def dispatcher_needs(settings: Settings) -> Needs:
    """Return a dispatcher's needs.

    Lanes, control and ledger are read; outcomes, failures, chunks, dead letters and the ledger are written. The totals
    are read and written where they exist.
    """
    prefix = settings.kafka.topic_prefix
    lanes = tuple(topics.requests_topic(prefix, lane) for lane in settings.lanes)
    ledger, results = topics.ledger_topic(prefix), topics.results_topic(prefix)
    failures, chunks = topics.failures_topic(prefix), topics.chunks_topic(prefix)
    written = (results, failures, chunks, topics.dead_letters_topic(prefix), ledger)
    read = (*lanes, topics.control_topic(prefix), ledger)
    totals = topics.totals_topic(prefix)
    return Needs(f"{prefix}.dispatcher", read, written, replies=settings.replies.allow, totals=totals)


def retrier_needs(settings: Settings) -> Needs:
    """Return a retrier's needs: failures to read; lanes to write, and dead letters for what is no failure."""
    prefix = settings.kafka.topic_prefix
    lanes = tuple(topics.requests_topic(prefix, lane) for lane in settings.lanes)
    return Needs(f"{prefix}.retrier", (topics.failures_topic(prefix),), (*lanes, topics.dead_letters_topic(prefix)))


def gateway_needs(settings: Settings) -> Needs:
    """Return a gateway's needs: no transactions, and a group that shares the batches among the gateways.

    Lanes, control and its own topics are written; results, chunks and its own topics are read.
    """
    prefix = settings.kafka.topic_prefix
    lanes = tuple(topics.requests_topic(prefix, lane) for lane in settings.lanes)
    own = (topics.calls_topic(prefix), topics.batches_topic(prefix))
    read = (topics.results_topic(prefix), topics.chunks_topic(prefix), *own)
    return Needs("", read, (*lanes, topics.control_topic(prefix), *own), group=f"{prefix}.gateway")


async def check(connection: KafkaConnection, needs: Needs) -> None:
    """Return if everything exists and is allowed. Nothing is changed, and no producer is fenced.

    Trouble with reply topics or the totals topic is logged, and ends nothing.

    Raises:
        MissingTopic: Names all that are missing, and the verb that creates them.
        RightsError: Names every right that is missing, and how the first is granted.
        Unreachable, AuthenticationError: As `headrace.broker.adapters.kafka.connection.explain_unreachable`.
    """
    found = await seen(connection, needs.topics)
    if found.missing:
        raise MissingTopic(*found.missing)
    absent = [f"{right} on the topic {topic}" for right, topic in _absent(found, needs)]
    if needs.name:
        absent += await denied_transactions(connection, needs.name, needs.group or needs.name)
    else:
        absent += await denied_group(connection, needs.group)
    if absent:
        raise RightsError(_sentence(connection, absent, found))
    if needs.replies:
        for sentence in _about_replies(connection, needs, await seen(connection, needs.replies)):
            _log.warning("reply_topic_unusable", reason=sentence)
    if needs.totals and (why := _about_totals(connection, needs.totals, await seen(connection, [needs.totals]))):
        _log.warning("totals_unusable", reason=why)


def _about_totals(connection: KafkaConnection, topic: str, found: Seen) -> str:
    """Return what is wrong with the totals topic; empty if it can be read and written."""
    if topic in found.missing:
        return (
            f"The topic {topic} does not exist, so tokens and cost are not summed up: create it "
            "with `headrace topics create`. It is noticed within seconds."
        )
    absent = [
        f"{right} on the topic {topic}"
        for right in ("READ", "WRITE")
        if topic in found.hidden or not _allows(found, right, topic)
    ]
    return _sentence(connection, absent, found) if absent else ""


def _about_replies(connection: KafkaConnection, needs: Needs, found: Seen) -> list[str]:
    """Return a sentence for each reply topic that cannot be written."""
    sentences = [
        f"The reply topic {topic} does not exist: its owner must create it, or replies.allow must not name it."
        for topic in found.missing
    ]
    denied = [
        topic
        for topic in needs.replies
        if topic in found.hidden or not (topic in found.missing or _allows(found, "WRITE", topic))
    ]
    return sentences + [
        _sentence(connection, [f"WRITE on the topic {topic}"], Seen({}, (), (topic,) if topic in found.hidden else ()))
        for topic in denied
    ]


def _absent(found: Seen, needs: Needs) -> list[tuple[str, str]]:
    wanted = [("READ", topic) for topic in needs.read] + [("WRITE", topic) for topic in needs.write]
    return [(right, topic) for right, topic in wanted if topic in found.hidden or not _allows(found, right, topic)]


def _allows(found: Seen, right: str, topic: str) -> bool:
    allowed = found.allowed.get(topic)
    return allowed is None or right in allowed


def _sentence(connection: KafkaConnection, absent: list[str], found: Seen) -> str:
    listed = "; ".join(absent)
    doubt = " (or topics without any right do not exist)" if found.hidden else ""
    right, _, resource = absent[0].partition(" on the ")
    kind, _, name = resource.rpartition(" ")
    grant = (
        f"{kafka_tool('kafka-acls.sh', connection)} --add --allow-principal "
        f"User:{connection.username or 'ANONYMOUS'} --operation {right.capitalize()} "
        f"--{kind.replace(' ', '-')} {name}"
    )
    return f"In Kafka {user_of(connection)} lacks {listed}{doubt}: grant it, such as with `{grant}`."
