"""A replay job, identified by its request: the same request made again resumes it.

Its name is made of the request as written, not of what it meant at the time: `--since 2h` is one job all day. So the
instants that a span meant are noted with the job's progress when a pass over the dead letters begins, and hold until
that pass is done; else everything that left the window between an interruption and the next try would be lost. A pass
that was not resumed for a day is over: a request for the last two hours then means the present ones.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from headrace.consumers.replays.filters import LetterFilters
from headrace.schemas.instants import to_wire

When = datetime | timedelta
"""An instant, or a span before now."""

RESUMED_WITHIN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """A replay request; see `LetterFilters` for the filters.

    Attributes:
        lane: Target lane of all; None: each goes where it came from.
        new_id: Whether those with an id that belongs to another request go as requests of their own.
    """

    reasons: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    tenant: str | None = None
    since: When | None = None
    until: When | None = None
    lane: str | None = None
    new_id: bool = False

    def job(self, topic_prefix: str) -> str:
        """Return sixteen hex digits; the same for the same request, whatever the order of its filters."""
        said = {
            "prefix": topic_prefix,
            "reasons": sorted(set(self.reasons)),
            "models": sorted(set(self.models)),
            "tenant": self.tenant,
            "since": _as_written(self.since),
            "until": _as_written(self.until),
            "lane": self.lane,
            "new_id": self.new_id,
        }
        return hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=8).hexdigest()

    def filters(self, pass_: "Pass") -> LetterFilters:
        """Return the filters, with the instants that the spans mean in that pass."""
        return LetterFilters(self.reasons, self.models, self.tenant, pass_.since, pass_.until)

    def begins(self, now: datetime) -> "Pass":
        """Begin a pass now."""
        return Pass(now, _instant(self.since, now), _instant(self.until, now))

    @property
    def waits_for_age(self) -> bool:
        """Whether letters too young for it now will be old enough later, so that they must not be passed."""
        return isinstance(self.until, timedelta)


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over the dead letters: when it began, and what its spans meant then."""

    begun: datetime
    since: datetime | None = None
    until: datetime | None = None

    def goes_on(self, now: datetime) -> bool:
        """Whether the same request made now resumes this pass, if it is not done."""
        return now - self.begun < RESUMED_WITHIN


def group_of(topic_prefix: str, job: str) -> str:
    """Return the consumer group that stores the job's progress as offsets. It never has a member."""
    return f"{topic_prefix}.replay.{job}"


def transactional_id_of(topic_prefix: str) -> str:
    """Return the id shared by all jobs of a prefix: starting a replay ends the one before."""
    return f"{topic_prefix}.replay"


def _as_written(when: When | None) -> str | None:
    if isinstance(when, timedelta):
        return f"{when.total_seconds():g} s"
    return None if when is None else to_wire(when)


def _instant(when: When | None, now: datetime) -> datetime | None:
    return now - when if isinstance(when, timedelta) else when
