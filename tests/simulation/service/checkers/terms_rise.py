"""Terms rise from claim to claim, each has one owner, and nothing is written under a term that is over."""

from collections.abc import Iterator

from headrace.schemas.ledger import LedgerKind
from tests.simulation.service.history import History


def check(history: History) -> Iterator[str]:
    """A term twice, or a line of a term that has ended."""
    owners: dict[int, str] = {}
    standing = (0, "")
    for commit in history.commits:
        for line in commit.lines:
            if line.kind is LedgerKind.CLAIM:
                if line.term < standing[0] or owners.setdefault(line.term, line.owner) != line.owner:
                    yield f"{line.owner} claims term {line.term} at {commit.at_s:.3f} s, after {standing}"
                standing = (line.term, line.owner)
            elif (line.term, line.owner) != standing:
                yield f"{line.owner} writes under term {line.term} at {commit.at_s:.3f} s, while {standing} stands"
        for outcome in commit.outcomes:
            if outcome["term"] != standing[0]:
                yield f"an outcome of term {outcome['term']} at {commit.at_s:.3f} s, while {standing} stands"
