"""Open and settled ids, for the tests of `headrace.broker.core.identity.dedupe`."""

from dataclasses import dataclass

from headrace.broker.core.identity.dedupe import DedupeDecision, DedupeTable, Fate, Identity

TAKE, JOIN, WAIT, DONE, CONFLICT = DedupeDecision


ID = b"i" * 16


BODY = b"b" * 8


HOUR = 3_600_000


def run(number: int, fingerprint: bytes = BODY) -> Identity:
    return Identity(ID, number, fingerprint)


def identities(ids_max: int = 1_000) -> DedupeTable:
    return DedupeTable(window_ms=HOUR, ids_max=ids_max)


@dataclass(frozen=True)
class Open:
    run: int


@dataclass(frozen=True)
class Settled:
    fate: Fate
    run: int
    attempt: int = 0


PARKED_1 = Settled(Fate.PARKED, 0, 1)


PARKED_1_OF_RUN_2 = Settled(Fate.PARKED, 2, 1)


COMPLETED = Settled(Fate.COMPLETED, 0)


FAILED = Settled(Fate.FAILED, 0)


WITHDRAWN = Settled(Fate.WITHDRAWN, 0, 1)


def knowing(known: Open | Settled | None) -> DedupeTable:
    ids = identities()
    match known:
        case Open():
            ids.open(run(known.run), 0)
        case Settled():
            ids.settle(run(known.run), known.attempt, known.fate, 0)
        case None:
            ids.settle(Identity(b"another id......", 0, BODY), 0, Fate.COMPLETED, 0)
    return ids
