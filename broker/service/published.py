"""The record of an outcome together with the outcome that it holds, which may be a shorter one than was made first."""

from dataclasses import dataclass

from headrace.broker.ports import Outgoing
from headrace.schemas.outcome import Completed, Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedOutcome(Outgoing):
    """A record for the results topic: exactly one for each outcome, so it is what sums count."""

    outcome: Completed | Failed
