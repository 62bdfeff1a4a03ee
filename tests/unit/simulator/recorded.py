"""Answers that public repositories recorded from OpenAI (`data/`), read for the tests beside it."""

import json
from pathlib import Path
from typing import Any

_DATA = Path(__file__).parent / "data"


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (_DATA / name).read_text(encoding="utf-8").splitlines()]


REFUSALS = rows("recorded_429s.jsonl")
HEADERS = rows("recorded_headers.jsonl")
