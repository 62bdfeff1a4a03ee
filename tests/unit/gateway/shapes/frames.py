"""Frames of server-sent events, read as a client reads them."""

import json
from datetime import UTC, datetime
from typing import Any

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)


def events_of(frames: list[bytes]) -> list[tuple[str | None, Any]]:
    """Return the name and data of each event; the last of a chat completion is no JSON and left out."""
    told: list[tuple[str | None, Any]] = []
    for frame in frames:
        assert frame.endswith(b"\n\n")
        lines = frame.decode().removesuffix("\n\n").split("\n")
        name = lines.pop(0).removeprefix("event: ") if len(lines) == 2 else None
        (line,) = lines
        assert line.startswith("data: ")
        if line != "data: [DONE]":
            told.append((name, json.loads(line.removeprefix("data: "))))
    return told


def data_of(frames: list[bytes]) -> list[Any]:
    return [data for _, data in events_of(frames)]
