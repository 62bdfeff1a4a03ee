"""Following the ledger: every line told to the core, and who claimed what remembered.

A standby follows all the time, so that it needs milliseconds to know every answered id when it is promoted. A leader
does not read what it writes; after a fence it reads on from where it stopped, its own lines included, which changes
nothing.
"""

import asyncio
from collections import deque
from typing import assert_never

import structlog

from broker.clock import WallClock
from broker.core.suspects import Deaths
from broker.errors import LogUnavailable, ProgressUnreadable
from broker.ports import LedgerLog
from broker.service.driver import Driver
from broker.service.grants import Grants
from broker.service.ledger_codec import ledger_read
from broker.service.timekeeping import TOLERANCE_MS
from schemas.codec import LedgerUnreadable, decode_ledger
from schemas.ledger import LedgerKind, LedgerRecord

POLL_MS = 200
CLAIMS_REMEMBERED = 16
PROBE_WITHIN_S = 1.5
JUST_MS = 1_000

_log = structlog.get_logger("ledger")


class LedgerFollower:
    """The ledger, told to the core line by line.

    Attributes:
        claimed_at_ms: Kafka's wall time at our last claim.
        topic_ids: Of the topics, by name, whose progress is stored; a release that did not write them knows none.
    """

    def __init__(
        self, log: LedgerLog, driver: Driver, clock: WallClock, *, window_ms: int, grants: Grants | None = None
    ) -> None:
        """Nothing is read before `open`; `grants` hears every line."""
        self._grants = grants
        self._log = log
        self._driver = driver
        self._clock = clock
        self._window_ms = window_ms
        self._claims: deque[tuple[int, str]] = deque(maxlen=CLAIMS_REMEMBERED)
        self._expected: tuple[int, str] | None = None
        self._opened = False
        self._opened_from_ms = 0
        self._left_ms: int | None = None
        self.claimed_at_ms = 0
        self.deaths = Deaths()
        self.topic_ids: dict[str, str] = {}
        self.highest_term = 0
        self.lines = 0

    @property
    def is_empty(self) -> bool:
        """Whether no line was read at all."""
        return self.lines == 0

    @property
    def has_just_left(self) -> bool:
        """Whether the last line says that its leader leaves, and was read within a second."""
        return self._left_ms is not None and self._clock.now_ms() - self._left_ms < JUST_MS

    @property
    def last_claim(self) -> tuple[int, str] | None:
        """Term and owner of the last claim read."""
        return self._claims[-1] if self._claims else None

    def foreign_claim_from(self, term: int, owner: str) -> bool:
        """True if somebody else has claimed that term or a higher one."""
        return any(claimed >= term and claimant != owner for claimed, claimant in self._claims)

    def last_foreign(self, owner: str) -> str:
        """The owner of the last claim that was not ours."""
        return next((claimant for _, claimant in reversed(self._claims) if claimant != owner), "")

    async def reaches_kafka(self) -> bool:
        """Ask Kafka something it must answer; a consumer alone stays silent while its cluster is away."""
        try:
            async with asyncio.timeout(PROBE_WITHIN_S):
                await self._log.at_end()
        except (TimeoutError, LogUnavailable):
            return False
        return True

    async def open(self) -> None:
        """Start reading where the dedupe window begins; does nothing the second time."""
        if not self._opened:
            await self._open_from(self._clock.utc_ms() - self._window_ms)

    async def reach_back(self, utc_ms: int) -> None:
        """Begin anew if the window was begun too late for a wall time that is earlier than ours was taken to be."""
        if self._opened and self._opened_from_ms > utc_ms - self._window_ms + TOLERANCE_MS:
            await self.close()
            await self._open_from(utc_ms - self._window_ms)

    async def _open_from(self, utc_ms: int) -> None:
        await self._log.open(utc_ms)
        self._opened, self._opened_from_ms = True, utc_ms
        self.deaths = Deaths()  # what is read again must not count twice

    async def follow(self, timeout_ms: int = POLL_MS) -> int:
        """Read what is there, or wait a moment for it; how many lines came."""
        rows = await self._log.read(timeout_ms)
        for row in rows:
            self._tell(row.at_ms, row.value)
        return len(rows)

    async def catch_up(self) -> None:
        """Read to the last committed line.

        Raises:
            LogUnavailable: Kafka does not answer.
        """
        await self.open()
        while await self.follow(0) or not await self._log.at_end():
            await self.follow(POLL_MS)

    def expect(self, term: int, owner: str) -> None:
        """A claim of ours is about to be committed; `read_to_claim` waits for this one, not for an older one."""
        self._expected = (term, owner)

    async def read_to_claim(self, within_ms: int) -> None:
        """Read up to the claim that was expected.

        Raises:
            LogUnavailable: It did not come in time, although it was committed.
        """
        until_ms = self._clock.now_ms() + within_ms
        while self._expected is not None:
            if self._clock.now_ms() > until_ms:
                raise LogUnavailable("Our own claim does not come back from the ledger; is a node without its quorum?")
            await self.follow()

    def _tell(self, at_ms: int, value: bytes) -> None:
        try:
            line = decode_ledger(value)
        except LedgerUnreadable as error:
            raise ProgressUnreadable(
                f"The ledger holds a line this release cannot read ({error}); run the release that wrote it."
            ) from error
        self.lines += 1
        self._left_ms = self._clock.now_ms() if line.kind is LedgerKind.LEFT else None
        self.highest_term = max(self.highest_term, line.term)
        if line.kind is LedgerKind.CLAIM or self.last_claim != (line.term, line.owner):
            self._claims.append((line.term, line.owner))  # a claim older than the window shows in its term's steps
        if line.kind is LedgerKind.CLAIM and self._expected == (line.term, line.owner):
            self._expected = None
            self.claimed_at_ms = at_ms
        if self._grants is not None:
            self._grants.heard(line)
        self._bear_in_mind(line, at_ms)
        self._driver.post(ledger_read(line, at_ms))

    def _bear_in_mind(self, line: LedgerRecord, at_ms: int) -> None:
        match line.kind:
            case LedgerKind.CLAIM:
                self.topic_ids = dict(line.topics)
                self.deaths.claimed(line.owner, line.suspects, at_ms)
            case LedgerKind.STEP:
                self.topic_ids |= line.topics
                self.deaths.stepped(line.owner, line.suspects, at_ms)
            case LedgerKind.LEFT:
                self.deaths.left()
            case _:
                assert_never(line.kind)

    async def close(self) -> None:
        """Close the door."""
        self._opened = False
        await self._log.close()
