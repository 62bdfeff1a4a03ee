"""An answer that its leader has heard is published, or kept until it can be: its request is not called again.

Every answer is held against every later call of its process for the same id. Excused is one whose request was replayed
since its call left, for a replay is called anew; and one that its process could not keep:

- It has stepped down since the call left: with that it gives up all requests, those under way too.
- Another one has claimed since the answer was heard.
- Another one had claimed last when the answer was heard: a process that sleeps through its replacement may hear an
  answer before it knows (seed 128).
- Another one, that had claimed and was replaced again while the call was under way, has parked the request.
"""

from collections import defaultdict
from collections.abc import Iterator

from tests.simulation.service.history import History

Claims = list[tuple[float, int, str]]


def check(history: History) -> Iterator[str]:
    """A call that was paid twice for nothing."""
    claims = history.claims()
    heard: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for call in history.calls:
        key = call.process, call.id
        for sent_s, heard_s in heard[key]:
            if heard_s >= call.sent_s or _was_replayed(history, call.id, sent_s, call.sent_s):
                continue
            if _could_keep(history, claims, call.process, (sent_s, heard_s, call.sent_s)) and not (
                _was_parked_by_another(history, claims, key, (sent_s, heard_s))
            ):
                yield f"{call.process} calls {call.id} at {call.sent_s:.3f} s, and had its answer at {heard_s:.3f} s"
        if call.status == 200 and call.heard_s is not None:
            heard[key].append((call.sent_s, call.heard_s))


def _was_replayed(history: History, name: str, from_s: float, to_s: float) -> bool:
    return any(each.run and each.id == name and from_s < each.at_s < to_s for each in history.sent)


def _could_keep(history: History, claims: Claims, process: str, instants: tuple[float, float, float]) -> bool:
    """Whether it led when it heard the answer, and until it called again. `instants`: sent, heard, sent again."""
    sent_s, heard_s, again_s = instants
    if any(name == process and sent_s < at_s < again_s for at_s, name in history.stepped_down):
        return False
    if any(owner != process and heard_s < at_s < again_s for at_s, _, owner in claims):
        return False
    return _leader(claims, heard_s) == process


def _was_parked_by_another(
    history: History, claims: Claims, key: tuple[str, str], instants: tuple[float, float]
) -> bool:
    """Whether another leader has parked it between two instants."""
    process, name = key
    from_s, to_s = instants
    return any(
        from_s < commit.at_s < to_s and _leader(claims, commit.at_s) != process
        for commit in history.commits
        if any(each["id"] == name for each in commit.parked)
    )


def _leader(claims: Claims, at_s: float) -> str:
    """Who claimed last by then."""
    return max(((term, owner) for claimed_s, term, owner in claims if claimed_s <= at_s), default=(0, ""))[1]
