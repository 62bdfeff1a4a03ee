"""State as JSON that can always be encoded, whatever it contains: one way, at every door.

Names come from producers and figures from answers. Half a surrogate pair cannot be encoded, an integer of more than
4,300 digits cannot be printed, JSON cannot express nan, a structure may be deeper than Python writes, and a foreign
object may raise when it is asked for its text: each would take the whole status, line or answer away. A log (which is
bounded, `headrace.broker.service.metrics.escapes`), the pages, the status in Redis and each verb's `--json` go through
here.
"""

import contextlib
import json
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, Protocol

_DEPTH_MAX: Final = 100
_PRINTED_BITS_MAX: Final = 14_000
"""Python prints integers of 4,300 digits, which is 14,284 bits."""


class Room(Protocol):
    """Text policy and budget of characters: for names, values and the punctuation around them."""

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be written."""

    @property
    def integer_bits_max(self) -> int:
        """Largest integer to be written out, in bits; a larger one is described by its size."""

    def name(self, name: str) -> str:
        """Return an object's key as it is to be written."""

    def text(self, text: str) -> str:
        """Return a text as it is to be written."""

    def spend(self, chars: int) -> None:
        """Charge characters that were written beside texts."""


class _Whole:
    """Unbounded policy: every text in full."""

    is_full = False
    integer_bits_max = _PRINTED_BITS_MAX

    def name(self, name: str) -> str:
        return self.text(name)

    def text(self, text: str) -> str:
        return text

    def spend(self, chars: int) -> None:
        """Count nothing."""


_NUMBER_CHARS: Final = 20
_AROUND_CHARS: Final = 4


def json_text(told: Any, *, compact: bool = False) -> str:
    """Return JSON that can be encoded; never raises. What cannot be written is described instead; the rest is whole."""
    separators = (",", ":") if compact else None
    for escaped in (False, True):  # the second time for lone surrogates alone
        with contextlib.suppress(Exception):  # of any kind: the last form has none of it
            text = json.dumps(told, ensure_ascii=escaped, allow_nan=False, separators=separators)
            text.encode()
            return text
    return json.dumps(showable(told, _Whole(), depth_max=_DEPTH_MAX), separators=separators)


def showable(value: Any, room: Room, *, depth_max: int) -> Any:
    """Return the JSON form of a value, within the room; a foreign object, or one nested too deep, becomes a text."""
    if value is None or isinstance(value, bool | int | float):
        room.spend(_NUMBER_CHARS)
        return value if value is None or isinstance(value, bool) else _number(value, room)
    if isinstance(value, str):
        return room.text(str(value))
    if depth_max > 0 and isinstance(value, Mapping):
        return _mapping(value, room, depth_max)
    if depth_max > 0 and isinstance(value, list | tuple | AbstractSet):
        return _listing(value, room, depth_max)
    return room.text(_told(value))


def _number(value: float, room: Room) -> float | str:
    if isinstance(value, int):
        bits = int(value).bit_length()
        return int(value) if bits <= room.integer_bits_max else f"a number of {bits} bits"
    return float(value) if math.isfinite(value) else str(float(value))


def _mapping(value: Mapping[Any, Any], room: Room, depth_max: int) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, one in value.items():
        if room.is_full:
            told["…"] = f"{len(value)} in all"
            break
        room.spend(_AROUND_CHARS)
        told[room.name(_told(name))] = showable(one, room, depth_max=depth_max - 1)
    return told


def _listing(value: list[Any] | tuple[Any, ...] | AbstractSet[Any], room: Room, depth_max: int) -> list[Any]:
    listed: list[Any] = []
    for one in value:
        if room.is_full:
            listed.append(f"… {len(value)} in all")
            break
        room.spend(_AROUND_CHARS)
        listed.append(showable(one, room, depth_max=depth_max - 1))
    return listed


def _told(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping | list | tuple | AbstractSet):
        return f"<{type(value).__name__} of {len(value)}>"  # too deep to be shown, and as deep to be printed
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  # a foreign __repr__ may raise anything, and an integer may be too long for it
        return f"<{type(value).__name__}>"
