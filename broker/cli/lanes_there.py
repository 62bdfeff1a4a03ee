"""Whether Kafka has the lanes that a file names, asked before its first line is sent."""

from broker.adapters.kafka_connection import KafkaConnection
from broker.adapters.kafka_rights import seen
from broker.adapters.kafka_topics import all_topics
from broker.cli.patience import within
from broker.cli.request_lines import Checked, refuse_lanes
from broker.errors import NotSubmitted
from broker.lane_names import no_such_lane
from broker.settings.whole import Settings
from schemas.topics import requests_topic


async def check_lanes(settings: Settings, source: str, told: Checked, *, given: str, timeout_s: float) -> None:
    """Refuse a file with lines for lanes that are certainly not there; `given` is the lane of lines that name none.

    A lane that an ACL hides is left to the sending, which says so.

    Raises:
        BadLines: Names each line with such a lane.
        NotSubmitted: The lane that was given is none.
        Unreachable, RightsError, AuthenticationError: As Kafka says.
    """
    connection, prefix = KafkaConnection.of(settings.kafka), settings.kafka.topic_prefix
    lanes = {requests_topic(prefix, lane): lane for lane in told.by_lane}
    found = await within(timeout_s, lambda: seen(connection, lanes))
    if not found.missing:
        return
    topics = await all_topics(connection)
    absent = {lanes[topic]: no_such_lane(lanes[topic], prefix, topics) for topic in found.missing}
    if given in absent:
        raise NotSubmitted(absent[given])
    refuse_lanes(source, told, absent)
