"""A Completed outcome carries the answer to its own request: the same id, one of its bodies, and a call that succeeded.

The simulated OpenAI numbers its answers, so the text of an answer names the call that it belongs to.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.simulation.service.history import History

NUMBERED = re.compile(r"Answer (\d+)\.")


def check(history: History) -> Iterator[str]:
    """An outcome with the answer to another request, or one answer in two outcomes."""
    bodies: dict[tuple[str, int], set[str]] = {}
    for each in history.sent:
        if each.id is not None and each.body is not None:
            bodies.setdefault((each.id, each.run), set()).add(each.body)
    owners: dict[int, str] = {}
    for at_s, outcome in history.outcomes():
        if outcome["status"] != "completed":
            continue
        name, told = (outcome["id"], outcome["run"]), f"{outcome['id']}/{outcome['run']} at {at_s:.3f} s"
        number = number_of(outcome)
        if number is None or not 0 < number <= len(history.calls):
            yield f"{told} carries no answer of OpenAI"
            continue
        call = history.calls[number - 1]
        if call.id != outcome["id"]:
            yield f"{told} carries the answer to {call.id}"
        elif call.body not in bodies.get(name, set()):
            yield f"{told} carries the answer to a body that was never sent under this id"
        elif call.status != 200:
            yield f"{told} carries an answer with status {call.status}"
        if owners.setdefault(number, told) != told:
            yield f"{told} carries the same answer as {owners[number]}"


def number_of(outcome: Mapping[str, Any]) -> int | None:
    """The number of the answer that an outcome carries."""
    choices = outcome.get("response", {}).get("choices") or [{}]
    found = NUMBERED.fullmatch(str(choices[0].get("message", {}).get("content")))
    return None if found is None else int(found[1])
