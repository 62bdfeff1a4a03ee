"""In-memory index of the ledger's last window: the fate of each id, at most 200 bytes an id, for two million ids.

A parked id takes more, for its deadline, tenant mark and id are kept: 341 with an id of 36 characters.

Rules:
- Exact: 128 bits of an id stand for it. A false positive would be a lost request (holes 35).
- A fate never goes back. The ledger may be read twice, and a renewal may come behind the answer; a later run, an answer
  and a higher attempt stand. So anything the ledger ever said may be recorded again, in any order.
- An id that still has a copy on its way (parked, withdrawn) is kept for as long as one can come. Answers are removed by
  age and, above `ids_max`, the oldest first. Both happen in strides of 1/64, because a dict finds its first entry
  slowly once its front is empty.
- For an id with a copy on its way the deadline and the id are kept besides, where a ledger line has stated them: a
  request whose copy never comes can then be failed. Older releases state neither; the longest deadline counts for
  theirs. The mark of its tenant is kept too, for cancels that name one.
- Where the ledger is gone, everything is recorded again: what is older than that moment has not been written since. An
  answer that is written again is known for a whole window more.
- One dict from hash to one packed integer, its order the order of age. A test measures the bytes. The price: when a
  dict of two million grows, the loop stalls for a few tenths of a second, once in about 1.4 times `ids_max` ids.
"""

from enum import IntEnum
from heapq import heapify, heappop, heappush
from itertools import islice, takewhile
from typing import Final, NamedTuple

from headrace.broker.core.bounds import CANCEL_PATIENCE_MS, COPY_WITHIN_MS, OVERDUE_AFTER_MS, OVERDUE_MAX
from headrace.broker.core.value import value

STRIDES: Final = 64
RENEWALS_MAX: Final = 500  # a batch: 20 KB in a ledger record
REWRITES_MAX: Final = 4_000  # answers a batch, where the ledger is gone: 150 KB
_COPY_WEIGHS: Final = REWRITES_MAX // RENEWALS_MAX  # in answers: deadline and name of a copy are written too
RUN_MAX: Final = 0xFFFF  # the ledger entry's H
ATTEMPT_MAX: Final = 0xFF  # the ledger entry's B; higher ones are kept as this one
_HASH_BITS: Final = 128
_DEADLINE_BYTES: Final = 5
_MARK_BYTES: Final = 8
_NO_MARK: Final = b"\0" * _MARK_BYTES
_NAME_FROM: Final = 1 + _DEADLINE_BYTES + _MARK_BYTES
_DEADLINE_MAX_S: Final = (1 << 40) - 1
_SWEPT_ABOVE: Final = 1_000


class Fate(IntEnum):
    """What became of an (id, run); the values are those of the ledger entry's state byte."""

    COMPLETED = 1
    FAILED = 2
    PARKED = 3  # its source is done; the retrier will bring a copy
    WITHDRAWN = 4  # Failed while parked (cancelled, or overdue); to be recorded as FAILED once the copy has come back


_WITH_A_COPY: Final = frozenset({Fate.PARKED, Fate.WITHDRAWN})


@value
class Identity:
    """Identity of a request: 16 bytes of hash for its id, the count of replays, 8 bytes for tenant, endpoint, body."""

    id_hash: bytes
    run: int
    fingerprint: bytes

    def __post_init__(self) -> None:
        assert len(self.id_hash) == 16
        assert len(self.fingerprint) == 8
        assert 0 <= self.run <= RUN_MAX


class KnownFate(NamedTuple):
    """The last fate of an id. `at_s` is rounded up, so that an id is known for a whole window."""

    fate: Fate
    run: int
    attempt: int
    fingerprint: bytes
    at_s: int

    @property
    def rank(self) -> tuple[int, bool, int, bool]:
        """Order of the fates of one id: the one of higher rank came later, in whatever order they are read."""
        return self.run, self.fate is not Fate.PARKED, self.attempt, self.fate is Fate.WITHDRAWN


class Awaited(NamedTuple):
    """What is known of a copy that is on its way.

    Attributes:
        identity: The request that it is a copy of; its fingerprint is not looked at.
        deadline_s: Deadline of the request, on the wall clock, rounded up.
        name: The id; empty where only its hash is known.
        overdue: It was Failed for its deadline, since the copy did not come.
        tenant_mark: Hash of its tenant, 8 bytes; empty: not known.
    """

    identity: Identity
    deadline_s: int
    name: str
    overdue: bool = False
    tenant_mark: bytes = b""


class Overdue(NamedTuple):
    """A parked request whose copy did not come back in time, and the attempts made for it."""

    identity: Identity
    attempts: int
    deadline_s: int
    name: str


class OutcomeIndex:
    """Fates by id. Instants are wall-clock milliseconds.

    Attributes:
        kept: Number of ids with a copy on its way.
        unwritten: Ids to be recorded again, since the ledger that stated them is gone.
        evicted: Number of answers that `ids_max` has pushed out.
    """

    def __init__(
        self,
        *,
        window_ms: int,
        ids_max: int,
        patience_ms: int = CANCEL_PATIENCE_MS,
        copy_within_ms: int = COPY_WITHIN_MS,
    ) -> None:
        """`patience_ms` is the longest deadline; no copy comes later than `copy_within_ms` after its deadline."""
        assert window_ms > 0
        assert ids_max > 0
        self._window_ms, self._ids_max = window_ms, ids_max
        self._patience_s, self._copy_within_s = patience_ms // 1_000, copy_within_ms // 1_000
        self._answered: dict[bytes, int] = {}  # by age
        self._kept: dict[bytes, int] = {}  # parked or withdrawn, by the age of their last ledger entry
        self._awaited: dict[bytes, bytes] = {}  # of each of those: whether it is overdue, deadline, tenant mark, id
        self._due: list[int] = []  # a heap of deadline and hash: of what is parked under a known id
        self._expire_from_ms = 0
        self._renew_from_ms = 0
        self._evicted_until_ms: int | None = None
        self.unwritten: list[bytes] = []
        self._rewritten = self._rewrite_before_s = 0
        self.kept = self.evicted = 0

    def __len__(self) -> int:
        return len(self._answered) + len(self._kept)

    def __contains__(self, id_hash: bytes) -> bool:
        return id_hash in self._answered or id_hash in self._kept

    def find(self, id_hash: bytes) -> KnownFate | None:
        """Return the last fate of this id."""
        packed = self._answered.get(id_hash)
        if packed is None and self._kept:
            packed = self._kept.get(id_hash)
        return None if packed is None else _unpack(packed)

    def record(self, identity: Identity, attempt: int, fate: Fate, at_ms: int) -> None:
        """Record a committed fate. Has no effect if it is older than what is known."""
        id_hash, at_s = identity.id_hash, -(-at_ms // 1_000)
        attempt = attempt if attempt < ATTEMPT_MAX else ATTEMPT_MAX
        known = self.find(id_hash)
        if known is not None:
            if known.rank > KnownFate(fate, identity.run, attempt, identity.fingerprint, at_s).rank:
                return
            at_s = max(at_s, known.at_s)
            self._answered.pop(id_hash, None)
            self._kept.pop(id_hash, None)
            if known.run != identity.run or fate not in _WITH_A_COPY:
                self._awaited.pop(id_hash, None)
        elif len(self._answered) + len(self._kept) >= self._ids_max:
            self._evict()
        home = self._kept if fate in _WITH_A_COPY else self._answered
        home[id_hash] = _pack(identity, attempt, fate, at_s)
        self.kept = len(self._kept)
        if fate in _WITH_A_COPY and id_hash not in self._awaited:
            self._awaited[id_hash] = _pack_copy(-(-at_ms // 1_000) + self._patience_s, "", b"", overdue=False)

    def record_awaited(self, awaited: Awaited) -> None:
        """Record what a line says of a copy on its way. Has no effect for another run, or for what is answered."""
        id_hash = awaited.identity.id_hash
        packed = self._kept.get(id_hash)
        if packed is None or packed >> 16 & RUN_MAX != awaited.identity.run:
            return
        copy = self._awaited[id_hash]
        name = awaited.name or _name(copy)
        known_before = bool(_name(copy))
        deadline_s = max(awaited.deadline_s, _deadline_s(copy)) if known_before else awaited.deadline_s
        mark = awaited.tenant_mark or _tenant_mark(copy)
        updated = _pack_copy(deadline_s, name, mark, overdue=awaited.overdue or _is_overdue(copy))
        if updated == copy:
            return
        self._awaited[id_hash] = updated
        if name:
            heappush(self._due, _due_key(deadline_s, id_hash))
        if len(self._due) > 2 * len(self._kept) + _SWEPT_ABOVE:
            self._due = [_due_key(_deadline_s(other), key) for key, other in self._awaited.items() if _name(other)]
            heapify(self._due)

    def overdue(self, now_ms: int) -> list[Overdue]:
        """Return some of the parked requests with overdue copies, earliest deadline first, until they are settled."""
        until_s = (now_ms - OVERDUE_AFTER_MS) // 1_000
        overdue: list[Overdue] = []
        keys: list[int] = []
        while self._due and len(overdue) < 2 * OVERDUE_MAX and self._due[0] >> _HASH_BITS <= until_s:
            key = heappop(self._due)
            id_hash = (key & (1 << _HASH_BITS) - 1).to_bytes(16, "big")
            if keys and keys[-1] == key:
                continue  # it was stated twice
            packed = self._kept.get(id_hash)
            if packed is None or packed & 0xFF != Fate.PARKED:
                continue  # it was answered meanwhile
            known, copy = _unpack(packed), self._awaited[id_hash]
            if _due_key(_deadline_s(copy), id_hash) != key:
                continue  # its deadline was stated anew
            keys.append(key)
            identity = Identity(id_hash, known.run, known.fingerprint)
            overdue.append(Overdue(identity, known.attempt, _deadline_s(copy), _name(copy)))
        for key in keys:
            heappush(self._due, key)
        return overdue

    def awaited(self, id_hash: bytes) -> Awaited | None:
        """Return what is known of this id's copy, if one is on its way."""
        packed = self._kept.get(id_hash)
        if packed is None:
            return None
        known, copy = _unpack(packed), self._awaited[id_hash]
        identity = Identity(id_hash, known.run, known.fingerprint)
        return Awaited(identity, _deadline_s(copy), _name(copy), _is_overdue(copy), _tenant_mark(copy))

    def expire(self, now_ms: int) -> None:
        """Forget the answers that have left the window, at most a stride late."""
        if now_ms < self._expire_from_ms:
            return
        self._expire_from_ms = now_ms + self._window_ms // STRIDES
        oldest_s = (now_ms - self._window_ms) // 1_000
        gone = takewhile(lambda item: _at_s(item[1]) <= oldest_s, self._answered.items())
        for id_hash in [id_hash for id_hash, _ in gone]:
            del self._answered[id_hash]

    def window_reached_ms(self, now_ms: int) -> int:
        """Return how far back every answer is known: the window, or less once `ids_max` has pushed some out."""
        if self._evicted_until_ms is None:
            return self._window_ms
        return max(0, min(self._window_ms, now_ms - self._evicted_until_ms))

    def rewrite_all(self, now_ms: int) -> None:
        """Mark everything as to be recorded again, ids with a copy on its way first, since the ledger is gone."""
        self._rewrite_before_s = -(-now_ms // 1_000)
        _age(self._kept, self._rewrite_before_s - 1)
        _age(self._answered, self._rewrite_before_s - 1)
        self.unwritten, self._rewritten = [*self._kept, *self._answered], 0

    def _next_rewrites(self) -> list[tuple[Identity, int, Fate]]:
        """Return the next ids that were not recorded again yet."""
        while self._rewritten < len(self.unwritten) and self._awaiting_rewrite(self.unwritten[self._rewritten]) is None:
            self._rewritten += 1
        if self._rewritten == len(self.unwritten):
            self.unwritten = []
        rewrites: list[tuple[Identity, int, Fate]] = []
        room = REWRITES_MAX
        for id_hash in self.unwritten[self._rewritten : self._rewritten + REWRITES_MAX]:
            known = self._awaiting_rewrite(id_hash)
            if known is None:
                continue
            room -= _COPY_WEIGHS if known.fate in _WITH_A_COPY else 1
            if room < 0:
                break
            rewrites.append((Identity(id_hash, known.run, known.fingerprint), known.attempt, known.fate))
        return rewrites

    def _awaiting_rewrite(self, id_hash: bytes) -> KnownFate | None:
        """Return what is known of an id, unless it was recorded again, or is forgotten by now."""
        known = self.find(id_hash)
        return known if known is not None and known.at_s < self._rewrite_before_s else None

    def renewals(self, now_ms: int) -> list[tuple[Identity, int, Fate]]:
        """Return kept ids whose last ledger entry is half a window old, oldest first, until they are recorded again.

        One whose copy can come no more is forgotten instead, unless it is parked under a known id: `overdue` names it.
        After `rewrite_all` everything that was known then comes first.
        """
        if self.unwritten and (rewrites := self._next_rewrites()):
            return rewrites
        if now_ms < self._renew_from_ms:
            return []
        due_s = (now_ms - self._window_ms // 2) // 1_000
        due = takewhile(lambda item: _at_s(item[1]) <= due_s, self._kept.items())
        looked_at = [(id_hash, _unpack(packed)) for id_hash, packed in islice(due, RENEWALS_MAX)]
        live = [(id_hash, known) for id_hash, known in looked_at if not self._is_past(id_hash, known, now_ms // 1_000)]
        if not looked_at:
            self._renew_from_ms = now_ms + self._window_ms // STRIDES
        return [(Identity(id_hash, known.run, known.fingerprint), known.attempt, known.fate) for id_hash, known in live]

    def _is_past(self, id_hash: bytes, known: KnownFate, now_s: int) -> bool:
        """Whether no copy can come any more; if so, forget the id."""
        awaited = self._awaited[id_hash]
        if _deadline_s(awaited) + self._copy_within_s > now_s or (known.fate is Fate.PARKED and _name(awaited)):
            return False
        del self._kept[id_hash], self._awaited[id_hash]
        self.kept = len(self._kept)
        return True

    def _evict(self) -> None:
        for id_hash in list(islice(self._answered, max(1, self._ids_max // STRIDES))):
            self._evicted_until_ms = _at_s(self._answered.pop(id_hash)) * 1_000
            self.evicted += 1


# Packed, from the highest bit down: at_s, 8 bytes fingerprint, 2 bytes run, 1 byte attempt, 1 byte fate. Never 0.


def _pack(identity: Identity, attempt: int, fate: Fate, at_s: int) -> int:
    fingerprint = int.from_bytes(identity.fingerprint, "big")
    return at_s << 96 | fingerprint << 32 | identity.run << 16 | attempt << 8 | fate


def _unpack(packed: int) -> KnownFate:
    fingerprint = (packed >> 32 & (1 << 64) - 1).to_bytes(8, "big")
    return KnownFate(Fate(packed & 0xFF), packed >> 16 & RUN_MAX, packed >> 8 & ATTEMPT_MAX, fingerprint, _at_s(packed))


def _at_s(packed: int) -> int:
    return packed >> 96


def _age(home: dict[bytes, int], at_s: int) -> None:
    """Make no entry younger than that; the youngest stand last."""
    young = [id_hash for id_hash, _ in takewhile(lambda item: _at_s(item[1]) > at_s, reversed(home.items()))]
    for id_hash in young:
        home[id_hash] = at_s << 96 | home[id_hash] & (1 << 96) - 1


# A byte that says whether it is overdue, 5 bytes of deadline, 8 of tenant mark (zero: not known), the id.


def _pack_copy(deadline_s: int, name: str, tenant_mark: bytes, *, overdue: bool) -> bytes:
    deadline = min(max(0, deadline_s), _DEADLINE_MAX_S).to_bytes(_DEADLINE_BYTES, "big")
    return bytes([overdue]) + deadline + (tenant_mark or _NO_MARK) + name.encode()


def _is_overdue(copy: bytes) -> bool:
    return copy[0] != 0


def _deadline_s(copy: bytes) -> int:
    return int.from_bytes(copy[1 : 1 + _DEADLINE_BYTES], "big")


def _tenant_mark(copy: bytes) -> bytes:
    mark = copy[1 + _DEADLINE_BYTES : _NAME_FROM]
    return b"" if mark == _NO_MARK else mark


def _name(copy: bytes) -> str:
    return copy[_NAME_FROM:].decode()


def _due_key(deadline_s: int, id_hash: bytes) -> int:
    return deadline_s << _HASH_BITS | int.from_bytes(id_hash, "big")
