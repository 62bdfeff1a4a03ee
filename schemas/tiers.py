"""The service tier that a request asks for, and the one that served its answer, as one word.

A producer writes `service_tier` into the body, OpenAI into the answer; the two may differ, as when a call at `priority`
is served at `default`. The words are OpenAI's or another server's and are not checked: a server refuses those that it
does not know. As a label, a word has at most 32 characters.
"""

import re
from collections.abc import Mapping
from typing import Final

FIELD: Final = "service_tier"
KNOWN: Final = ("auto", "default", "fast", "flex", "priority", "scale", "ultrafast")
"""OpenAI's tiers, as of November 2026."""
MALFORMED: Final = "(malformed)"
"""Label of a value that is no valid name of a tier; the server decides what becomes of the request."""
UNNAMED: Final = "(none named)"
"""Name, for people, of the tier of requests that name none."""
_WORD: Final = re.compile(r"[A-Za-z0-9_.-]{1,32}")


def tier_in(body: Mapping[str, object]) -> str:
    """Return the tier that the body of a request or of an answer names; empty if it names none."""
    named = body.get(FIELD)
    if named is None:
        return ""
    return named if isinstance(named, str) and _WORD.fullmatch(named) else MALFORMED
