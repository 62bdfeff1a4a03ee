"""Ledger follower: passes every line to the core, and remembers the claims.

A standby follows all the time, so that it needs milliseconds to know every answered id when it is promoted. A leader
does not read what it writes. Each of its commits that returned gives the offset of its line (`record_step`), and in
doubt it reads on behind the last of them: no line of another process can precede a line that our own producer
committed, since a fenced producer commits nothing more. So a doubt costs the same after a minute and after a month, and
needs no line that retention may have removed. Where the next line is gone all the same (a standby that was stopped for
a day), the follower opens anew as at its start (`headrace.broker.service.leadership.ledger_reach`), which reports
nothing that may not be reported twice.
"""

from collections import deque
from typing import assert_never

import structlog

from headrace.broker.clock import WallClock
from headrace.broker.core.progress.poison_records import CrashHistory
from headrace.broker.errors import LogUnavailable, PositionGone, ProgressUnreadable
from headrace.broker.ports import Coordinators, LedgerLog, LedgerRow, LedgerStart
from headrace.broker.service.calls.base_url_proof import Proof
from headrace.broker.service.driver import Driver
from headrace.broker.service.intake.grants import Grants
from headrace.broker.service.leadership.clock_check import TOLERANCE_MS
from headrace.broker.service.leadership.ledger_reach import LedgerReach
from headrace.broker.service.preflight.probe import answers
from headrace.broker.service.publishing.ledger_lines import ledger_read
from headrace.broker.service.publishing.outcome_counts import OutcomeCounts
from headrace.schemas.ledger import LedgerKind, LedgerRecord, LedgerUnreadable, decode_ledger

POLL_MS = 200
CLAIMS_REMEMBERED = 16
JUST_MS = 1_000

_log = structlog.get_logger("ledger")


class LedgerFollower:
    """Follower of the ledger, which passes it to the core line by line.

    Attributes:
        claimed_at_ms: Kafka's wall time at our last claim.
        topic_ids: Of the topics, by name, whose progress is stored; a release that did not write them knows none.
        stepped_at_ms: Wall time of the last step that was read or written: until about then all progress was stored. A
            claim proves no such thing: a process that refuses to start may have made it.
        deaths: Terms that died, according to all lines, our own included.
        outcome_counts: Outcomes of all leaders, according to the last line.
        lines: Number of lines read.
        reached_ms: When a line was last read.
        made_anew: The topic was deleted and recreated while we knew the former one: its lines are in our memory alone.
    """

    def __init__(  # noqa: PLR0913 — three keyword-only, made in one place
        self,
        log: LedgerLog,
        coordinators: Coordinators,
        driver: Driver,
        clock: WallClock,
        *,
        window_ms: int,
        grants: Grants,
        proof: Proof,
    ) -> None:
        """Nothing is read before `open`; `grants` and `proof` receive every line."""
        self._grants = grants
        self._proof = proof
        self._log = log
        self._coordinators = coordinators
        self._driver = driver
        self._clock = clock
        self._window_ms = window_ms
        self._reach = LedgerReach(window_ms)
        self._claims: deque[tuple[int, str]] = deque(maxlen=CLAIMS_REMEMBERED)
        self._expected: tuple[int, str, int] | None = None
        self._next: int | None = None  # the offset behind the last line read, or written by us
        self._skips = False
        self._opened = False
        self._opened_from_ms = 0
        self._is_former = False  # the position to read on from is one in a former topic
        self._left_ms: int | None = None
        self._topic_id: str | None = None
        self.made_anew = False
        self.claimed_at_ms = self.stepped_at_ms = 0
        self.deaths = CrashHistory()
        self.outcome_counts = OutcomeCounts()
        self.topic_ids: dict[str, str] = {}
        self.highest_term = 0
        self.lines = 0
        self.reached_ms = 0

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
        """Whether another process has claimed that term or a higher one."""
        return any(claimed >= term and claimant != owner for claimed, claimant in self._claims)

    def last_foreign(self, owner: str) -> str:
        """Return the owner of the last claim that was not ours."""
        return next((claimant for _, claimant in reversed(self._claims) if claimant != owner), "")

    async def reaches_kafka(self) -> bool:
        """Whether this process could lead now: a producer could be started, and offsets and the ledger be read.

        A consumer alone stays silent while its cluster is away, so each is asked something that must be answered.
        """
        return await answers(self._look)

    async def _look(self) -> None:
        if self._opened:
            await self._log.at_end()
            self._recognise()
        await self._coordinators.check()

    async def open(self) -> None:
        """Start reading a dedupe window before the last line, or where reading stopped; no effect if it is open."""
        if not self._opened and self._next is None:
            await self._open_back(self._clock.utc_ms())
        elif not self._opened:
            start = await self._log.open(self._clock.utc_ms())
            self._opened = self._skips = True
            self._recognise(start)

    async def reach_back(self, utc_ms: int) -> None:
        """Begin anew if the window was begun too late for a wall time that is earlier than ours was taken to be."""
        if self._opened and self._opened_from_ms > utc_ms - self._window_ms + TOLERANCE_MS:
            await self._open_back(utc_ms)

    async def _open_back(self, utc_ms: int) -> None:
        """Read anew, from a window before the last line, or before that wall time if it is earlier."""
        if self._opened:
            self._opened = False
            await self._log.close()
        back_ms = self._reach.back_ms
        start = await self._log.open(utc_ms - back_ms, before_last_ms=back_ms)
        self._recognise(start)
        self._is_former = False
        self._reach.begin(start)
        self._opened, self._opened_from_ms = True, start.from_ms
        self._next, self._skips = None, False
        self.deaths = CrashHistory()  # what is read again must not count twice

    def _recognise(self, start: LedgerStart | None = None) -> None:
        """Check that the topic is the known one.

        Where Kafka gives no ids, one that ends before our position is another.
        """
        topic_id = self._log.topic_id
        known, self._topic_id = self._topic_id, topic_id or self._topic_id
        if topic_id is None:
            is_another = start is not None and self._next is not None and start.end < self._next
        else:
            is_another = known not in {None, topic_id}
        if is_another:
            self._found_anew()

    def _found_anew(self) -> None:
        self.made_anew = self._is_former = True
        _log.error("ledger_made_anew", lines_known=self.lines)

    async def follow(self, timeout_ms: int = POLL_MS) -> int:
        """Read the available lines, or wait a moment for one; return the number of lines read.

        Where retention has removed what comes next, everything is read anew instead.
        """
        try:
            return await self._read_on(timeout_ms)
        except PositionGone as error:
            _log.warning("ledger_opened_anew", offset=self._next, reason=str(error))
        await self._open_back(self._clock.utc_ms())
        await self.catch_up()
        return 1

    async def _read_on(self, timeout_ms: int) -> int:
        self._skip()
        rows = await self._log.read(timeout_ms)
        for row in rows:
            self._pass_on(row)
            self._next = row.offset + 1
        if rows:
            self.reached_ms = self._clock.now_ms()
        return len(rows)

    def _skip(self) -> None:
        """Seek to where reading is to continue. Not at each commit: each seek makes the client fetch from there."""
        if self._is_former:
            raise PositionGone("The ledger was deleted and recreated: it is read from its beginning.")
        if self._skips and self._next is not None:
            self._log.seek(self._next)
        self._skips = False

    def record_step(self, offset: int, line: LedgerRecord) -> None:
        """Note that a step of our own term is committed at that offset (-1: unknown).

        Neither it nor any line before it need be read: its content is remembered as if it had been. The core knows
        already what it says of requests.
        """
        self._remember(line, self._clock.utc_ms())
        self.outcome_counts.observe(line)
        if 0 <= offset < (self._next or 0):
            self._found_anew()
        if offset >= 0:
            self._next, self._skips = offset + 1, True

    async def catch_up(self) -> None:
        """Read to the last committed line.

        Raises:
            LogUnavailable: Kafka does not answer.
        """
        await self.open()
        if self._is_former:
            await self._open_back(self._clock.utc_ms())
        self._skip()
        while True:
            while not await self._log.at_end():
                await self.follow(POLL_MS)
            if not self._reach.falls_short():
                return
            await self._open_back(self._clock.utc_ms())

    def expect(self, term: int, owner: str, offset: int = -1) -> None:
        """Note that a claim of ours is committed at that offset (-1: unknown); `read_to_claim` accepts no older one."""
        self._expected = (term, owner, offset)

    async def read_to_claim(self, within_ms: int) -> None:
        """Read up to the expected claim.

        Raises:
            LogUnavailable: It did not come in time, although it was committed.
        """
        until_ms = self._clock.now_ms() + within_ms
        while self._expected is not None:
            if self._clock.now_ms() > until_ms:
                raise LogUnavailable(
                    "Our own claim cannot be read back from the ledger: check whether a Kafka "
                    "node is cut off from the others."
                )
            await self.follow()

    def _pass_on(self, row: LedgerRow) -> None:
        try:
            line = decode_ledger(row.value)
        except LedgerUnreadable as error:
            raise ProgressUnreadable(
                f"The ledger holds a line this release cannot read ({error}); run the release that wrote it."
            ) from error
        self.lines += 1
        self._reach.record_line(row.at_ms)
        self._left_ms = self._clock.now_ms() if line.kind is LedgerKind.LEFT else None
        self.highest_term = max(self.highest_term, line.term)
        if self.last_claim != (line.term, line.owner):
            self._claims.append((line.term, line.owner))  # a claim older than the window shows in its term's steps
        if line.kind is LedgerKind.CLAIM and self._is_expected(line, row.offset):
            self._expected = None
            self.claimed_at_ms = row.at_ms
        self._grants.observe(line)
        self.outcome_counts.observe(line)
        self._proof.observe(line)
        self._remember(line, row.at_ms)
        self._driver.post(ledger_read(line, row.at_ms))

    def _is_expected(self, line: LedgerRecord, offset: int) -> bool:
        if self._expected is None:
            return False
        term, owner, from_offset = self._expected
        return (line.term, line.owner) == (term, owner) and offset >= from_offset

    def _remember(self, line: LedgerRecord, at_ms: int) -> None:
        match line.kind:
            case LedgerKind.CLAIM:
                self.topic_ids = dict(line.topics)
                self.deaths.record_claim(line.owner, line.suspects, at_ms)
            case LedgerKind.STEP:
                self.stepped_at_ms = max(self.stepped_at_ms, at_ms)
                self.topic_ids |= line.topics
                self.deaths.record_step(line.owner, line.suspects, at_ms)
            case LedgerKind.LEFT:
                self.deaths.record_leave()
            case _:
                assert_never(line.kind)

    async def close(self) -> None:
        """Close the doors; `open` continues where reading stopped."""
        self._opened = False
        await self._log.close()
        await self._coordinators.close()
