"""Check that Kafka has the lanes and topics that were named, with suggestions for those that it has not."""

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.rights import seen
from headrace.broker.adapters.kafka.topics import all_topics
from headrace.broker.cli.patience import kafka_at, within
from headrace.broker.cli.request_lines import Checked, refuse_lanes
from headrace.broker.errors import NotSubmitted
from headrace.broker.lane_names import no_such_lane
from headrace.broker.settings.whole import Settings
from headrace.schemas.nearest import nearest, shown
from headrace.schemas.topics import requests_topic, results_topic


async def check_lanes(settings: Settings, source: str, told: Checked, *, given: str, timeout_s: float) -> None:
    """Refuse a file with lines for lanes that certainly do not exist; `given` is the lane of lines that name none.

    A lane that an ACL hides is left to the sending, which says so.

    Raises:
        BadLines: Names each line with such a lane.
        NotSubmitted: The lane `given` does not exist.
        Unreachable, RightsError, AuthenticationError: As Kafka says.
    """
    connection, prefix = KafkaConnection.of(settings.kafka), settings.kafka.topic_prefix
    lanes = {requests_topic(prefix, lane): lane for lane in told.by_lane}
    found = await within(timeout_s, lambda: seen(connection, lanes), place=kafka_at(connection))
    if not found.missing:
        return
    topics = await all_topics(connection)
    absent = {lanes[topic]: no_such_lane(lanes[topic], prefix, topics) for topic in found.missing}
    if given in absent:
        raise NotSubmitted(absent[given])
    refuse_lanes(source, told, absent)


async def no_such_topic(named: str, settings: Settings) -> str:
    """Return the message for a missing topic of outcomes, with the one likely meant; raises as Kafka says."""
    own = results_topic(settings.kafka.topic_prefix)
    topics = await all_topics(KafkaConnection.of(settings.kafka))
    near = nearest(named, (topic for topic in topics if not topic.startswith("__")))
    mend = f"did you mean {near}?" if near else f"outcomes are in {own}, and in the topics of replies.allow."
    return f"There is no topic {shown(named)}: {mend}"
