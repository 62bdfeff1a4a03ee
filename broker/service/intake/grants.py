"""Trust in run numbers: a header that any producer can write must not take the place of a replay.

A forged `headrace-run: 7` on an unknown id was answered as run 7, and the true request, run 0, was then finished
without an outcome. So a run above 0 is believed only if one of these holds:

- the record carries a *grant*: the dispatcher writes one into each dead letter for the next run of its id, and a replay
  passes it on. It is an HMAC under a key of the prefix that is kept in the ledger, which producers cannot read;
- the index knows the run before it: then the record is what a replay would be, and the dedupe table judges it;
- dead letters without a grant may still exist: an older release has written them, or the key was lost with the ledger.
  They last for their topic's retention time, so until the last of them has expired every run is believed.

Any other record is a first submission: its run is ignored, and counted in the log once a minute.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import structlog

from headrace.broker.clock import WallClock
from headrace.broker.errors import MissingTopic
from headrace.broker.ports import LaneLog
from headrace.schemas.headers import GRANT
from headrace.schemas.ids import id_hash
from headrace.schemas.ledger import LedgerKind, LedgerRecord
from headrace.schemas.record import Headers

KEY_BYTES: Final = 32
SAID_EVERY_MS: Final = 60_000
SAID_AGAIN_PARTS: Final = 4
"""A leader writes the key to the ledger this many times per dedupe window, since a start reads no further back."""

_log = structlog.get_logger("grants")


class GrantKey(NamedTuple):
    """Key of a prefix, in base64, and the time (s) since which every dead letter has a grant; 0: always."""

    key: str
    since_s: int


NO_KEY: Final = GrantKey("", 0)


@dataclass(eq=False)
class Grants:
    """Grant keeper of one dispatcher: a follower learns the key from the ledger; a leader writes it there again.

    Nothing is believed or granted before a key is known.

    Attributes:
        letters: The topic of dead letters; only its bounds are read, never its records.
        clock: The wall clock.
        retention_ms: Retention time of a dead letter.
        window_ms: How far back a start reads the ledger.
        secret: Random bytes, as many as asked for.
        knows: Whether the index knows a run of that id (its hash), or a later one.
    """

    letters: LaneLog
    clock: WallClock
    retention_ms: int
    window_ms: int
    secret: Callable[[int], bytes]
    knows: Callable[[bytes, int], bool]
    _key: GrantKey | None = field(default=None, init=False)
    _older_led: bool = field(default=False, init=False)
    _said_ms: int | None = field(default=None, init=False)
    _ignored: int = field(default=0, init=False)
    _speak_at_ms: int = field(default=0, init=False)

    def observe(self, line: LedgerRecord) -> None:
        """Learn from a ledger line. A claim without a key is an older release's: its dead letters have no grants."""
        if line.key:
            self._key = GrantKey(line.key, line.key_since_s)
            self._older_led = False
        elif line.kind is LedgerKind.CLAIM:
            self._older_led = True

    async def for_claim(self) -> GrantKey:
        """Return the key that a claim carries; a new one where none is known.

        Raises:
            LogUnavailable: Kafka does not answer.
        """
        known, now_s = self._key, -(-self.clock.utc_ms() // 1_000)
        if known is None:
            since_s = now_s if await self._are_there_letters() else 0
            return GrantKey(base64.b64encode(self.secret(KEY_BYTES)).decode(), since_s)
        return known._replace(since_s=now_s) if self._older_led else known

    async def _are_there_letters(self) -> bool:
        try:
            bounds = await self.letters.bounds(await self.letters.partitions())
        except MissingTopic:
            return True
        return any(end for _, end in bounds.values())

    def for_step(self) -> GrantKey:
        """Return the key when it is due to be written again with a step, else `NO_KEY`."""
        now_ms = self.clock.now_ms()
        if self._said_ms is not None and now_ms - self._said_ms < self.window_ms // SAID_AGAIN_PARTS:
            return NO_KEY
        self._said_ms = now_ms
        return self._key or NO_KEY

    def grant(self, request_id: str, run: int) -> str | None:
        """Return the grant that lets that run of the id be believed; None before a key is known."""
        if self._key is None:
            return None
        said = f"{run} {request_id}".encode()
        return hmac.new(base64.b64decode(self._key.key), said, hashlib.sha256).hexdigest()

    def believes(self, request_id: str | None, run: int, headers: Headers) -> bool:
        """Whether a record that names that run of the id is trusted to be it."""
        if run == 0 or request_id is None:
            return True
        granted = self.grant(request_id, run)
        given = (dict(headers).get(GRANT) or b"").decode(errors="replace")
        if granted is not None and hmac.compare_digest(given.encode(), granted.encode()):
            return True
        if self.knows(id_hash(request_id), run - 1) or self._may_be_without():
            return True
        self._ignore()
        return False

    def _may_be_without(self) -> bool:
        """Whether a dead letter without a grant may still exist."""
        return self._key is not None and self.clock.utc_ms() < self._key.since_s * 1_000 + self.retention_ms

    def _ignore(self) -> None:
        self._ignored += 1
        now_ms = self.clock.now_ms()
        if now_ms >= self._speak_at_ms:
            _log.warning("run_not_believed", records=self._ignored)
            self._ignored, self._speak_at_ms = 0, now_ms + SAID_EVERY_MS
