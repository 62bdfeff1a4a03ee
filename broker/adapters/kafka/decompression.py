"""Decompression of a batch's records by the codecs of Kafka, within a bound of bytes."""

import mmap
import struct
from collections.abc import Iterator
from typing import Final

from aiokafka.codec import cramjam  # what aiokafka itself decompresses with

_GZIP, _SNAPPY, _LZ4, _ZSTD = 1, 2, 3, 4
_XERIAL: Final = b"\x82SNAPPY\x00"  # how Java frames snappy: 16 bytes, then blocks, each with its length
_XERIAL_BYTES: Final = 16


class BrokenBatch(ValueError):  # noqa: N818 — the bytes are wrong, not this process
    """Bytes that are no such batch, or none that may be unpacked."""


class Overflow(BrokenBatch):
    """A batch that unpacks to more than is allowed; `start` is the part that fits."""

    def __init__(self, start: bytes) -> None:
        super().__init__(f"a batch unpacks to more than {len(start)} bytes")
        self.start = start


def decompressed(packed: bytes, codec: int, bytes_max: int) -> bytes:
    """Decompress the records of a batch; `codec` is Kafka's number of it.

    Raises:
        Overflow: They are more than `bytes_max`.
        BrokenBatch: They are no such data.
    """
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
