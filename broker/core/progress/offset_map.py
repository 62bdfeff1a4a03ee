"""Written form of one partition's progress, as it stands in the metadata of its offset commit.

    hr1:base64( term  timestamp+1  base  window | form | body | CRC-32 )

"hr" is the magic and 1 the codec, readable in any offsets tool. The four numbers are varints (seven bits a byte, lowest
first), the form is one byte. The body names the open offsets, from base to the last of them and no further, so a leap
of next_offset (retention) costs nothing. It is the smaller of a bitmap (base is the highest bit of the first byte) and
of runs (varints, by turns done and open), deflated where it is long and that helps.

Whether every possible body fits is decided when a record is taken, by `worst_bytes`; this module asserts that it does.
A codec is written one release after it can be read (PROTOCOL 4), so a change of this form begins in `decode`.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from itertools import chain, cycle, islice
from operator import mul, sub
from typing import Final, NamedTuple
from zlib import compress, crc32, decompress

from headrace.broker.core.progress.open_offsets import OpenOffsets

METADATA_CHARS_MAX: Final = 4_096  # Kafka's offset.metadata.max.bytes counts UTF-16 units; ours are ASCII
MAP_BYTES_MAX: Final = 3_000
BITMAP_WINDOW_MAX: Final = 8 * MAP_BYTES_MAX  # a window that fits, no matter which of its offsets are open
TIMESTAMP_UNKNOWN: Final = -1  # Kafka's own value for it

_MAGIC: Final = "hr"
_PREFIX: Final = _MAGIC + "1:"
_BITMAP, _RUNS, _DEFLATED = 0, 1, 2  # the form: one of the first two, plus the third
_VARINT_BYTE_MAX: Final = 0x7F  # such a number is its own varint
_DEFLATED_FROM_BYTES: Final = 512  # the gain on a shorter body is not worth the time at every commit
_HEAD_BYTES_MAX: Final = 4 * 10 + 1 + 4  # four varints of 64 bits, the form, the checksum
assert len(_PREFIX) + -(-(_HEAD_BYTES_MAX + MAP_BYTES_MAX) // 3) * 4 <= METADATA_CHARS_MAX


class ProgressUnreadableError(ValueError):
    """A stored map that is not ours, of an unknown codec, or damaged: commit nothing, ask the operator."""


class Head(NamedTuple):
    """Head of a map: the term that wrote it, and the offsets that it spans.

    `timestamp_ms`: of the record below base + window, or -1.
    """

    term: int
    timestamp_ms: int
    base: int
    window: int


def varint_bytes(number: int) -> int:
    """Return how many bytes `number` takes, seven bits in each."""
    return max(1, -(-number.bit_length() // 7))


def worst_bytes(window: int, opened: int) -> int:
    """Return the size of the largest body that `opened` offsets within `window` can need, in any order of completion.

    Each open offset may end up as a run of its own, with a done run before it.
    """
    return min(-(-window // 8), 2 * varint_bytes(window) * opened)


def encode(head: Head, opened: OpenOffsets) -> str:
    """Write the metadata for these open offsets, which lie at or above `head.base`."""
    form, body = _smallest(head.base, opened)
    numbers = b"".join(map(_varint, (head.term, head.timestamp_ms + 1, head.base, head.window)))
    payload = numbers + bytes([form]) + body
    metadata = _PREFIX + b64encode(payload + _checksum(payload)).decode()
    assert len(metadata) <= METADATA_CHARS_MAX, f"a map of {len(metadata)} characters would kill the producer"
    return metadata


def decode(metadata: str) -> tuple[Head, list[int]]:
    """Read the head and the open offsets, ascending. Raises ProgressUnreadableError."""
    if not metadata.startswith(_MAGIC):
        raise ProgressUnreadableError(f"the offset's metadata {metadata[:20]!r} was not written by Headrace")
    if not metadata.startswith(_PREFIX):
        raise ProgressUnreadableError(f"the map's codec {metadata[:20]!r} is unknown here: another release wrote it")
    try:
        data = b64decode(metadata[len(_PREFIX) :], validate=True)
    except ValueError as error:
        raise ProgressUnreadableError("the map is damaged: it is no base64") from error
    payload, checksum = data[:-4], data[-4:]
    if checksum != _checksum(payload):
        raise ProgressUnreadableError("the map is damaged: its checksum differs")
    source = iter(payload)
    term, timestamp, base, window = islice(_varints(source), 4)
    form, body = next(source), bytes(source)
    return Head(term, timestamp - 1, base, window), _opened(base, form, body)


def _smallest(base: int, opened: OpenOffsets) -> tuple[int, bytes]:
    starts, ends = opened.starts, opened.ends
    runs = [*chain.from_iterable(zip(map(sub, starts, [base, *ends]), map(sub, ends, starts), strict=True))]
    bitmap_bytes = -(-(ends[-1] - base) // 8) if ends else 0
    form, body = _RUNS, b""
    if len(runs) <= bitmap_bytes:  # a number takes a byte or more
        body = bytes(runs) if max(runs, default=0) <= _VARINT_BYTE_MAX else b"".join(map(_varint, runs))
    if bitmap_bytes and not 0 < len(body) <= bitmap_bytes:
        form, body = _BITMAP, _bitmap(runs, bitmap_bytes)
    if len(body) < _DEFLATED_FROM_BYTES:
        return form, body
    deflated = compress(body)
    return (form + _DEFLATED, deflated) if len(deflated) < len(body) else (form, body)


def _bitmap(runs: Iterable[int], size: int) -> bytes:
    digits = b"".join(map(mul, cycle((b"0", b"1")), runs)).ljust(8 * size, b"0")
    return int(digits, 2).to_bytes(size, "big")  # a power of two as the base: linear, and no limit on digits


def _opened(base: int, form: int, body: bytes) -> list[int]:
    if form & _DEFLATED:
        body = decompress(body)
    if form & _RUNS:
        opened: list[int] = []
        numbers, offset = _varints(iter(body)), base
        for done, length in zip(numbers, numbers, strict=True):
            opened.extend(range(offset + done, offset + done + length))
            offset += done + length
        return opened
    digits = format(int.from_bytes(body, "big"), f"0{8 * len(body)}b")
    return [base + index for index, digit in enumerate(digits) if digit == "1"]


def _checksum(payload: bytes) -> bytes:
    return crc32(_PREFIX.encode() + payload).to_bytes(4, "big")


def _varint(number: int) -> bytes:
    assert number >= 0
    low = bytearray()
    while number > _VARINT_BYTE_MAX:
        low.append(number & 0x7F | 0x80)
        number >>= 7
    low.append(number)
    return bytes(low)


def _varints(source: Iterator[int]) -> Iterator[int]:
    """Yield numbers from bytes, taking no byte more than the numbers asked for."""
    number = shift = 0
    for byte in source:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte <= 0x7F:
            yield number
            number = shift = 0
