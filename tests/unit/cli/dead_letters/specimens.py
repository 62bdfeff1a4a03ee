"""Dead letters as a reader finds them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from headrace.consumers.dead_letters import Found
from headrace.schemas.dead_letter import DeadLetter, Origin

AT = datetime(2026, 12, 1, 9, tzinfo=UTC)
PROMPT, NOTE = "confidential-prompt", "confidential-note"


def request(**fields: Any) -> bytes:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": PROMPT}]}
    return json.dumps({"id": "lead-1", "tenant": "acme", "body": body, "metadata": {"note": NOTE}} | fields).encode()


def found(value: bytes | None, *, headers: Sequence[tuple[str, bytes]] = (), **fields: Any) -> Found:
    told: dict[str, Any] = {
        "key": b"acme",
        "reason": "rejected",
        "origin": Origin("generation.requests.bulk", 3, 12),
        "attempts": 2,
        "run": 0,
        "failed_at": AT,
    }
    letter = DeadLetter(value=value, headers=tuple(headers), **(told | fields))
    return Found(Origin("generation.dead-letters", 0, 7), AT, letter)
