"""The one line of a server's log that says why it did not start."""

from collections.abc import Iterable
from pathlib import Path

_TAIL_BYTES = 256 * 1024
_LINE_CHARS_MAX = 300
_TELLING = ("FATAL", "ERROR", "Caused by", "Exception", "Error:", "# ")


def telling_line(logs: Iterable[Path]) -> str:
    """Return the last line in these files that looks like an error, else the last line, else that there is none."""
    last = ""
    told = ""
    for log in logs:
        for line in _tail(log).splitlines():
            text = line.strip()
            if not text or text.startswith("at "):
                continue
            last = text
            if any(sign in text for sign in _TELLING):
                told = text
    return (told or last or "the log is empty")[:_LINE_CHARS_MAX]


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
