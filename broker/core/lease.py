"""Lease arithmetic: how long a leader may trust its lead, when a standby may take over, and what a fence means.

Redis elects, Kafka fences, the ledger numbers (PROTOCOL 2 and 3). This module asks none of them: their answers come in
with the instant to which they apply; instants and decisions go out.

Rules:
- Trust counts from the *sending* of the request that proved it. A late answer says nothing about the time since.
- A request sent before a revocation never restores trust, and no transaction does: only a renewal sent later.
- An absent key proves the leader's death only if it was released, or if Redis has answered us for as long as a living
  leader may need to set it again (holes 16 and 71). Until then Redis may have lost the key, or have been unreachable
  for every client.
- A fence is a question, never an answer: our own time-out looks the same (holes 9). Without the lease no process starts
  a producer, with one exception: the last claimant, while Redis is silent (`after_fence`). So two candidates can never
  fence each other.

All instants are whole milliseconds of one clock that keeps running in suspend.
"""

from collections import deque
from enum import Enum
from typing import Final

from headrace.broker.core.config import LeaseTimes

RELEASED: Final = "released"  # the value of a lease key that its holder gave back; it has no expiry


FOREIGN_CLAIMS_MAX: Final = 2
FOREIGN_CLAIMS_WITHIN_MS: Final = 60_000


class Trust:
    """Trust window of this process, which may lead until its lease or its last proof ends, whichever is later."""

    def __init__(self, times: LeaseTimes) -> None:
        self._times = times
        self._until_ms = 0
        self._revoked_ms: int | None = None
        self.needs_proof = False  # Redis does not answer: only a leader that keeps proving it may set its key again

    def extend_by_renewal(self, sent_at_ms: int | None) -> None:
        """Extend trust by a renewal that Redis confirmed, sent at that instant; None: the last one was not answered."""
        if sent_at_ms is None:
            self.needs_proof = self._revoked_ms is None
            return
        if self._revoked_ms is not None and sent_at_ms <= self._revoked_ms:
            return
        self._revoked_ms = None
        self.needs_proof = False
        self._until_ms = max(self._until_ms, sent_at_ms + self._times.ttl_ms - self._times.margin_ms)

    def extend_by_commit(self, begun_at_ms: int) -> None:
        """Extend trust by a transaction begun at that instant that reached Kafka and was committed."""
        if self._revoked_ms is None:
            self._until_ms = max(self._until_ms, begun_at_ms + self._times.proof_ms)

    def revoke(self, now_ms: int) -> None:
        """End trust, as another holder was seen; the commits that wind up the term do not restore it.

        A producer's error revokes nothing. It is a question, and while it is open the dispatcher admits nothing anyway.
        """
        self._until_ms = 0
        self._revoked_ms = now_ms
        self.needs_proof = False

    def until(self) -> int:
        """Return the instant at which trust ends; 0 when there is none."""
        return self._until_ms

    def holds(self, now_ms: int) -> bool:
        """Whether a call may start now."""
        return now_ms < self._until_ms


class Candidacy:
    """A standby's view of the lease key.

    | the key is                          | take it                                                       |
    |-------------------------------------|---------------------------------------------------------------|
    | held                                | never; keep looking                                           |
    | released                            | now                                                           |
    | absent, past its last seen expiry   | now                                                           |
    | absent, before its last seen expiry | at that expiry + the silence that a renewal may hide in       |
    | absent, last seen released          | at that look + ttl + the silence that a take may hide in      |
    | absent and never seen               | at the start + ttl + that silence; now if the ledger is empty |

    Unless the key was released there is a second condition: Redis has answered every look for `reclaim_ms` without
    showing a renewal by the holder. Failed looks, or looks too far apart, may mean that Redis was unreachable for every
    client, and a key that vanishes before its expiry may mean that Redis was emptied; the time then starts again. A
    released key has no expiry: if it vanishes, another process may have taken it just before Redis was emptied.
    """

    def __init__(self, times: LeaseTimes, *, started_ms: int, ledger_empty: bool) -> None:
        self._times = times
        self._heard_ms = started_ms
        self._unseen_take_at_ms = started_ms if ledger_empty else started_ms + times.ttl_ms + times.silence_ms
        self._expires_ms: int | None = None
        self._take_at_ms: int | None = None
        self._missed = False
        self._was_released = False
        self._idle_since_ms = started_ms - times.reclaim_ms if ledger_empty else started_ms

    def record_silence(self) -> None:
        """Note that a look was not answered."""
        self._missed = True

    def record_look(self, value: str | None, pttl_ms: int | None, now_ms: int) -> None:
        """Note the answer to a look at the key, received at `now_ms`.

        `value` is None if the key is absent, `pttl_ms` is None if it has no expiry.
        """
        if self._missed or now_ms - self._heard_ms > self._times.silence_ms:
            self._idle_since_ms = now_ms
        self._heard_ms, self._missed = now_ms, False
        was_released, self._was_released = self._was_released, value == RELEASED
        if value == RELEASED:
            self._expires_ms = now_ms + self._times.ttl_ms  # for a process that takes it right after this look
            self._take_at_ms = now_ms
        elif value is not None:
            self._expires_ms = now_ms + (self._times.ttl_ms if pttl_ms is None else pttl_ms)
            self._take_at_ms = None
        else:
            if self._take_at_ms is None or was_released:
                self._take_at_ms = self._free_from_ms(now_ms)
            self._take_at_ms = max(self._take_at_ms, self._idle_since_ms + self._times.reclaim_ms)

    def may_take_at(self, now_ms: int) -> int | None:
        """Return from when on the key may be taken. None: it is held, or the last look is too old to say."""
        return self._take_at_ms if now_ms - self._heard_ms <= self._times.silence_ms else None

    def _free_from_ms(self, now_ms: int) -> int:
        """Return from when on no process can trust this key, which was found absent, any more."""
        if self._expires_ms is None:
            return self._unseen_take_at_ms
        if self._expires_ms <= now_ms:
            return now_ms
        self._idle_since_ms = now_ms
        return self._expires_ms + self._times.silence_ms


class ForeignClaims:
    """Claims of others while our own lease is valid: three within a minute mean two Redis on one Kafka (holes 12)."""

    def __init__(self) -> None:
        self._recent: deque[tuple[int, str]] = deque(maxlen=FOREIGN_CLAIMS_MAX + 1)

    def record(self, owner: str, now_ms: int) -> bool:
        """Note a foreign claim under a valid own lease. True: leave, and name the `owners`."""
        self._recent.append((now_ms, owner))
        first_ms, _ = self._recent[0]
        return len(self._recent) > FOREIGN_CLAIMS_MAX and now_ms - first_ms <= FOREIGN_CLAIMS_WITHIN_MS

    @property
    def owners(self) -> tuple[str, ...]:
        """The owners of the last claims, each once, the latest last."""
        return tuple(dict.fromkeys(owner for _, owner in self._recent))


def next_term(highest_read: int) -> int:
    """Return the term to claim, above the highest read from claims and maps (0 if there is none)."""
    return highest_read + 1


class LeaseAnswer(Enum):
    """Answer of Redis to the question whether the lease is ours."""

    MINE = "mine"
    NOT_MINE = "not mine"  # held by another process, or released
    SILENT = "silent"  # no answer, or one that proves nothing


class FenceDecision(Enum):
    """What a process that holds the lease, or held it, does after an error of its producer, and after its own fence."""

    CLAIM = "claim"  # start a new producer; where it has just fenced: claim
    STAND_BY = "stand by"  # start no producer, claim nothing
    READ_LEDGER = "read the ledger"  # read its last claim and decide again
    WAIT_FOR_REDIS = "wait for Redis"  # start no producer, claim nothing; ask for the lease again


def after_fence(answer: LeaseAnswer, owner: str | None, last_claimant: str | None = None) -> FenceDecision:
    """Decide whether a process may claim; asked before it starts a new producer, and again right after its fence.

    | the lease is | the last claim in the ledger is | decision       |
    |--------------|---------------------------------|----------------|
    | ours         |                                 | CLAIM          |
    | not ours     |                                 | STAND_BY       |
    | not known    | not read since the question     | READ_LEDGER    |
    | not known    | ours                            | CLAIM          |
    | not known    | another process's, or absent    | STAND_BY       |
    | not known    | not kept: there is no ledger    | WAIT_FOR_REDIS |

    A claim is ours if this process wrote it, whichever its term is: also one whose promotion failed after it. While
    Redis is silent no other process may claim then, so if this one stood by none would lead.

    Args:
        answer: A fresh answer about the lease.
        owner: The token under which this process claims in the ledger; None for one without a ledger (the retrier).
        last_claimant: Owner of the last claim in the ledger, empty if there is none; None if it was not read since.
    """
    if answer is not LeaseAnswer.SILENT:
        return FenceDecision.CLAIM if answer is LeaseAnswer.MINE else FenceDecision.STAND_BY
    if owner is None:
        return FenceDecision.WAIT_FOR_REDIS
    if last_claimant is None:
        return FenceDecision.READ_LEDGER
    return FenceDecision.CLAIM if last_claimant == owner else FenceDecision.STAND_BY
