"""Fields of an exception for a log line: type and places. Its message is left out, since it may quote a prompt."""

import traceback
from typing import Final

FRAMES_MAX: Final = 20
"""Number of innermost calls of a trace that are logged: a recursion has a thousand."""


def traced(error: BaseException) -> dict[str, str]:
    """Return the exception's type as `error`, and where it was raised, from the outermost call inwards, as `trace`."""
    frames = traceback.StackSummary.extract(
        traceback.walk_tb(error.__traceback__), limit=-FRAMES_MAX, lookup_lines=False
    )
    places = (f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
    return {"error": type(error).__name__, "trace": " > ".join(places)}
