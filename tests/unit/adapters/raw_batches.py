"""Record batches as producers of other languages may write them, byte by byte; also such as break aiokafka."""

import gzip
import struct
from collections.abc import Sequence

import cramjam
from aiokafka.record.util import calc_crc32c

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
_HEADER = struct.Struct(">qiibIhiqqqhii")


def varint(number: int) -> bytes:
    """Zigzag."""
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _bytes(value: bytes | None) -> bytes:
    return varint(-1) if value is None else varint(len(value)) + value


def one(
    value: bytes | None, *, key: bytes | None = None, headers: Sequence[tuple[bytes, bytes | None]] = ()
) -> tuple[bytes, ...]:
    """A record but for its place: its key, value and headers; a name may be any bytes."""
    told = b"".join(_bytes(name) + _bytes(text) for name, text in headers)
    return (_bytes(key) + _bytes(value) + varint(len(headers)) + told,)


def record_bytes(delta: int, rest: bytes) -> bytes:
    """A record whose fields are these bytes, whatever they say."""
    inner = b"\0" + varint(delta) + varint(delta) + rest
    return varint(len(inner)) + inner


def batch(
    base_offset: int,
    records: Sequence[tuple[bytes, ...] | bytes],
    *,
    codec: int = 0,
    attributes: int = 0,
    producer_id: int = -1,
    epoch: int = -1,
    sequence: int = -1,
    count: int | None = None,
    last_offset_delta: int | None = None,
    first_timestamp: int = 1_000,
    packed: bytes | None = None,
) -> bytes:
    """A batch of records made by `one`, or of bytes as they are; its checksum is right.

    `producer_id`, `epoch` and `sequence` (of the first record) are those of an idempotent producer; -1: of none.
    """
    body = b"".join(
        each if isinstance(each, bytes) else record_bytes(delta, each[0]) for delta, each in enumerate(records)
    )
    payload = _packed(codec, body) if packed is None else packed
    last = len(records) - 1 if last_offset_delta is None else last_offset_delta
    number = len(records) if count is None else count
    checked = struct.pack(
        ">hiqqqhii",
        attributes | codec,
        last,
        first_timestamp,
        first_timestamp + last,
        producer_id,
        epoch,
        sequence,
        number,
    )
    crc = calc_crc32c(checked + payload)
    return struct.pack(">qiibI", base_offset, 9 + len(checked) + len(payload), -1, 2, crc) + checked + payload


def _packed(codec: int, body: bytes) -> bytes:
    match codec:
        case 0:
            return body
        case 1:
            return gzip.compress(body)
        case 2:
            return bytes(cramjam.snappy.compress_raw(body))
        case 3:
            return bytes(cramjam.lz4.compress(body))
        case _:
            return bytes(cramjam.zstd.compress(body))
