"""One dead letter as a page: every fact beside its label, and the value only on demand."""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

from headrace.broker.amounts import counted
from headrace.broker.cli.dead_letters.reasons import explained
from headrace.broker.cli.terminal import safe, safe_bytes, short
from headrace.consumers.dead_letters import Found, Original
from headrace.schemas.dead_letter import Origin
from headrace.schemas.instants import to_wire

_LABEL: Final = 12
LABEL_CELLS: Final = _LABEL + 2
"""The column where the facts begin."""
_HEADER_CHARS_MAX: Final = 200
_OLDER_SHOWN_MAX: Final = 10


def sheet(found: Found, original: Original, older: Sequence[Origin], *, body: bool) -> Iterator[str]:
    """Yield the lines of the page."""
    letter = found.letter
    reason = explained(letter.reason, attempts=letter.attempts)
    run = f"  run {letter.run}" if letter.run else ""
    yield _fact("dead letter", str(found.place))
    yield _fact("id", f"{original.id or 'cannot be read'}{run}")
    yield _fact("reason", letter.reason if letter.message else f"{letter.reason}: {reason.why}")
    if letter.message:
        yield _fact("why", letter.message)
    yield _fact("to do", reason.advice)
    yield _fact("failed at", f"{to_wire(letter.failed_at)}, written {to_wire(found.written_at)}")
    yield _fact("origin", str(letter.origin))
    yield _fact("calls made", str(letter.attempts))
    yield _fact("tenant", original.tenant or "-")
    yield _fact("model", original.model or "-")
    yield _fact("endpoint", original.endpoint or "-")
    yield _fact("key", "null" if letter.key is None else short(safe_bytes(letter.key), _HEADER_CHARS_MAX))
    yield _fact("value", _value(found, body=body))
    yield from _headers(letter.headers)
    if older:
        more = f" and {len(older) - _OLDER_SHOWN_MAX} more" if len(older) > _OLDER_SHOWN_MAX else ""
        places = ", ".join(str(place) for place in older[-_OLDER_SHOWN_MAX:])
        yield _fact("older ones", f"{counted(len(older), 'dead letter')} of the same: {places}{more}")
    if body and letter.value is not None:
        yield ""
        yield safe_bytes(letter.value, keep="\n\t")


def _fact(label: str, text: str) -> str:
    return f"{label:<{_LABEL}}  {safe(text)}"


def _value(found: Found, *, body: bool) -> str:
    value, whole = found.letter.value, found.letter.original_length
    if value is None:
        return "null"
    if whole is not None:
        size = f"the first {len(value):,} of {counted(whole, 'byte')}; sha256 of the whole {found.letter.sha256}"
    else:
        size = f"{counted(len(value), 'byte')}; sha256 {hashlib.sha256(value).hexdigest()}"
    return size if body else f"{size} (--body shows it)"


def _headers(headers: Sequence[tuple[str, bytes]]) -> Iterator[str]:
    for number, (name, value) in enumerate(headers):
        text = short(safe_bytes(value), _HEADER_CHARS_MAX)
        yield f"{'headers' if number == 0 else '':<{_LABEL}}  {short(safe(name), _HEADER_CHARS_MAX)}: {text}"


def as_object(found: Found, original: Original, older: Sequence[Origin], *, body: bool) -> dict[str, Any]:
    """Return the page as an object for JSON; bytes that are not text are base64, in a field with that name."""
    letter = found.letter
    reason = explained(letter.reason, attempts=letter.attempts)
    told: dict[str, Any] = {
        "place": str(found.place),
        "id": original.id,
        "run": letter.run,
        "reason": letter.reason,
        "sentence": letter.message or reason.sentence,
        "advice": reason.advice,
        "failed_at": to_wire(letter.failed_at),
        "written_at": to_wire(found.written_at),
        "origin": str(letter.origin),
        "attempts": letter.attempts,
        "tenant": original.tenant,
        "model": original.model,
        "endpoint": original.endpoint,
        **_text_or_base64("key", letter.key),
        "headers": [{"name": name, **_text_or_base64("value", value)} for name, value in letter.headers],
        "bytes": len(letter.value or b"") if letter.original_length is None else letter.original_length,
        "bytes_kept": None if letter.value is None else len(letter.value),
        "sha256": letter.sha256 or (None if letter.value is None else hashlib.sha256(letter.value).hexdigest()),
        "cut": letter.original_length is not None,
        "older": [str(place) for place in older],
    }
    return told | (_text_or_base64("value", letter.value) if body else {})


def _text_or_base64(name: str, content: bytes | None) -> dict[str, str | None]:
    if content is None:
        return {name: None}
    try:
        return {name: content.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(content).decode()}
