"""The page's file, and the policy that admits just what is in it: its style, its script, and this server.

Both are named in the policy by their hashes, so that no other style or script runs, whatever a name on the page holds.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

_INLINE: Final = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)
_ALWAYS: Final = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; img-src data:; connect-src 'self'"


@dataclass(frozen=True, slots=True)
class Asset:
    """An HTML file and its content security policy."""

    html: str
    policy: str


@cache
def asset(name: str) -> Asset:
    """Return one of the HTML files of this package, by its name."""
    html = resources.files("headrace.broker.service.page").joinpath(name).read_text(encoding="utf-8")
    hashes: dict[str, list[str]] = {"style": [], "script": []}
    for kind, text in _INLINE.findall(html):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        hashes[kind].append(f"'sha256-{digest}'")
    inline = "; ".join(f"{kind}-src {' '.join(of)}" for kind, of in hashes.items() if of)
    return Asset(html, f"default-src 'none'; {inline}; {_ALWAYS}")
