"""Proof that the base URL has answered: given by an answer, kept in the ledger, and handed to the next leader.

A line of the ledger names the proved base URL by a digest. A process that is configured with another URL, or that reads
only lines of an older release, begins without proof; the first answer gives it. An older release ignores the field.
"""

import hashlib
from typing import Final

from headrace.broker.clock import WallClock
from headrace.broker.core.answers.base_url import Addressee
from headrace.broker.settings.urls import HttpUrl, UrlError
from headrace.schemas.ledger import LedgerRecord

MARK_CHARS: Final = 16
_SAID_AGAIN_PARTS: Final = 4
"""Times per dedupe window that a step carries the proof: a process that starts reads one window of the ledger."""


class Proof:
    """Proof of one dispatcher's base URL: a follower learns it from the ledger; a leader writes it again."""

    def __init__(self, addressee: Addressee, base_url: str, clock: WallClock, *, window_ms: int) -> None:
        """`window_ms` is how far back a start reads the ledger."""
        self._addressee = addressee
        self._mark = mark_of(base_url)
        self._clock = clock
        self._every_ms = window_ms // _SAID_AGAIN_PARTS
        self._said_ms: int | None = None

    @property
    def is_proved(self) -> bool:
        """Whether a call to the base URL has been answered."""
        return self._addressee.proved

    def observe(self, line: LedgerRecord) -> None:
        """Learn from a line of the ledger."""
        if line.proved == self._mark:
            self._addressee.proved = True

    def for_claim(self) -> str:
        """Return what a claim carries: the digest of the base URL once it has answered, else nothing."""
        return self._mark if self._addressee.proved else ""

    def for_step(self) -> str:
        """Return what a step carries: the same digest, four times per dedupe window; else nothing."""
        now_ms = self._clock.now_ms()
        if not self._addressee.proved or (self._said_ms is not None and now_ms - self._said_ms < self._every_ms):
            return ""
        self._said_ms = now_ms
        return self._mark


def mark_of(base_url: str) -> str:
    """Return sixteen hexadecimal digits for a URL without its login, which may change while the server does not."""
    try:
        url = HttpUrl.read(base_url)
        where = f"{url.scheme}://{url.address}{url.rest}".rstrip("/")
    except UrlError:
        where = base_url
    return hashlib.blake2b(where.encode(errors="replace"), digest_size=MARK_CHARS // 2).hexdigest()
