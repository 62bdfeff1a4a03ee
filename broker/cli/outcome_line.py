"""An outcome as one line. Separate from the terminal module, so that `--help` loads no schemas and no pydantic."""

from headrace.broker.cli.terminal import json_line
from headrace.schemas.codec import outcome_fields
from headrace.schemas.outcome import Outcome


def outcome_line(outcome: Outcome) -> str:
    """Return an outcome as its record holds it, in one line of JSON."""
    return json_line(outcome_fields(outcome), compact=True)
