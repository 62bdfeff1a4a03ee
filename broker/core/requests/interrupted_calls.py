"""Requests with a call under way when a dispatcher died, as the ledger says, and how they are called again.

A call that ends the process (memory, a crash below Python) would be made again by each next leader, and paid for again,
for ever: nothing in memory outlives it. The ledger does: it lists attempts started, attempts ended, and fates. So each
request has a count of the terms that died while its call was under way. A process dies of other causes too, and then
all calls in flight share the death. So the one to blame is singled out before a request is failed:

| deaths | how it is called                                                                           |
|--------|--------------------------------------------------------------------------------------------|
| 0, 1   | like any other: a leader that is killed once slows nothing down                            |
| 2      | when the term has been quiet for ten seconds, and alone among its like, or a few at a time |
|        | while there are many of them                                                               |
| 3      | Failed (`crashed`) if none of its like was under way at the third death; else as with 2    |

Its *like* are requests with two deaths or more; a term is *quiet* while no record is read with caution. So a deadly
request is called three times if few were in flight with it, and once more if many were; requests that only shared
deaths are answered. A record that ends its decoder (`headrace.broker.core.progress.poison_records`) does so within
seconds of a promotion, before a suspect is called: those deaths are held against no call.

Rules:
- A term has died when another owner's line follows it and it has not said that it left. An owner that writes again
  later had not died (it was cut off, or stood still): the deaths counted for its terms are taken back.
- A term that died while a record was named, to be read with caution, has died of that record. The calls under way are
  *in doubt*: each waits until the term has been quiet, and is then called like any other. Otherwise the deaths
  from a deadly call that begins while records are named would be held against those records in every term, and the call
  be made without end (seed 80181).
- A request that has an outcome has no deaths any more. A parked one keeps them: otherwise a deadly call that is refused
  for its rate now and then would never be singled out. That a request is parked is also said again while its copy is
  called; such a line ends no call. An attempt that ended without a fate is not under way.
- Two terms that died within ten minutes of each other are followed by ten minutes of *caution*: a call begins only once
  the ledger says so. Otherwise a call that ends its process at once would be known to no successor.
- A place among the few is free again when the ledger says that its call has ended: an answer in memory dies with the
  process.
- Lines may be read twice, from any place on: each death is kept with its term, and a lower term begins anew.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from headrace.broker.core import bounds
from headrace.broker.core.commands import AttemptEntry, SettledEntry
from headrace.broker.core.identity.dedupe import Fate, Identity

Key = tuple[bytes, int]
"""A request in the ledger: hash of its id, and run."""


@dataclass(frozen=True, slots=True)
class Death:
    """Death of a term while the call of an attempt was under way; `alone`: no other suspect's call was."""

    term: int
    owner: str
    alone: bool


class InterruptedCalls:
    """Deaths by request, and the few suspects that are being called."""

    def __init__(self) -> None:
        self._term = 0
        self._owner = ""
        self._is_over = True  # the term said that it left, or none is known
        self._names = False
        self._read_ms = 0
        # the last terms that died: owner, and when the next one began
        self._dead_terms: dict[int, tuple[str, int]] = {}
        self._under_way: dict[Key, int] = {}  # of the term being read: the attempt started last
        self._deaths: dict[Key, dict[int, Death]] = {}
        self._doubted: dict[Key, int] = {}  # under way when a term died of a record: the attempt
        self._suspects: set[Key] = set()
        self._called: dict[Key, int] = {}  # suspects being called now: the attempt

    def __len__(self) -> int:
        return len(self._deaths) + len(self._doubted)

    # ------------------------------------------------------------------ reading

    def record_line(self, term: int, owner: str, at_ms: int, *, left: bool = False, named: bool = False) -> None:
        """Record a line before its entries about requests; `named`: it names a record about to be decoded."""
        self._read_ms = at_ms
        if (term, owner) != (self._term, self._owner):
            self._begin(term, owner)
        self._names = named
        if left:
            self._is_over = True
            self._under_way.clear()

    def record_starts(self, entries: Iterable[AttemptEntry]) -> None:
        """Record the attempts that the line says were begun."""
        for entry in entries:
            self._under_way[entry.identity.id_hash, entry.identity.run] = entry.attempt
        _shorten(self._under_way)

    def record_ends(self, entries: Iterable[AttemptEntry]) -> None:
        """Record the attempts that the line says have ended; their requests wait for another one."""
        for entry in entries:
            key = entry.identity.id_hash, entry.identity.run
            if self._under_way.get(key, entry.attempt + 1) <= entry.attempt:
                del self._under_way[key]

    def record_fates(self, entries: Iterable[SettledEntry]) -> None:
        """Record the fates that the line states."""
        if self._under_way or self._deaths or self._doubted:
            for entry in entries:
                key = entry.identity.id_hash, entry.identity.run
                if entry.ends(self._under_way.get(key, 0)):
                    self._under_way.pop(key, None)
                self._settle(key, entry)

    def _begin(self, term: int, owner: str) -> None:
        """Begin another term, to which the next lines belong."""
        if owner == self._owner and term > self._term:
            self._term, self._is_over = term, False  # the same process: its calls go on
            return
        if not self._is_over and term >= self._term:
            self._dead_terms[self._term] = self._owner, self._read_ms
            if self._names:
                self._doubted.update(self._under_way)
                _shorten(self._doubted)
            else:
                self._count_deaths()
        self._term, self._owner, self._is_over = term, owner, False
        self._under_way.clear()
        alive = {dead_term for dead_term, (dead_owner, _) in self._dead_terms.items() if dead_owner == owner}
        recent = sorted(self._dead_terms.keys() - alive)[-bounds.DEATHS_BEFORE_CAUTION :]
        self._dead_terms = {dead_term: self._dead_terms[dead_term] for dead_term in recent}
        for key, deaths in list(self._deaths.items()):
            for death in [death for death in deaths.values() if death.owner == owner]:
                del deaths[death.term]
            if not deaths:
                del self._deaths[key]
        self._recount()

    def _count_deaths(self) -> None:
        """Count the death of the term read so far for each call that was under way in it."""
        suspects = sum(self._count(key, self._term) >= bounds.DEATHS_UNSUSPECTED for key in self._under_way)
        for key in self._under_way:
            alone = suspects == 1 and self._count(key, self._term) >= bounds.DEATHS_UNSUSPECTED
            self._deaths.setdefault(key, {})[self._term] = Death(self._term, self._owner, alone)
        _shorten(self._deaths)

    def _recount(self) -> None:
        self._suspects = {key for key, deaths in self._deaths.items() if len(deaths) >= bounds.DEATHS_UNSUSPECTED}

    def _settle(self, key: Key, entry: SettledEntry) -> None:
        """Free the place of a call of ours that the fate ends, and clear a request that has an outcome.

        The fate of our own call is read where the answer to its commit was lost: it is not committed a second time.
        """
        if entry.ends(self._called.get(key, 0)):
            self._called.pop(key, None)
        if entry.fate is not Fate.PARKED:
            self._deaths.pop(key, None)
            self._doubted.pop(key, None)
            self._suspects.discard(key)

    def _count(self, key: Key, before: int) -> int:
        """Count deaths in terms before that one: deaths of later terms are known already where lines are read again."""
        return sum(term < before for term in self._deaths.get(key, ()))

    # ------------------------------------------------------------------ calling

    def caution_ms(self) -> int:
        """Return how long, from the last line read on, a call may begin only once the ledger says so; 0: at once."""
        instants = sorted(at_ms for _, at_ms in self._dead_terms.values())
        if (
            len(instants) < bounds.DEATHS_BEFORE_CAUTION
            or instants[-1] - instants[0] > bounds.DEATHS_IN_A_ROW_WITHIN_MS
        ):
            return 0
        return max(0, instants[-1] + bounds.DEATHS_IN_A_ROW_WITHIN_MS - self._read_ms)

    def is_to_blame(self, identity: Identity) -> bool:
        """Whether its call is not made again: three terms or more died during it, the third or a later one alone."""
        deaths = self._deaths.get((identity.id_hash, identity.run))
        if deaths is None or len(deaths) < bounds.DEATHS_BY_CALL:
            return False
        return any(death.alone for death in sorted(deaths.values(), key=_term_of)[bounds.DEATHS_BY_CALL - 1 :])

    def is_suspect(self, identity: Identity) -> bool:
        """Whether its call may begin only with care."""
        return (identity.id_hash, identity.run) in self._suspects

    def is_in_doubt(self, identity: Identity) -> bool:
        """Whether its call was under way when a dispatcher died while reading a record with caution."""
        return (identity.id_hash, identity.run) in self._doubted

    def begin_call(self, identity: Identity, attempt: int) -> bool:
        """Begin that call of a suspect; False: calls of other suspects must end first."""
        key = identity.id_hash, identity.run
        if len(self._called) >= self._slots(key):
            return False
        self._called[key] = attempt
        return True

    def record_commit(self, settled: Iterable[SettledEntry], ended: Iterable[AttemptEntry]) -> None:
        """Record calls of ours that have ended, as the ledger now says."""
        if self:
            for entry in ended:
                key = entry.identity.id_hash, entry.identity.run
                if self._called.get(key, entry.attempt + 1) <= entry.attempt:
                    del self._called[key]
            for settlement in settled:
                self._settle((settlement.identity.id_hash, settlement.identity.run), settlement)

    def stand_by(self) -> None:
        """Forget the suspects being called: nothing of ours is called any more."""
        self._called.clear()

    def _slots(self, key: Key) -> int:
        """Return how many suspects may be called at once if this one is among them."""
        if any(len(self._deaths[suspect]) > bounds.DEATHS_UNSUSPECTED for suspect in (key, *self._called)):
            return 1
        return bounds.CALLS_OF_SUSPECTS_MAX if len(self._suspects) > bounds.CALLS_OF_SUSPECTS_MAX else 1


def _term_of(death: Death) -> int:
    return death.term


def _shorten(calls: dict[Key, int] | dict[Key, dict[int, Death]]) -> None:
    """Forget the oldest entries above the bound."""
    for key in list(islice(calls, max(0, len(calls) - bounds.INHERITED_CALLS_MAX))):
        del calls[key]
