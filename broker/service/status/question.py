"""The question about one request in a URL's query: its id, and its run if one is meant."""

from collections.abc import Sequence
from typing import Final

from headrace.schemas.ids import is_valid_id
from headrace.schemas.request_codec import RUN_MAX

_PARAMETERS: Final = frozenset({"id", "run"})
_SAID_MAX: Final = 40


def question_of(query: Sequence[tuple[str, str]], path: str = "/status") -> tuple[str, int | None] | None:
    """Return the id and the run in question; None: no request is asked about.

    Raises:
        ValueError: The question cannot be understood; the text says how to ask.
    """
    names = [name for name, _ in query]
    for name in names:
        if name not in _PARAMETERS:
            raise ValueError(f"{path} knows no parameter {name[:_SAID_MAX]!r}: it takes id, and run beside it.")
        if names.count(name) > 1:
            raise ValueError(f"{path} takes one {name}, and {names.count(name)} were given: ask about one request.")
    if not names:
        return None
    given = dict(query)
    request_id, run = given.get("id"), given.get("run")
    if request_id is None:
        raise ValueError(f"A run belongs to an id: ask {path}?id=ID&run=N.")
    if not is_valid_id(request_id):
        raise ValueError("An id is 1 to 128 printable ASCII characters.")
    if run is None:
        return request_id, None
    if not (run.isascii() and run.isdecimal() and len(run) <= len(str(RUN_MAX)) and int(run) <= RUN_MAX):
        raise ValueError(f"A run is a whole number from 0 to {RUN_MAX}: 0 is the first, each replay is one more.")
    return request_id, int(run)
