"""A topic or a lane that was named and that Kafka does not have: one sentence, with the name that was likely meant."""

import pytest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.cli import topics_there
from headrace.broker.cli.results import _opened, _StartPoint
from headrace.broker.errors import InvalidRequest, MissingTopic
from headrace.broker.settings.load import load_settings

SETTINGS = load_settings(None, {}, {})


@pytest.fixture(autouse=True)
def _topics(monkeypatch: pytest.MonkeyPatch) -> None:
    async def all_topics(_connection: KafkaConnection) -> frozenset[str]:
        return frozenset({"generation.results", "generation.requests.bulk", "__consumer_offsets"})

    monkeypatch.setattr(topics_there, "all_topics", all_topics)


async def refused(topic: str | None) -> Exception:
    """What opening a topic of outcomes raises that is not there."""

    async def missing() -> None:
        raise MissingTopic(topic or "generation.results")

    sought = _StartPoint(SETTINGS, KafkaConnection.of(SETTINGS.kafka), "earliest", topic)
    with pytest.raises((InvalidRequest, MissingTopic)) as raised:
        await _opened(missing, sought, 5)
    return raised.value


@pytest.mark.parametrize(
    ("topic", "sentence"),
    [
        ("generation.result", "There is no topic generation.result: did you mean generation.results?"),
        (
            "mails",
            "There is no topic mails: outcomes are in generation.results, and in the topics of replies.allow.",
        ),
        ("__consumer_offset", "There is no topic __consumer_offset: outcomes are in generation.results, and in the "),
    ],
)
async def test_a_topic_that_was_named_comes_with_the_one_that_was_likely_meant(topic: str, sentence: str) -> None:
    error = await refused(topic)
    assert isinstance(error, InvalidRequest)
    assert str(error).startswith(sentence)
    assert isinstance(error.__cause__, MissingTopic)
    assert error.__cause__.__cause__ is None, "no error is its own cause"


async def test_results_that_are_not_there_are_told_how_to_be_created() -> None:
    error = await refused(None)
    assert isinstance(error, MissingTopic)
    assert "headrace topics create" in str(error)
