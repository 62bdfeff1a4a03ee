"""What stands in the lanes' topics and is not taken yet: Kafka, as far as a run needs it."""

from collections import deque
from collections.abc import Iterable, Iterator

from broker.core.ticket import LanePartition, Source
from broker.planner.arrivals import Arrival
from broker.planner.record import LaneRecord


class Cargo:
    """A request in the run's hands, with the book of its lane; `number` is its id, parked or not."""

    __slots__ = ("arrival", "attempt", "called", "failures", "number", "record")

    def __init__(self, number: int, arrival: Arrival, record: LaneRecord) -> None:
        self.number = number
        self.arrival = arrival
        self.record = record
        self.attempt = 0
        self.failures = 0
        self.called = False


class Backlog:
    """Records by partition, each in its order; a lane's partitions are asked in turn, from the one after the last."""

    def __init__(self, lanes: Iterable[str], partitions: int) -> None:
        self._lanes = {lane: [LanePartition(lane, number) for number in range(partitions)] for lane in lanes}
        self._records: dict[LanePartition, deque[tuple[Source, Cargo]]] = {place: deque() for place in self.places()}
        self._ends = dict.fromkeys(self._records, 0)
        self._waiting = dict.fromkeys(self._lanes, 0)
        self._first = dict.fromkeys(self._lanes, 0)
        self._partitions = partitions

    def places(self) -> Iterator[LanePartition]:
        """Every partition of every lane."""
        for places in self._lanes.values():
            yield from places

    def append(self, cargo: Cargo) -> None:
        """A record is written to its lane."""
        lane = cargo.arrival.lane
        place = self._lanes[lane][cargo.arrival.partition % self._partitions]
        self._records[place].append((Source(place, self._ends[place]), cargo))
        self._ends[place] += 1
        self._waiting[lane] += 1

    def waits(self, lane: str) -> bool:
        """Whether a lane holds something that was not taken."""
        return self._waiting[lane] > 0

    def turn(self, lane: str) -> list[LanePartition]:
        """The partitions of a lane in the order in which they are asked now."""
        places, first = self._lanes[lane], self._first[lane]
        return places[first:] + places[:first]

    def head(self, place: LanePartition) -> tuple[Source, Cargo] | None:
        """The next record of a partition."""
        records = self._records[place]
        return records[0] if records else None

    def take(self, place: LanePartition) -> None:
        """It is taken."""
        self._records[place].popleft()
        self._waiting[place.lane] -= 1
        self._first[place.lane] = (place.number + 1) % self._partitions
