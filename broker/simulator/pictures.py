"""Input tokens billed for a picture, by the documented rules and by bills that people have published.

Written apart from the core, as the reference for the core's beliefs. A picture inside the body has the size that it
states; one that would have to be fetched counts as the largest that its model accepts.
"""

import base64
import math
import struct
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

_TILED: Final = (
    ("gpt-4o-mini", 2_833, 5_667),
    ("gpt-4o", 85, 170),
    ("gpt-4.5", 85, 170),
    ("gpt-4", 85, 170),
    ("computer-use-preview", 65, 129),
    ("o1", 75, 150),
    ("o3", 75, 150),
    ("gpt-5", 70, 140),
)
_PATCHED: Final = (
    ("gpt-4.1-mini", 1.62, 1_536, 1_536),
    ("gpt-4.1-nano", 2.46, 1_536, 1_536),
    ("o4-mini", 1.72, 1_536, 1_536),
    ("gpt-5-mini", 1.2, 1_536, 1_536),
    ("gpt-5-nano", 1.5, 1_536, 1_536),
    ("gpt-5.6", 1.2, 10_000, 2_500),
    ("gpt-5.", 1.2, 2_500, 2_500),
    ("gpt-6", 1.2, 10_000, 2_500),
)
"""Beginning of the name, multiplier, patches as `auto` and as `high`; the first that fits."""

_ORIGINAL_PATCHES: Final = 10_000


def picture_tokens(model: Any, part: Mapping[str, Any]) -> int:
    """Return the tokens of one part of a message."""
    name = model.removeprefix("ft:") if isinstance(model, str) else ""
    told = part.get("image_url")
    url, detail = (told.get("url"), told.get("detail")) if isinstance(told, Mapping) else (told, part.get("detail"))
    size = _dimensions(url) if isinstance(url, str) else None
    for start, factor, auto, high in _PATCHED:
        if name.startswith(start):
            return _patched(size, factor, auto, high, detail)
    for start, base, tile in _TILED:
        if name.startswith(start):
            return base + (0 if detail == "low" else tile * (8 if size is None else _tiles(*size)))
    return _patched(size, 1.2, 2_500, 2_500, detail)


def _patched(size: tuple[int, int] | None, factor: float, auto: int, high: int, detail: Any) -> int:
    bound = auto
    if detail == "original":
        bound = auto if auto < 2_500 else _ORIGINAL_PATCHES
    elif detail in ("high", "low"):
        bound = high
    return math.ceil(round((bound if size is None else _patches(*size, bound)) * factor, 6))


def _tiles(width: int, height: int) -> int:
    long, short = float(max(width, height)), float(min(width, height))
    if long > 2_048:
        long, short = 2_048.0, float(math.floor(short * 2_048 / long + 0.5))
    if short > 768:
        long, short = float(math.floor(long * 768 / short + 0.5)), 768.0
    return max(1, math.ceil(long / 512)) * max(1, math.ceil(short / 512))


def _patches(width: int, height: int, bound: int) -> int:
    if (count := math.ceil(width / 32) * math.ceil(height / 32)) <= bound:
        return count
    columns, rows = math.isqrt(bound * width // height), math.isqrt(bound * height // width)
    per_pixel = min(Fraction(columns, width), Fraction(rows, height))
    if per_pixel == 0:
        return bound
    return min(bound, math.ceil(width * per_pixel) * math.ceil(height * per_pixel))


def _dimensions(url: str) -> tuple[int, int] | None:
    """Read width and height of a PNG or GIF in a `data:` URL; other formats are not parsed."""
    if not url.startswith("data:image/"):
        return None
    try:
        head = base64.b64decode(url.partition(",")[2][:44])
    except ValueError:
        return None
    if head[:4] == b"\x89PNG" and len(head) >= 24:
        size = struct.unpack(">II", head[16:24])
    elif head[:3] == b"GIF" and len(head) >= 10:
        size = struct.unpack("<HH", head[6:10])
    else:
        return None
    return (size[0], size[1]) if all(size) else None
