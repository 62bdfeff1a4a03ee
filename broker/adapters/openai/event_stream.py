"""Server-sent events as they come in pieces of bytes: the `data` of each, within a bound. No I/O.

After WHATWG's event stream format: lines end with LF, CR or CRLF, an empty line ends an event, members but `data` are
of no use here. Bytes that are no UTF-8 become U+FFFD, since the rest of the answer is paid for.
"""

from typing import Final

END: Final = "[DONE]"
"""The data of OpenAI's last event, which is no JSON."""
_LINE_BYTES: Final = 40
"""What Python needs to keep a line, beside its bytes."""


class EventTooLarge(Exception):  # noqa: N818 — what came, and no fault of ours
    """A line, or an event, has more than so many bytes."""

    def __init__(self, bytes_seen: int) -> None:
        super().__init__(f"{bytes_seen} bytes")
        self.bytes_seen = bytes_seen


class EventReader:
    """Puts lines and events together.

    Attributes:
        lines: How many have ended.
    """

    def __init__(self, event_bytes_max: int) -> None:
        """`event_bytes_max` bounds what is kept of an event that has not ended."""
        self.lines = 0
        self._bytes_max = event_bytes_max
        self._tail = bytearray()
        self._data: list[bytes] = []
        self._held = 0
        self._after_cr = False

    @property
    def held(self) -> int:
        """Bytes kept of an event that has not ended."""
        return self._held + len(self._tail)

    def feed(self, piece: bytes) -> list[str]:
        """The data of the events that these bytes end.

        Raises:
            EventTooLarge: One that has not ended is above its bound.
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
            raise EventTooLarge(self.held)
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
