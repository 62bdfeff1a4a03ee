"""Input tokens of an image in a prompt, as documented and as bills show them (facts/openai.md §7).

Older models divide an image into *tiles* of 512 pixels, newer ones into *patches* of 32. The first bytes of an image
tell its size if it comes as base64. One that must be fetched first may be of any size, and is priced as the largest
that the model looks at. Nothing here decodes an image, and no text raises an error.
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
HEAD_BYTES: Final = 32  # contains the size in every format but JPEG
JPEG_BYTES_MAX: Final = 256 * 1024  # a JPEG states its size after its profiles and previews


class Tiles(NamedTuple):
    """Tokens of every image, and of each of its tiles."""

    base: int
    each: int


class Patches(NamedTuple):
    """The most patches of an image under `high`, `auto` and `original`, and the tokens of a hundred patches."""

    high: int
    auto: int
    original: int
    per_hundred: int


class Pixels(NamedTuple):
    """The size of an image."""

    width: int
    height: int


_NEW: Final = Patches(2_500, 2_500, 10_000, 120)
_NEWEST: Final = Patches(2_500, 10_000, 10_000, 120)  # `auto` has no bound there; nothing above this is documented
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
"""By prefix of the model's name; the longest that matches counts, and an unknown model is taken for a new one."""

_LENGTHS: Final = tuple(sorted({len(name) for name in _MODELS}, reverse=True))


def image_tokens(model: str, detail: str | None, size: Pixels | None) -> int:
    """Return the input tokens of one image; `size` None: it is unknown, and the largest is assumed."""
    law = _law_of(model.removeprefix("ft:"))
    if isinstance(law, Tiles):
        return law.base if detail == "low" else law.base + law.each * (TILES_MAX if size is None else _tiles(size))
    limit = {"high": law.high, "low": law.high, "original": law.original}.get(detail or "auto", law.auto)
    patches = limit if size is None else _patches(size, limit)
    return -(-patches * law.per_hundred // 100)


def pixels(url: str) -> Pixels | None:
    """Return the size of an image that comes as a `data:` URL; None for other URLs and formats OpenAI does not read."""
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


def _law_of(model: str) -> Tiles | Patches:
    for length in _LENGTHS:
        law = _MODELS.get(model[:length])
        if law is not None:
            return law
    return _NEW


def _tiles(size: Pixels) -> int:
    """Return the tiles of an image.

    It is shrunk to fit a square of 2,048 pixels, then to a shorter side of 768; nothing is enlarged.
    """
    longest, shortest = max(size), min(size)
    if longest > TILED_LONGEST_PX:
        longest, shortest = TILED_LONGEST_PX, _rounded(shortest * TILED_LONGEST_PX, longest)
    if shortest > TILED_SHORTEST_PX:
        longest, shortest = _rounded(longest * TILED_SHORTEST_PX, shortest), TILED_SHORTEST_PX
    return max(1, -(-longest // TILE_PX)) * max(1, -(-shortest // TILE_PX))


def _patches(size: Pixels, limit: int) -> int:
    """Return the patches of an image.

    If they are too many, the image is shrunk until they are few enough, and then until whole patches fit one side.
    Computed in whole numbers: with floats, rounding would decide whether a square is priced as the next smaller one.
    """
    width, height = size
    across, down = -(-width // PATCH_PX), -(-height // PATCH_PX)
    if across * down <= limit:
        return across * down
    across, down = math.isqrt(limit * width // height), math.isqrt(limit * height // width)
    if not (across and down):  # so long and thin that one side shrinks to 0
        return limit
    if across * height <= down * width:
        return min(limit, across * -(-across * height // width))
    return min(limit, -(-down * width // height) * down)


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
    """Return the size of a JPEG: follow its segments to the one that begins a frame."""
    index = 2
    while index + 9 <= len(data) and data[index] == 0xFF:
        kind = data[index + 1]
        if 0xC0 <= kind <= 0xCF and kind not in {0xC4, 0xC8, 0xCC}:
            return _size(_big(data[index + 7 : index + 9]), _big(data[index + 5 : index + 7]))
        index += 2 + max(2, _big(data[index + 2 : index + 4]))
    return None


def _decoded(url: str, start: int, bytes_max: int) -> bytes:
    """Return the first bytes; none for text that is not base64."""
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
