"""`headrace_repeated_calls_total` counts the calls that a dead leader had made already, exact but for its last second.

A call repeats another one if a process that led before had begun a call for the same id, and nothing of it was
committed since. The successor can know of it only if a ledger line said so before its claim. What the ledger calls
begun may never have reached OpenAI: its process died on the way. A call that is cancelled as it leaves counts, too, and
so does one that a defect ends then: the core cannot tell whether it was sent. A process that has stood by since repeats
its own calls. Lines that are older than the dedupe window, and those that retention has removed, tell nothing.
"""

from collections.abc import Iterator

from headrace.schemas.ids import id_hash
from tests.simulation.service.history import History
from tests.simulation.service.openai import Arrival


def check(history: History) -> Iterator[str]:
    """More repetitions counted than there were, or fewer than the ledger told."""
    known = sum(_is_told(history, before, after) for before, after in _pairs(history))
    counted = sum(each.repeated for each in history.lived)
    if counted < known and not history.scenario.faults.ledger_removed:
        yield f"{counted} calls are counted as repeated; the ledger tells of {known}"
    for process in history.lived:
        possible = _possible(history, process.name)
        if process.ending != "killed" and process.repeated > possible:  # a call may die with its process, unheard of
            yield f"{process.name} counts {process.repeated} calls as repeated, and {possible} can have been"


def _possible(history: History, process: str) -> int:
    """How often it began a call for an id for which another process had begun one, or itself before it was promoted."""
    begun: dict[bytes, set[str]] = {}
    count = 0
    for commit in history.commits:
        for line in commit.lines:
            for entry in line.started:
                others = begun.setdefault(entry.id_hash, set())
                count += line.owner == process and bool(others - {process})
                others.add(line.owner)
    called = [id_hash(id_) for _, caller, id_ in history.begun if caller == process]
    left = sum(bool(begun.get(hashed, set()) - {process}) for hashed in called)
    return max(count, left) + _own(history, process)


def _own(history: History, process: str) -> int:
    """How often it began a call for an id for which it had begun one before it started a producer."""
    promoted = [start.at_s for start in history.starts if start.process == process]
    last: dict[str, float] = {}
    count = 0
    for at_s, caller, id_ in history.begun:
        if caller == process:
            before_s = last.get(id_, at_s)
            count += any(before_s < promoted_s < at_s for promoted_s in promoted)
            last[id_] = at_s
    return count


def _pairs(history: History) -> Iterator[tuple[Arrival, Arrival]]:
    """Each call whose id another process had called last, and that call."""
    last: dict[str, Arrival] = {}
    for call in history.calls:
        before = last.get(call.id)
        if before is not None and before.process != call.process:
            yield before, call
        last[call.id] = call


def _is_told(history: History, before: Arrival, after: Arrival) -> bool:
    """Whether the second caller must have known: it followed the ledger, which told, until its first claim."""
    claims = history.claims()
    firsts = [at_s for at_s, _, owner in claims if owner == after.process]
    between = [commit for commit in history.commits if before.sent_s < commit.at_s < after.sent_s]
    hashed = id_hash(after.id)
    if any(each["id"] == after.id for commit in between for each in (*commit.outcomes, *commit.parked)):
        return False
    begun = [
        commit.at_s
        for commit in between
        for line in commit.lines
        if line.owner == before.process and any(entry.id_hash == hashed for entry in line.started)
    ]
    later = [at_s for at_s in firsts[1:] if at_s < after.sent_s]
    told = bool(begun and firsts) and begun[0] < firsts[0] < begun[0] + history.scenario.settings.dedupe.window_s
    return told and firsts[0] < after.sent_s and not later
