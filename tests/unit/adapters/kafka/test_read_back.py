"""Where an outcome may stand, by the number of partitions that there were."""

from aiokafka.partitioner import DefaultPartitioner

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.read_back import ReadBack, _Window, partitions_of


def test_a_key_stands_where_the_partitioner_puts_it_by_each_number_of_partitions() -> None:
    for number in range(300):
        key = b"lead-%d" % number
        for count in (1, 2, 12, 24):
            numbers = list(range(count))
            assert partitions_of(key, [count]) == [DefaultPartitioner()(key, numbers, numbers)]


def test_the_present_partition_comes_first_and_only_numbers_that_may_have_been_are_gone_through() -> None:
    key = b"lead-1"
    floors = dict.fromkeys(range(24), 0)
    assert _Window(floors, fewest=24).places_of(key) == partitions_of(key, [24])
    every = _Window(floors, fewest=1).places_of(key)
    assert every[0] == partitions_of(key, [24])[0]
    assert set(every) == {partitions_of(key, [count])[0] for count in range(1, 25)}


async def test_what_the_window_is_known_to_lack_is_not_searched_for() -> None:
    back = ReadBack(KafkaConnection("127.0.0.1:1"), topic="results", window_s=60)
    back.begin({0: 10, 1: 10}, anew=True)
    back._window = _Window({0: 10, 1: 10}, fewest=2)
    assert await back.find("lead-1") is None  # Kafka, which is not there, was not asked
    back.begin({2: 0})
    assert not back._is_searched(b"lead-1")
