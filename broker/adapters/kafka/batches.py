"""Record batches as Kafka stores them (format 2), read within bounds that aiokafka lacks.

aiokafka unpacks a batch whole, however large that is: 5 kB of zstd unpack to 160 MB of zeros. And it gives up a whole
batch for one header with a name that is not UTF-8, which librdkafka lets through. So compressed batches are checked
before aiokafka sees them (`screened`), and one that it gave up is read here, record by record (`first_batch`): readable
records are served, and only the rest is lost. Where unpacking may end the process, only the headers of batches are read
(`readable_batches`).

A batch: a header of 61 bytes, then its records, compressed together. Lengths in records are zigzag varints.
"""

import logging
import struct
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Final, NamedTuple

from aiokafka.record.util import calc_crc32c

from headrace.broker.adapters.kafka.decompression import BrokenBatch, Overflow, decompressed
from headrace.broker.ports import Fetched, UnreadableRange
from headrace.schemas.record import Record

_log = logging.getLogger("headrace.kafka")

UNPACKED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Limit for one batch: 64 times what a topic accepts of a compressed one, unless it is configured to accept more."""
_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_PREFIX: Final = struct.Struct(">qi")  # base offset, and the length of all that follows
_MAGIC_AT, _CRC_AT, _CHECKED_FROM = 16, 17, 21
_CODEC, _APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
_VARINT_BITS_MAX: Final = 63


class _Head(NamedTuple):
    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: int

    @property
    def last_offset(self) -> int:
        return self.base_offset + max(0, self.last_offset_delta)


@dataclass(slots=True)
class Pieces:
    """Contents of a batch not taken yet, in order; `next_offset` is the one behind all of them."""

    found: deque[Fetched | UnreadableRange]
    next_offset: int

    @property
    def position(self) -> int:
        """The offset that is taken next."""
        if not self.found:
            return self.next_offset
        first = self.found[0]
        return first.first if isinstance(first, UnreadableRange) else first.offset

    def take(self, records_max: int) -> list[Fetched] | UnreadableRange:
        """Take up to `records_max` records, or a range that is lost; an empty list if nothing is left."""
        got: list[Fetched] = []
        while self.found and len(got) < records_max:
            one = self.found[0]
            if isinstance(one, UnreadableRange):
                return got or self._lost()
            got.append(one)
            self.found.popleft()
        return got

    def skip_below(self, offset: int) -> None:
        """Drop what stands below an offset."""
        while self.found and _last(self.found[0]) < offset:
            self.found.popleft()
        if self.found and isinstance(self.found[0], UnreadableRange):
            self.found[0] = replace(self.found[0], first=max(offset, self.found[0].first))

    def _lost(self) -> UnreadableRange:
        lost = self.found.popleft()
        assert isinstance(lost, UnreadableRange)  # noqa: S101 — programmer error
        return lost


def _last(piece: Fetched | UnreadableRange) -> int:
    return piece.last if isinstance(piece, UnreadableRange) else piece.offset


def is_packed(data: bytes) -> bool:
    """Whether any batch is compressed; checking one may take some 0.3 s of CPU time."""
    return any(_codec(batch) for _, batch in _batches(data))


def screened(data: bytes, *, bytes_max: int = UNPACKED_BYTES_MAX) -> bytes:
    """Return the batches, with the checksum spoilt of those that must not be unpacked, so that aiokafka refuses them.

    The result ends where all of them together would unpack to more than `bytes_max`, but always includes the first: the
    rest is fetched when these have been read. A fetch may hold hundreds of batches, each of them just below the bound.
    """
    marked, total = bytearray(), 0
    for place, batch in _batches(data):
        unpacked = _unpacked_bytes(batch, bytes_max)
        total += bytes_max if unpacked is None else unpacked
        if place and total > bytes_max:
            return bytes(marked)
        marked += batch
        if unpacked is None:
            marked[place + _CRC_AT] ^= 0xFF
    return bytes(marked) + data[len(marked) :]


def first_batch(
    data: bytes, first: int, aborted: Sequence[tuple[int, int]], *, bytes_max: int = UNPACKED_BYTES_MAX
) -> Pieces | None:
    """Read the first batch with records at `first` or later; None if no complete batch stands there.

    Without records the result is empty and ends behind all that was fetched. `aborted` lists aborted transactions:
    producer and first offset, as the fetch has them.
    """
    batches, end = readable_batches(data, first, aborted)
    if batches:
        return unpacked(batches[0], first, bytes_max=bytes_max)
    return Pieces(deque(), end) if end > first else None


class ReadableBatch(NamedTuple):
    """A batch with records for a `read_committed` reader, of which only the header was read.

    Attributes:
        offsets: From the first that it can hold to its last.
        is_dense: Each of them has a record, by what the header says; no compaction removed any.
        data: The bytes of the whole batch.
    """

    offsets: range
    is_dense: bool
    data: bytes


def readable_batches(
    data: bytes, first: int, aborted: Sequence[tuple[int, int]]
) -> tuple[Sequence[ReadableBatch], int]:
    """Return the batches with records at `first` or later, and the offset behind all complete batches.

    Only headers are read. `aborted` is as for `first_batch`.
    """
    found: list[ReadableBatch] = []
    aborted_ahead = deque(sorted(aborted, key=itemgetter(1)))
    aborting: set[int] = set()  # producers within an aborted transaction, which their next marker ends
    end = first
    for _, batch in _batches(data):
        if batch[_MAGIC_AT] < 2:  # one message of an older format, or several that end with this offset
            offsets, head, is_dense = range(end, _PREFIX.unpack_from(batch)[0] + 1), None, False
        elif len(batch) < _HEADER.size:
            break
        else:
            head = _Head(*_HEADER.unpack_from(batch))
            offsets = range(head.base_offset, head.last_offset + 1)
            is_dense = head.records == len(offsets)
            while aborted_ahead and aborted_ahead[0][1] <= head.base_offset:
                aborting.add(aborted_ahead.popleft()[0])
        end = max(end, offsets.stop)
        if head is not None and head.attributes & _CONTROL:
            aborting.discard(head.producer_id)
        elif offsets.stop > first and (head is None or _holds_records(batch, head, aborting)):
            found.append(ReadableBatch(offsets, is_dense, bytes(batch)))
    return found, end


def unpacked(batch: ReadableBatch, first: int, *, bytes_max: int = UNPACKED_BYTES_MAX) -> Pieces:
    """Read a batch record by record, from the offset `first` on.

    Raises:
        MemoryError, OSError: There is no memory for it now.
    """
    end = batch.offsets.stop
    if batch.data[_MAGIC_AT] < 2:
        return Pieces(deque([UnreadableRange(first, end - 1)]), end)
    head = _Head(*_HEADER.unpack_from(batch.data))
    try:
        return Pieces(deque(_pieces(memoryview(batch.data), head, first, bytes_max)), end)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 — a defect here costs this batch, and not the lane
        _log.error("%s: %s at offset %d", "batch_not_read", type(error).__name__, head.base_offset)
        return Pieces(deque([UnreadableRange(first, end - 1)]), end)


def _batches(data: bytes) -> Iterator[tuple[int, memoryview]]:
    """Yield complete batches and where each begins."""
    view, place = memoryview(data), 0
    while place + _CHECKED_FROM <= len(data):
        length = _PREFIX.unpack_from(data, place)[1]
        end = place + _PREFIX.size + length
        if length <= 0 or end > len(data):
            return
        yield place, view[place:end]
        place = end


def _holds_records(batch: memoryview, head: _Head, aborting: Collection[int]) -> bool:
    """Whether a reader gets records of the batch: compaction may leave a header alone."""
    return len(batch) > _HEADER.size and not (head.attributes & _TRANSACTIONAL and head.producer_id in aborting)


def _codec(batch: memoryview) -> int:
    """Return the compression codec of the records; 0 also for a batch that aiokafka unpacks unscreened."""
    if len(batch) < _HEADER.size or batch[_MAGIC_AT] < 2:
        return 0
    attributes = _Head(*_HEADER.unpack_from(batch)).attributes
    return 0 if attributes & _CONTROL else attributes & _CODEC


def _unpacked_bytes(batch: memoryview, bytes_max: int) -> int | None:
    """Return the size that aiokafka would unpack it to; None if it must not be unpacked."""
    if not _codec(batch):
        return len(batch)
    try:
        return len(decompressed(bytes(batch[_HEADER.size :]), _codec(batch), bytes_max))
    except BrokenBatch:
        return None


def _pieces(batch: memoryview, head: _Head, first: int, bytes_max: int) -> Iterator[Fetched | UnreadableRange]:
    """Yield a batch's records from an offset on; adjacent unreadable ones are one range."""
    lost_from: int | None = first
    if calc_crc32c(bytes(batch[_CHECKED_FROM:])) == head.crc:
        lost_from, expected = None, max(first, head.base_offset)
        for offset, fetched in _records(batch, head, bytes_max):
            if fetched is None:
                lost_from = max(expected, offset) if lost_from is None else lost_from
            elif offset >= first:
                if lost_from is not None and lost_from < offset:
                    yield UnreadableRange(lost_from, offset - 1)
                lost_from = None
                yield fetched
            expected = max(expected, offset + 1)
    if lost_from is not None and lost_from <= head.last_offset:
        yield UnreadableRange(lost_from, head.last_offset)


def _records(batch: memoryview, head: _Head, bytes_max: int) -> Iterator[tuple[int, Fetched | None]]:
    """Yield offsets and records; None for an unreadable one, and a last None where records cannot be told apart."""
    try:
        body, is_cut = _body(batch, head, bytes_max)
    except BrokenBatch:
        yield head.base_offset, None
        return
    place, expected = 0, head.base_offset
    for _ in range(head.records):
        try:
            offset, timestamp_ms, place, end = _place(body, place, head, expected)
        except (BrokenBatch, IndexError):
            yield expected, None
            return
        try:
            record: Record | None = _record(body, place, end)
        except (BrokenBatch, IndexError):
            record = None
        yield offset, None if record is None else Fetched(offset, timestamp_ms, record)
        place, expected = end, offset + 1
    if is_cut or place != len(body):
        yield expected, None


def _body(batch: memoryview, head: _Head, bytes_max: int) -> tuple[bytes, bool]:
    """Return the records' bytes, and whether there are more than may be unpacked."""
    if not head.attributes & _CODEC:
        return bytes(batch[_HEADER.size :]), False
    try:
        return decompressed(bytes(batch[_HEADER.size :]), head.attributes & _CODEC, bytes_max), False
    except Overflow as overflow:
        return overflow.start, True


def _place(body: bytes, place: int, head: _Head, expected: int) -> tuple[int, int, int, int]:
    """Return offset and timestamp of a record, where its key begins, and where it ends."""
    length, place = _varint(body, place)
    end = place + length
    if length <= 0 or end > len(body):
        raise BrokenBatch("a record ends beyond its batch")
    delta_ms, place = _varint(body, place + 1)  # its own attributes are unused
    delta, place = _varint(body, place)
    timestamp_ms = head.max_timestamp if head.attributes & _APPEND_TIME else head.first_timestamp + delta_ms
    if not expected <= head.base_offset + delta <= head.last_offset:
        raise BrokenBatch("a record is at an impossible place")
    return head.base_offset + delta, timestamp_ms, place, end


def _record(body: bytes, place: int, end: int) -> Record:
    key, place = _bytes(body, place, end)
    value, place = _bytes(body, place, end)
    count, place = _varint(body, place)
    if not 0 <= count <= end - place:
        raise BrokenBatch("a record has more headers than bytes")
    headers = []
    for _ in range(count):
        name, place = _bytes(body, place, end)
        text, place = _bytes(body, place, end)
        if name is None:
            raise BrokenBatch("a header has no name")
        headers.append((name.decode(errors="replace"), text or b""))
    if place != end:
        raise BrokenBatch("a record has bytes after its headers")
    return Record(key, value, tuple(headers))


def _bytes(body: bytes, place: int, end: int) -> tuple[bytes | None, int]:
    length, place = _varint(body, place)
    if length < 0:
        return None, place
    if place + length > end:
        raise BrokenBatch("a field ends beyond its record")
    return body[place : place + length], place + length


def _varint(body: bytes, place: int) -> tuple[int, int]:
    """Read a zigzag varint; raises IndexError beyond the end."""
    shift = value = 0
    while True:
        byte = body[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), place
        shift += 7
        if shift > _VARINT_BITS_MAX:
            raise BrokenBatch("a number has more than 64 bits")
