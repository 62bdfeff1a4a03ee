"""A defect of ours, and a request that ends its process, cost that one request: Failed `crashed`, and no other is.

Three deaths may be held against an innocent call (`docs/guarantees.md`): one for each death beyond the second.
"""

from collections import Counter
from collections.abc import Iterator

from headrace.broker.core.requests.triage import CALLS_KILL
from tests.simulation.service.history import History
from tests.simulation.service.scenario import DEADLY_CALL, FLAW_IN_CALLING, FLAW_IN_READING, POISON

SPOILT = (POISON, FLAW_IN_READING, FLAW_IN_CALLING)
INNOCENT_AFTER = 2
OTHERWISE = frozenset({"cancelled", "deadline_exceeded", "deadline_unreachable"})


def check(history: History) -> Iterator[str]:
    """A request that crashed without a reason, or one with a reason that did not."""
    bodies: dict[str, list[str]] = {}
    for each in history.sent:
        if each.id is not None and each.body is not None:
            bodies.setdefault(each.id, []).append(each.body)
    innocent = 0
    for at_s, outcome in history.outcomes():
        texts = bodies.get(outcome["id"], [])
        reason = outcome.get("reason")
        deadly = any(DEADLY_CALL in text for text in texts)
        spoilt = any(word in text for text in texts for word in SPOILT)
        told = f"{outcome['id']}/{outcome['run']} at {at_s:.3f} s"
        if reason == "crashed" and not (spoilt or deadly):
            if outcome["message"] == CALLS_KILL.sentence:
                innocent += 1
            else:
                yield f"{told} is Failed (crashed), and nothing is wrong with it"
        if spoilt and reason != "crashed" and reason not in OTHERWISE:
            yield f"{told} must crash, and is {reason or outcome['status']}"
        if deadly and outcome["status"] == "completed":
            yield f"{told} ends its dispatcher, and is completed"
    yield from _called_again(history)
    deaths = sum(each.role == "dispatcher" and each.ending == "killed" for each in history.lived)
    if innocent > max(0, deaths - INNOCENT_AFTER):
        yield f"{innocent} innocent requests are Failed (crashed) after {deaths} deaths"


def _called_again(history: History) -> Iterator[str]:
    """What crashed once would crash again, and each call is paid: a process calls it once in a stretch of leading."""
    stretches = Counter(process for _, process in history.stepped_down)
    calls = Counter((process, name) for _, process, name in history.flawed)
    for (process, name), count in sorted(calls.items()):
        if count > 1 + stretches[process]:
            yield f"{process} calls {name} {count} times, and each call ends in a defect"
