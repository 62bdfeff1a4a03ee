"""`headrace` as it is, but for two things: a process that counts a certain text, or decompresses another, is gone."""

import os

from headrace.broker.adapters.kafka import batches
from headrace.broker.adapters.kafka.decompression import decompressed
from headrace.broker.adapters.tiktoken_counter import TiktokenCounter
from headrace.broker.cli import main as verbs

MARKER = "whoever counts this dies"
PACKED = b"the process that decompresses this dies"
DEAD, BURST = 86, 87
"""The exit codes of a process that died of the one and of the other."""

_count = TiktokenCounter.count


def _deadly(self: TiktokenCounter, model: str, text: str) -> int | None:
    if MARKER in text:
        os._exit(DEAD)  # as a crash in a library: nothing is unwound, flushed or said
    return _count(self, model, text)


def _deadly_to_decompress(packed: bytes, codec: int, bytes_max: int) -> bytes:
    records = decompressed(packed, codec, bytes_max)
    if PACKED in records:
        os._exit(BURST)
    return records


def main() -> int:
    """Run the verb that `sys.argv` names."""
    TiktokenCounter.count = _deadly  # type: ignore[method-assign]
    batches.decompressed = _deadly_to_decompress  # type: ignore[attr-defined]  # imported there
    return verbs.main()
