"""Records in the lanes' topics that are not taken yet: Kafka, as far as a run needs it."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from headrace.broker.core.ticket import LanePartition, Source
from headrace.broker.planner.arrivals import Arrival
from headrace.broker.planner.record import LaneRecord


class Cargo:
    """A request in the run's hands, with its lane's counts; `number` is its id, parked or not."""

    __slots__ = ("arrival", "attempt", "called", "failures", "number", "record")

    def __init__(self, number: int, arrival: Arrival, record: LaneRecord) -> None:
        self.number = number
        self.arrival = arrival
        self.record = record
        self.attempt = 0
        self.failures = 0
        self.called = False


class Backlog:
    """Records by partition, each in its order. A lane's non-empty partitions take turns."""

    def __init__(self, lanes: Iterable[str], partitions: int) -> None:
        self._places = {lane: [LanePartition(lane, number) for number in range(partitions)] for lane in lanes}
        self._records: dict[LanePartition, deque[tuple[Source, Cargo]]] = {place: deque() for place in self.places()}
        self._ends = dict.fromkeys(self._records, 0)
        self._full: dict[str, deque[LanePartition]] = {lane: deque() for lane in self._places}
        self._partitions = partitions

    def places(self) -> Iterator[LanePartition]:
        """Yield every partition of every lane."""
        for places in self._places.values():
            yield from places

    def append(self, cargo: Cargo) -> None:
        """Write a record to its lane."""
        lane = cargo.arrival.lane
        place = self._places[lane][cargo.arrival.partition % self._partitions]
        records, offset = self._records[place], self._ends[place]
        if not records:
            self._full[lane].append(place)
        records.append((Source(place, offset), cargo))
        self._ends[place] = offset + 1

    def full(self, lane: str) -> Sequence[LanePartition]:
        """Return a live view of the lane's partitions with records not taken; the first is next in turn."""
        return self._full[lane]

    def pass_over(self, lane: str) -> None:
        """Skip the lane's first partition, which gives nothing now."""
        self._full[lane].rotate(-1)

    def take(self, lane: str, room: int) -> list[tuple[Source, Cargo]]:
        """Take at most `room` records of the first partition; then it is the next one's turn."""
        places = self._full[lane]
        place = places.popleft()
        records = self._records[place]
        taken = [records.popleft() for _ in range(min(room, len(records)))]
        if records:
            places.append(place)
        return taken
