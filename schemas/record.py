"""A Kafka record as bytes: written by the codec and sent by a producer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

Headers = Sequence[tuple[str, bytes]]

_FRAMING_BYTES = 128
_FRAMING_BYTES_HEADER = 10


@dataclass(frozen=True, slots=True)
class Record:
    """Key, value and headers; topic and partition are the sender's choice."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def bytes_max(self) -> int:
        """Largest size of the record in a batch of its own: content plus the framing of record and batch."""
        headers = sum(len(name.encode()) + len(value or b"") + _FRAMING_BYTES_HEADER for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers + _FRAMING_BYTES

    def with_headers(self, more: Headers) -> "Record":
        """Return the record with more headers behind its own."""
        return replace(self, headers=(*self.headers, *more)) if more else self


def present(headers: Iterable[tuple[str, bytes | None]]) -> tuple[tuple[str, bytes], ...]:
    """Normalise headers for all adapters: a null value, which Kafka allows and some clients write, becomes empty."""
    return tuple((name, value or b"") for name, value in headers)
