"""What a picture costs, against sizes and bills that people have shown; and that no text is too odd to be one."""

import base64
import struct

import pytest

from headrace.broker.core.pricing.images import JPEG_BYTES_MAX, Pixels, image_tokens, pixels

SQUARE = Pixels(1_024, 1_024)


def url(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"\x08\x02\0\0\0" + b"\0" * 40


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0" * 20


def jpeg(width: int, height: int, *, profile_bytes: int = 0, frame: int = 0xC0) -> bytes:
    profile = b"\xff\xe2" + struct.pack(">H", profile_bytes + 2) + b"\0" * profile_bytes if profile_bytes else b""
    tables = b"\xff\xdb\0\x43" + b"\0" * 65 + b"\xff\xc4\0\x04\0\0"
    begins = bytes((0xFF, frame)) + b"\0\x11\x08" + struct.pack(">HH", height, width) + b"\x03" + b"\0" * 9
    return b"\xff\xd8" + profile + tables + begins + b"\0" * 40


def webp(chunk: bytes) -> bytes:
    return b"RIFF\0\0\0\0WEBP" + chunk + b"\0" * 20


LOSSY = webp(b"VP8 \0\0\0\0\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 640 | 1 << 14, 480))
LOSSLESS = webp(b"VP8L\0\0\0\0\x2f" + struct.pack("<I", 639 | 479 << 14))
EXTENDED = webp(b"VP8X\0\0\0\0\0\0\0\0" + (639).to_bytes(3, "little") + (479).to_bytes(3, "little"))


@pytest.mark.parametrize(
    ("size", "tokens"),
    [
        (SQUARE, 765),
        (Pixels(2_048, 4_096), 1_105),
        (Pixels(1_800, 2_400), 765),
        (Pixels(128, 64), 255),
        (Pixels(2_049, 513), 1_445),
        (Pixels(2_050, 513), 765),
        (Pixels(1, 1_000_000), 85 + 4 * 170),
        (None, 85 + 8 * 170),
    ],
)
def test_a_picture_in_tiles_costs_what_bills_say(size: Pixels | None, tokens: int) -> None:
    """The last but two: bills of two pictures that differ by a pixel, where rounding decides."""
    assert image_tokens("gpt-4o-2024-08-06", "high", size) == tokens
    assert image_tokens("gpt-4.1", None, size) == tokens
    assert image_tokens("ft:gpt-4o:acme::1", "auto", size) == tokens


@pytest.mark.parametrize(
    ("model", "low", "high"),
    [("o3", 75, 225), ("gpt-4o-mini", 2_833, 8_500), ("gpt-4-turbo", 85, 255), ("gpt-5", 70, 210)],
)
def test_little_detail_costs_the_base_alone(model: str, low: int, high: int) -> None:
    assert image_tokens(model, "low", Pixels(128, 64)) == low
    assert image_tokens(model, "high", Pixels(128, 64)) == high
    assert image_tokens(model, "low", None) == low


@pytest.mark.parametrize(
    ("model", "size", "tokens"),
    [
        ("gpt-4.1-mini", SQUARE, 1_659),
        ("gpt-4.1-mini", Pixels(2_400, 1_800), 2_353),
        ("gpt-4.1-nano-2025-04-14", Pixels(128, 64), 20),
        ("gpt-5-mini", Pixels(4_000, 1_474), 1_739),
        ("gpt-5-nano", None, 2_304),
        ("gpt-5.4-mini", None, 3_000),
        ("o4-mini", Pixels(1, 1_000_000), 2_642),
    ],
)
def test_a_picture_in_patches_costs_a_multiple_of_them_up_to_a_bound(
    model: str, size: Pixels | None, tokens: int
) -> None:
    for detail in (None, "auto", "low", "high"):
        assert image_tokens(model, detail, size) == tokens


def test_every_large_square_costs_as_much() -> None:
    sides = [*range(1_601, 9_000), 125_312_321, 4_294_967_295]
    assert {image_tokens("gpt-5.4", None, Pixels(side, side)) for side in sides} == {3_000}


def test_newer_models_look_at_more_of_a_picture_if_they_are_asked_to() -> None:
    big = Pixels(6_400, 3_200)  # 20,000 patches
    told = {
        model: [image_tokens(model, detail, size) for detail in ("high", "auto", "original") for size in (big, None)]
        for model in ("gpt-5.5", "gpt-5.6-luna", "gpt-6-astra", "somebody's")
    }
    bounded, whole = 3_000, 12_000
    for model, tokens in told.items():
        few = [bounded * 97 // 100 < each <= bounded for each in tokens]
        newest = model in {"gpt-5.6-luna", "gpt-6-astra"}
        assert few == [True, True, not newest, not newest, False, False], model
        assert max(tokens) == whole


@pytest.mark.parametrize(
    "data", [png(640, 480), gif(640, 480), jpeg(640, 480), jpeg(640, 480, frame=0xC2), LOSSY, LOSSLESS, EXTENDED]
)
def test_a_picture_in_the_body_says_its_size(data: bytes) -> None:
    assert pixels(url(data)) == Pixels(640, 480)


def test_a_jpeg_says_its_size_behind_its_profile_unless_that_is_very_long() -> None:
    assert pixels(url(jpeg(640, 480, profile_bytes=60_000), "jpeg")) == Pixels(640, 480)
    segments = b"".join(jpeg(1, 1, profile_bytes=60_000)[2 : 60_000 + 6] for _ in range(1 + JPEG_BYTES_MAX // 60_000))
    assert pixels(url(b"\xff\xd8" + segments + jpeg(640, 480)[2:], "jpeg")) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://example.com/a.png",
        "data:text/plain;base64,iVBORw0KGgo=",
        "data:image/png;base64,",
        "data:image/png;base64,x",
        "data:image/png;base64,\ud83d\ud83d\ud83d\ud83d",
        "data:image/png",
        url(png(640, 480)[:20]),
        url(png(0, 480)),
        url(gif(640, 480)[:8]),
        url(LOSSY[:25]),
        url(webp(b"ALPH" + b"\0" * 30)),
        url(b"\xff\xd8"),
        url(b"\xff\xd8\xff\xc4\0\0" + b"\0" * 20),
        url(b"BM" + b"\0" * 60),
    ],
)
def test_of_anything_else_nobody_knows_the_size(text: str) -> None:
    assert pixels(text) is None
