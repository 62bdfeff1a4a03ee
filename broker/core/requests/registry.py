"""Registry of all tickets in memory, by number, identity and lane; and the progress of each partition.

The registry only remembers. What becomes of a ticket is decided by the other modules of this room, `triage` first.
"""

from collections.abc import Iterable, Mapping
from enum import Enum

from headrace.broker.core.bounds import CONTROL_BUFFER_BYTES_MAX, CONTROL_BUFFER_MAX, CRAMPED_BELOW, PARTITION_GREED
from headrace.broker.core.config import LaneRule
from headrace.broker.core.progress.partition_progress import PartitionProgress, Stored
from headrace.broker.core.ticket import (
    CONTROL,
    Candidate,
    LanePartition,
    Source,
    State,
    Ticket,
    TicketNumber,
    id_hash_of,
)


class Want(Enum):
    """What to do with the next record of a partition."""

    TAKE = "take"  # decode it and post it
    SKIP = "skip"  # done, or in memory already
    FULL = "full"  # stop reading this partition here; its map has no room


_CONTROL = LaneRule(CONTROL, 0, 0, 0, CONTROL_BUFFER_MAX, CONTROL_BUFFER_BYTES_MAX)


class _Held:
    """Count and bytes of one partition's records in memory."""

    __slots__ = ("bytes", "count")

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0


_NOTHING = _Held()


class TicketRegistry:
    """All tickets in memory, and the progress of each partition."""

    def __init__(self, rules: Iterable[LaneRule]) -> None:
        """`rules` are those of the lanes; the control topic is read like one more lane."""
        self._lanes = {rule.name: rule for rule in rules}
        self._rules = {**self._lanes, CONTROL: _CONTROL}
        self._few = min(rule.buffer_max for rule in self._lanes.values()) // 2  # half of the smallest buffer, in count
        self._light = min(rule.buffer_bytes_max for rule in self._lanes.values()) // 2  # and in bytes
        self._tickets: dict[TicketNumber, Ticket] = {}
        self._open: dict[bytes, Ticket] = {}
        self._joined: dict[bytes, dict[Ticket, None]] = {}  # in order of arrival
        self._held: dict[str, int] = dict.fromkeys(self._rules, 0)
        self._held_bytes: dict[str, int] = dict.fromkeys(self._rules, 0)
        self._held_of: dict[LanePartition, _Held] = {}
        self.progress: dict[LanePartition, PartitionProgress] = {}
        self._touched: dict[LanePartition, None] = {}

    def want(self, source: Source) -> Want:
        """Return whether the record there should be decoded and posted."""
        progress = self.progress.get(source.partition)
        if progress is None or not progress.accepts(source.offset):
            return Want.FULL
        return Want.TAKE if progress.awaits(source.offset) else Want.SKIP

    def room(self, partition: LanePartition) -> int:
        """Return how many more records of a partition may be taken now: its lane's buffer and its map both bound it.

        No partition holds more than four times what is still free, so the others find room, however large the backlog
        of one: the dynamic threshold of A. K. Choudhury and E. L. Hahne (1998). Large records count for more than small
        ones: the records of a partition count as the number of average records that weigh the same. So contending
        partitions hold, and are served, equal shares by bytes, within a constant, and bytes are what a call is charged
        by; with equal shares by records, a partition with large requests would get most.
        """
        progress = self.progress.get(partition)
        if progress is None:
            return 0
        rule, held = self._rules[partition.lane], self._held_of.get(partition, _NOTHING)
        free_bytes = rule.buffer_bytes_max - self._held_bytes[partition.lane]
        if free_bytes <= 0 or held.bytes > PARTITION_GREED * free_bytes:
            return 0
        count = self._held[partition.lane]
        free = rule.buffer_max - count
        weight = -(-held.bytes * count // self._held_bytes[partition.lane]) if held.bytes else held.count
        wanted = -((weight - PARTITION_GREED * free) // (PARTITION_GREED + 1))
        most = free if free < wanted else wanted
        return 0 if most <= 0 else min(most, progress.room())

    def read_ahead_max(self, lane: str) -> int:
        """Return how far behind the last offset stored of a partition a leader can have read, in records.

        What it has taken since stands in its buffer. Twice as much is a margin that costs nothing.
        """
        return 2 * self._rules[lane].buffer_max

    def crowded(self) -> list[LaneRule]:
        """Return the lanes whose buffer is more than half full, in count or in bytes."""
        if len(self._tickets) <= self._few and sum(self._held_bytes.values()) <= self._light:
            return []
        return [
            rule
            for name, rule in self._lanes.items()
            if self._held[name] > rule.buffer_max // 2 or self._held_bytes[name] > rule.buffer_bytes_max // 2
        ]

    def cramped(self) -> list[LanePartition]:
        """Return the partitions whose maps have hardly any room left."""
        return [partition for partition, progress in self.progress.items() if progress.room() < CRAMPED_BELOW]

    def add(self, ticket: Ticket) -> None:
        """Register a ticket."""
        lane = ticket.source.partition.lane
        self._tickets[ticket.number] = ticket
        self._held[lane] += 1
        self._held_bytes[lane] += ticket.buffer_bytes
        held = self._held_of.get(ticket.source.partition)
        if held is None:
            held = self._held_of[ticket.source.partition] = _Held()
        held.count += 1
        held.bytes += ticket.buffer_bytes

    def remove(self, ticket: Ticket) -> bytes | None:
        """Remove a ticket that is committed or dropped; return the id that it was to answer for, if any."""
        del self._tickets[ticket.number]
        lane = ticket.source.partition.lane
        self._held[lane] -= 1
        self._held_bytes[lane] -= ticket.buffer_bytes
        held = self._held_of[ticket.source.partition]
        held.count -= 1
        held.bytes -= ticket.buffer_bytes
        if not self.is_answering(ticket):
            return None
        id_hash = ticket.candidate.identity.id_hash
        del self._open[id_hash]
        return id_hash

    def open(self, ticket: Ticket) -> None:
        """Make this ticket the one that will answer for its id."""
        self._open[ticket.candidate.identity.id_hash] = ticket

    def answering(self, id_hash: bytes) -> Ticket | None:
        """Return the ticket that will answer for this id."""
        return self._open.get(id_hash)

    def join(self, ticket: Ticket) -> None:
        """Let a duplicate, or a cancel, wait for what becomes of its id."""
        ticket.move(State.JOINED)
        self._joined.setdefault(id_hash_of(ticket), {})[ticket] = None

    def leave(self, ticket: Ticket) -> None:
        """Remove one ticket from those that wait for its id."""
        id_hash = id_hash_of(ticket)
        del self._joined[id_hash][ticket]
        if not self._joined[id_hash]:
            del self._joined[id_hash]

    def take_joined(self, id_hash: bytes) -> list[Ticket]:
        """Remove and return the tickets that wait for that id."""
        return list(self._joined.pop(id_hash)) if id_hash in self._joined else []

    def holds(self, ticket: Ticket) -> bool:
        """Whether this very ticket is registered."""
        return self._tickets.get(ticket.number) is ticket

    def is_sound(self) -> bool:
        """Whether the counts are those of the tickets present, and ids are answered and waited for by those alone."""
        count = dict.fromkeys(self._held, 0)
        weight = dict.fromkeys(self._held_bytes, 0)
        for ticket in self._tickets.values():
            count[ticket.source.partition.lane] += 1
            weight[ticket.source.partition.lane] += ticket.buffer_bytes
        answering_held = all(self.holds(ticket) for ticket in self._open.values())
        joined_held = all(self.holds(ticket) for joined in self._joined.values() for ticket in joined)
        return count == self._held and weight == self._held_bytes and answering_held and joined_held

    def is_answering(self, ticket: Ticket) -> bool:
        """Whether this ticket is the one that will answer for its id."""
        return isinstance(ticket.content, Candidate) and self._open.get(ticket.content.identity.id_hash) is ticket

    def __len__(self) -> int:
        return len(self._tickets)

    def tickets(self) -> list[Ticket]:
        """Return all tickets."""
        return list(self._tickets.values())

    def finish(self, source: Source) -> None:
        """Close the record of a ticket that the transaction being built settles; a lost range is closed already."""
        self.progress[source.partition].close(source.offset)
        self._touched[source.partition] = None

    def touch_all(self) -> None:
        """Let the next transaction store every partition, so that no stored map expires."""
        self._touched = dict.fromkeys(self.progress)

    def stored(self, term: int) -> dict[LanePartition, Stored]:
        """Return the maps of the partitions touched since the last call."""
        maps = {partition: self.progress[partition].store(term) for partition in self._touched}
        self._touched = {}
        return maps

    def replace_progress(self, progress: Mapping[LanePartition, PartitionProgress]) -> list[Ticket]:
        """Go on from stored maps; return the tickets whose records are settled, or no longer read by this process."""
        self.progress = dict(progress)
        self.touch_all()
        strangers = []
        for ticket in sorted(self._tickets.values(), key=lambda ticket: ticket.source.offset):
            ours = self.progress.get(ticket.source.partition)
            if ours is None or not ours.hold(ticket.source.offset):
                strangers.append(ticket)
        return strangers

    def clear(self) -> None:
        """Forget all progress; all tickets, and those that wait for an id with them, must be gone already."""
        assert not self._tickets
        assert not self._joined
        self.progress = {}
        self._touched = {}
