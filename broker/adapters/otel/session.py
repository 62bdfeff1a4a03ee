"""HTTP session of the exporter that reads a bounded part of each answer: a collector may send anything, and forever.

It follows no redirect: spans, and the headers that are meant for the collector, go to no host that a collector names.
The exporter takes any answer below 400 for a success, so a redirect raises.
"""

import time
from collections.abc import Iterator
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter

ANSWER_BYTES_MAX: Final = 64 * 1024
ANSWER_WITHIN_S: Final = 5.0
_PIECE_BYTES: Final = 4_096
_REDIRECTS_FROM, _REDIRECTS_TO = 300, 400


class _BoundedBody:
    """Body of an answer that ends at a bound of bytes or of time; what follows is not read."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def stream(self, amount: int, decode_content: bool | None = None) -> Iterator[bytes]:  # noqa: FBT001 — as urllib3's
        """Yield pieces as they are sent: unpacked, a few bytes could become gigabytes."""
        ends_at, left = time.monotonic() + ANSWER_WITHIN_S, ANSWER_BYTES_MAX
        while left > 0 and time.monotonic() < ends_at:
            piece = self._raw.read1(_PIECE_BYTES, decode_content=False)
            if not piece:
                return
            left -= len(piece)
            yield piece
        self._raw.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


class _BoundedAdapter(HTTPAdapter):
    """Transport whose answers have a `_BoundedBody`."""

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """See `HTTPAdapter.build_response`."""
        if _REDIRECTS_FROM <= resp.status < _REDIRECTS_TO:
            resp.close()
            raise requests.TooManyRedirects(f"The collector redirects (HTTP {resp.status}), which is not followed.")
        built = super().build_response(req, resp)
        built.raw = _BoundedBody(resp)
        return built


def bounded_session() -> requests.Session:
    """Return a session for one exporter."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _BoundedAdapter(pool_connections=1, pool_maxsize=1))
    return session
