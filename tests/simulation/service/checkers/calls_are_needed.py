"""Nobody is called who is answered: a call begins only while an (id, run) that was asked for has no outcome.

A leader that was replaced and cannot know it yet is excused: see `one_leader_calls`, which says for how long.
"""

from collections.abc import Iterator

from tests.simulation.service.history import History, Identity

ON_THE_WAY_S = 0.01
"""A call that was sent before a commit stood may be heard of a little later; whoever sends later has known."""


def check(history: History) -> Iterator[str]:
    """A call that somebody paid for in vain."""
    answered: dict[Identity, float] = {}
    for at_s, outcome in history.outcomes():
        answered.setdefault((outcome["id"], outcome["run"]), at_s)
    asked: dict[str, list[tuple[float, Identity]]] = {}
    for each in history.sent:
        if each.id is not None and not each.is_cancel:
            asked.setdefault(each.id, []).append((each.at_s, (each.id, each.run)))
    claims = history.claims()
    for call in history.calls:
        leader = max(((term, owner) for at_s, term, owner in claims if at_s <= call.sent_s), default=(0, ""))[1]
        open_then = [
            identity
            for at_s, identity in asked.get(call.id, [])
            if at_s <= call.sent_s <= answered.get(identity, call.sent_s) + ON_THE_WAY_S
        ]
        if not open_then and call.process == leader:
            yield f"{call.process} calls {call.id} at {call.sent_s:.3f} s, and it was answered before"
