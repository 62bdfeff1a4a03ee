"""What is said of a lane that there is not."""

import pytest

from headrace.broker.lane_names import no_such_lane

TOPICS = ("generation.requests.urgent", "generation.requests.bulk", "generation.results", "eu.requests.vip", "other")


@pytest.mark.parametrize(
    ("lane", "prefix", "topics", "sentence"),
    [
        ("urgnt", "generation", TOPICS, "There is no lane urgnt, only bulk and urgent: did you mean urgent?"),
        ("vip", "generation", TOPICS,
         "There is no lane vip, only bulk and urgent: `headrace topics create` adds those of the settings."),
        ("bulk", "generaton", TOPICS, ("There is no lane bulk and no other, since no topic generaton.requests.… "
         "exists: did you mean the prefix generation? If not, `headrace topics create` adds those of the settings.")),
        ("bulk", "generation", (), ("There is no lane bulk and no other, since no topic generation.requests.… exists: "
         "`headrace topics create` adds those of the settings.")),
    ],
)  # fmt: skip
def test_the_lanes_are_those_with_a_topic(lane: str, prefix: str, topics: tuple[str, ...], sentence: str) -> None:
    assert no_such_lane(lane, prefix, topics) == sentence
