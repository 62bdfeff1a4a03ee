"""What a picture in a prompt costs in input tokens, as documented and as bills show it (facts/openai.md §7).

Older models cut a picture into *tiles* of 512 pixels, newer ones into *patches* of 32. Which size it has is told by its
first bytes where it comes as base64. What must be fetched first may be of any size, and is priced as the largest that
the model looks at. Nothing here decodes a picture, and nothing raises for any text.
"""

import base64
import binascii
import math
from typing import Final, NamedTuple

TILE_PX: Final = 512
TILED_LONGEST_PX: Final = 2_048
TILED_SHORTEST_PX: Final = 768
TILES_MAX: Final = 8  # 768 by 2,048 pixels
PATCH_PX: Final = 32
HEAD_BYTES: Final = 32  # in which all but JPEG say their size
JPEG_BYTES_MAX: Final = 256 * 1024  # a JPEG says it behind its profiles and previews


class Tiles(NamedTuple):
    """Tokens of a picture at all, and of each tile of it."""

    base: int
    each: int


class Patches(NamedTuple):
    """How many patches a picture may have, as `high`, `auto` and `original`, and tokens of a hundred of them."""

    high: int
    auto: int
    original: int
    per_hundred: int


class Pixels(NamedTuple):
    """The size of a picture."""

    width: int
    height: int


_NEW: Final = Patches(2_500, 2_500, 10_000, 120)
_NEWEST: Final = Patches(2_500, 10_000, 10_000, 120)  # `auto` knows no bound there; more than this is not documented
_MODELS: Final[dict[str, Tiles | Patches]] = {
    "computer-use-preview": Tiles(65, 129),
    "gpt-4": Tiles(85, 170),
    "gpt-4.1-mini": Patches(1_536, 1_536, 1_536, 162),
    "gpt-4.1-nano": Patches(1_536, 1_536, 1_536, 246),
    "gpt-4o-mini": Tiles(2_833, 5_667),
    "gpt-5": Tiles(70, 140),
    "gpt-5-mini": Patches(1_536, 1_536, 1_536, 120),
    "gpt-5-nano": Patches(1_536, 1_536, 1_536, 150),
    "gpt-5.": _NEW,
    "gpt-5.6": _NEWEST,
    "gpt-6": _NEWEST,
    "o1": Tiles(75, 150),
    "o3": Tiles(75, 150),
    "o4-mini": Patches(1_536, 1_536, 1_536, 172),
}
"""By the beginning of the model's name; the longest that fits counts, and a model nobody knows is a new one."""

_LENGTHS: Final = tuple(sorted({len(name) for name in _MODELS}, reverse=True))


def image_tokens(model: str, detail: str | None, size: Pixels | None) -> int:
    """Input tokens of one picture; `size` None: nobody knows, and it is taken for the largest."""
    way = _way(model.removeprefix("ft:"))
    if isinstance(way, Tiles):
        return way.base if detail == "low" else way.base + way.each * (TILES_MAX if size is None else _tiles(size))
    most = {"high": way.high, "low": way.high, "original": way.original}.get(detail or "auto", way.auto)
    patches = most if size is None else _patches(size, most)
    return -(-patches * way.per_hundred // 100)


def pixels(url: str) -> Pixels | None:
    """The size of a picture that comes as a `data:` URL; None if it does not, or is of no kind that OpenAI reads."""
    if not url.startswith("data:image/"):
        return None
    comma = url.find(",", 0, 128)
    head = _decoded(url, comma + 1, HEAD_BYTES)
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= HEAD_BYTES:
        return _size(_big(head[16:20]), _big(head[20:24]))
    if head.startswith((b"GIF87a", b"GIF89a")) and len(head) >= 10:
        return _size(_little(head[6:8]), _little(head[8:10]))
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP" and len(head) >= HEAD_BYTES - 2:
        return _of_webp(head)
    if head.startswith(b"\xff\xd8"):
        return _of_jpeg(_decoded(url, comma + 1, JPEG_BYTES_MAX))
    return None


def _way(model: str) -> Tiles | Patches:
    for length in _LENGTHS:
        found = _MODELS.get(model[:length])
        if found is not None:
            return found
    return _NEW


def _tiles(size: Pixels) -> int:
    """Shrunk to fit a square of 2,048 pixels, then until the shorter side has 768; nothing is enlarged."""
    longest, shortest = max(size), min(size)
    if longest > TILED_LONGEST_PX:
        longest, shortest = TILED_LONGEST_PX, _rounded(shortest * TILED_LONGEST_PX, longest)
    if shortest > TILED_SHORTEST_PX:
        longest, shortest = _rounded(longest * TILED_SHORTEST_PX, shortest), TILED_SHORTEST_PX
    return max(1, -(-longest // TILE_PX)) * max(1, -(-shortest // TILE_PX))


def _patches(size: Pixels, most: int) -> int:
    """As they are if they are few enough; else shrunk until they are, and then until whole patches fit one side.

    In whole numbers: with floats a square would be priced as the next smaller one, or not, as they are rounded.
    """
    width, height = size
    across, down = -(-width // PATCH_PX), -(-height // PATCH_PX)
    if across * down <= most:
        return across * down
    across, down = math.isqrt(most * width // height), math.isqrt(most * height // width)
    if not (across and down):  # so long and thin that a side vanishes
        return most
    if across * height <= down * width:
        return min(most, across * -(-across * height // width))
    return min(most, -(-down * width // height) * down)


def _of_webp(head: bytes) -> Pixels | None:
    match head[12:16]:
        case b"VP8 ":
            return _size(_little(head[26:28]) & 0x3FFF, _little(head[28:30]) & 0x3FFF)
        case b"VP8L":
            bits = _little(head[21:25])
            return _size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        case b"VP8X":
            return _size(_little(head[24:27]) + 1, _little(head[27:30]) + 1)
        case _:
            return None


def _of_jpeg(data: bytes) -> Pixels | None:
    """From segment to segment, to the one that begins a frame."""
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        kind = data[place + 1]
        if 0xC0 <= kind <= 0xCF and kind not in {0xC4, 0xC8, 0xCC}:
            return _size(_big(data[place + 7 : place + 9]), _big(data[place + 5 : place + 7]))
        place += 2 + max(2, _big(data[place + 2 : place + 4]))
    return None


def _decoded(url: str, start: int, bytes_max: int) -> bytes:
    """The first bytes; what is no base64 is none."""
    text = url[start : start + -(-bytes_max // 3) * 4]
    try:
        return base64.b64decode(text[: len(text) // 4 * 4])[:bytes_max]
    except (ValueError, binascii.Error):
        return b""


def _size(width: int, height: int) -> Pixels | None:
    return Pixels(width, height) if width and height else None


def _rounded(value: int, by: int) -> int:
    return (2 * value + by) // (2 * by)


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")
