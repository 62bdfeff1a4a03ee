"""What is published of a request, an outcome or that it is parked, the ledger says in the same transaction."""

from collections import Counter
from collections.abc import Iterator

from headrace.schemas.ids import id_hash
from headrace.schemas.ledger import LedgerState
from tests.simulation.service.history import Commit, History

_ANSWERED = {LedgerState.COMPLETED: "completed", LedgerState.FAILED: "failed", LedgerState.WITHDRAWN: "failed"}


def check(history: History) -> Iterator[str]:
    """A transaction whose parts say different things, or a line written twice."""
    known: set[tuple[bytes, int]] = set()
    for commit in history.commits:
        if not commit.lines:
            continue
        told = Counter((id_hash(each["id"]), each["run"], each["status"]) for each in commit.outcomes)
        fresh = _answered(commit, known)
        if told != fresh:
            yield f"at {commit.at_s:.3f} s outcomes and ledger differ: {_differences(told, fresh)}"
        known |= {(hashed, run) for hashed, run, _ in told}
        parked = Counter(id_hash(each["id"]) for each in commit.parked)
        written = Counter(
            entry.id_hash for line in commit.lines for entry in line.settled if entry.state is LedgerState.PARKED
        )
        if parked - written:
            yield f"at {commit.at_s:.3f} s a request was parked and the ledger does not say so"


def _answered(commit: Commit, known: set[tuple[bytes, int]]) -> Counter[tuple[bytes, int, str]]:
    """What its lines say is answered, but for what they only repeat."""
    return Counter(
        (entry.id_hash, entry.run, _ANSWERED[entry.state])
        for line in commit.lines
        for entry in line.settled
        if entry.state in _ANSWERED and (entry.id_hash, entry.run) not in known
    )


def _differences(told: Counter[tuple[bytes, int, str]], fresh: Counter[tuple[bytes, int, str]]) -> str:
    return f"{sum((told - fresh).values())} only published, {sum((fresh - told).values())} only in the ledger"
