"""Record batches as Kafka stores them (format 2), read within bounds that aiokafka lacks.

aiokafka unpacks a batch whole, however large that is: 5 kB of zstd unpack to 160 MB of zeros. And it gives up a whole
batch for one header with a name that is not UTF-8, which librdkafka lets through. So compressed batches are checked
before aiokafka sees them (`screened`), and one that it gave up is read here, record by record (`first_batch`): readable
records are served, and only the rest is lost. Where a batch may end the process that unpacks it, what a fetch holds is
told by the headers alone (`readable_batches`).

A batch: a header of 61 bytes, then its records, compressed together. Lengths in records are zigzag varints.
"""

import logging
import mmap
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, NamedTuple

from aiokafka.codec import cramjam  # what aiokafka itself decompresses with
from aiokafka.record.util import calc_crc32c

from headrace.broker.ports import Fetched, UnreadableRange
from headrace.schemas.record import Record

_log = logging.getLogger("headrace.kafka")

UNPACKED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Limit for one batch: 64 times what a topic accepts of a compressed one, unless it is configured to accept more."""
_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_PREFIX: Final = struct.Struct(">qi")  # base offset, and the length of all that follows
_MAGIC_AT, _CRC_AT, _CHECKED_FROM = 16, 17, 21
_CODEC, _APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
_GZIP, _SNAPPY, _LZ4, _ZSTD = 1, 2, 3, 4
_XERIAL: Final = b"\x82SNAPPY\x00"  # how Java frames snappy: 16 bytes, then blocks, each with its length
_XERIAL_BYTES: Final = 16
_ABORT: Final = b"\0\0"
_VARINT_BITS_MAX: Final = 63


class BrokenBatch(ValueError):  # noqa: N818 — the bytes are wrong, not this process
    """Bytes that are no such batch, or none that may be unpacked."""


class Overflow(BrokenBatch):
    """A batch that unpacks to more than is allowed; `start` is the part that fits."""

    def __init__(self, start: bytes) -> None:
        super().__init__(f"a batch unpacks to more than {len(start)} bytes")
        self.start = start


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
        """Drop what ends below an offset."""
        while self.found and _last(self.found[0]) < offset:
            self.found.popleft()

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
    """Read the first batch that holds `first` or a later offset; None if no complete batch does.

    `aborted` lists aborted transactions: producer and first offset, as the fetch has them.
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

    Nothing is unpacked but the markers that end transactions. `aborted` is as for `first_batch`.
    """
    found: list[ReadableBatch] = []
    begun = deque(sorted(aborted, key=itemgetter(1)))
    undone: set[int] = set()
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
            while begun and begun[0][1] <= head.base_offset:
                undone.add(begun.popleft()[0])
        if head is not None and head.attributes & _CONTROL:
            if _aborts(batch, head):
                undone.discard(head.producer_id)
        elif offsets.stop > first and not (
            head is not None and head.attributes & _TRANSACTIONAL and head.producer_id in undone
        ):
            found.append(ReadableBatch(offsets, is_dense, bytes(batch)))
        end = max(end, offsets.stop)
    return found, end


def unpacked(batch: ReadableBatch, first: int, *, bytes_max: int = UNPACKED_BYTES_MAX) -> Pieces:
    """Read a batch record by record, from the offset `first` on."""
    end = batch.offsets.stop
    if batch.data[_MAGIC_AT] < 2:
        return Pieces(deque([UnreadableRange(first, end - 1)]), end)
    head = _Head(*_HEADER.unpack_from(batch.data))
    try:
        return Pieces(deque(_pieces(memoryview(batch.data), head, first, bytes_max)), end)
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


def _aborts(batch: memoryview, head: _Head) -> bool:
    """Whether a control batch is the marker of an aborted transaction: its key holds a version and a type."""
    marker = next((fetched for _, fetched in _records(batch, head, UNPACKED_BYTES_MAX)), None)
    return marker is not None and marker.record.key is not None and marker.record.key[2:4] == _ABORT


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
        return len(_unpacked(batch, _Head(*_HEADER.unpack_from(batch)), bytes_max))
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
        return _unpacked(batch, head, bytes_max), False
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


def _unpacked(batch: memoryview, head: _Head, bytes_max: int) -> bytes:
    """Unpack a compressed batch.

    Raises:
        Overflow: It is more than `bytes_max`.
        BrokenBatch: It is no such data.
    """
    packed, codec = bytes(batch[_HEADER.size :]), head.attributes & _CODEC
    if codec == _SNAPPY:
        return _unsnapped(packed, bytes_max)
    library = {_GZIP: cramjam.gzip, _LZ4: cramjam.lz4, _ZSTD: cramjam.zstd}.get(codec)
    if library is None:
        raise BrokenBatch(f"codec {codec} does not exist")
    with mmap.mmap(-1, bytes_max) as room:  # takes memory only as far as it is written
        try:
            return room[: library.decompress_into(packed, room)]
        except cramjam.DecompressionError as error:
            if "whole buffer" in str(error):
                raise Overflow(room[:]) from error
            raise BrokenBatch("the compressed data is broken") from error


def _unsnapped(packed: bytes, bytes_max: int) -> bytes:
    """Unpack snappy blocks. Snappy states each block's length before it, so nothing over the limit is unpacked."""
    blocks: list[bytes] = []
    total = 0
    try:
        for block in _snappy_blocks(packed):
            total += cramjam.snappy.decompress_raw_len(block)
            if total > bytes_max:
                raise BrokenBatch("a batch unpacks to too many bytes")
            blocks.append(block)
        return b"".join(bytes(cramjam.snappy.decompress_raw(block)) for block in blocks)
    except (cramjam.DecompressionError, struct.error) as error:
        raise BrokenBatch("the compressed data is broken") from error


def _snappy_blocks(packed: bytes) -> Iterator[bytes]:
    if not packed.startswith(_XERIAL):
        yield packed
        return
    place = _XERIAL_BYTES
    while place < len(packed):
        (length,) = struct.unpack_from(">i", packed, place)
        place += 4
        if length < 0 or place + length > len(packed):
            raise BrokenBatch("a block ends beyond its batch")
        yield packed[place : place + length]
        place += length
