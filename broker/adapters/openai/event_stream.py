"""Parser of server-sent events from pieces of bytes: the `data` of each, within a bound. No I/O.

After WHATWG's event stream format: lines end with LF, CR or CRLF, an empty line ends an event, members other than
`data` are ignored. Invalid UTF-8 becomes U+FFFD, since the rest of the answer is paid for.
"""

from typing import Final

END: Final = "[DONE]"
"""The data of OpenAI's last event, which is not JSON."""
_LINE_BYTES: Final = 40
"""Python's overhead for keeping a line, beside its bytes."""


class AnswerTooLarge(Exception):  # noqa: N818 — the server's doing, not a fault of ours
    """An answer, or one line or event of it, of at least `bytes_seen` bytes: above its bound; the rest is not read."""

    def __init__(self, bytes_seen: int) -> None:
        super().__init__(f"{bytes_seen} bytes")
        self.bytes_seen = bytes_seen


class EventReader:
    """Assembler of lines and events.

    Attributes:
        lines: Number of lines that have ended.
    """

    def __init__(self, event_bytes_max: int) -> None:
        """`event_bytes_max` bounds the bytes kept of an unfinished event."""
        self.lines = 0
        self._bytes_max = event_bytes_max
        self._tail = bytearray()
        self._data: list[bytes] = []
        self._held = 0
        self._after_cr = False

    @property
    def held(self) -> int:
        """Bytes kept of an unfinished event."""
        return self._held + len(self._tail)

    def feed(self, piece: bytes) -> list[str]:
        """Return the data of the events that these bytes end.

        Raises:
            AnswerTooLarge: An unfinished event is above its bound.
        """
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_cr = piece.endswith(b"\r")
        ended: list[str] = []
        for line in piece.splitlines(keepends=True):
            text = line.rstrip(b"\r\n")
            self._tail += text
            if len(text) == len(line):
                break  # the last one has not ended
            self.lines += 1
            self._line(bytes(self._tail), ended)
            self._tail.clear()
        if self.held > self._bytes_max:
            raise AnswerTooLarge(self.held)
        return ended

    def _line(self, line: bytes, ended: list[str]) -> None:
        if not line:
            if self._data:
                ended.append(b"\n".join(self._data).decode(errors="replace"))
            self._data, self._held = [], 0
        elif line.startswith(b"data:"):
            data = line[6:] if line.startswith(b"data: ") else line[5:]
            self._data.append(data)
            self._held += len(data) + _LINE_BYTES
