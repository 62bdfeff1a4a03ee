"""Filters of a listing and of a replay of dead letters."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from headrace.consumers.dead_letters import Found, Original


@dataclass(frozen=True, slots=True)
class LetterFilters:
    """Filters that must all hold; an absent one holds for every dead letter.

    Attributes:
        reasons: Any of them.
        models: Any of them; `*` and `?` as in a shell.
        tenant: Exactly this tenant.
        since: Failed at this instant or later.
        until: Failed before this instant.
    """

    reasons: Sequence[str] = ()
    models: Sequence[str] = ()
    tenant: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def may_hold(self, found: Found) -> bool:
        """Whether the headers pass the filters, before the value is read."""
        failed_at = found.letter.failed_at
        return (
            (not self.reasons or found.letter.reason in self.reasons)
            and (self.since is None or failed_at >= self.since)
            and (self.until is None or failed_at < self.until)
        )

    def holds(self, original: Original) -> bool:
        """Whether the original passes the filters; a request without model or tenant matches no such filter."""
        model = original.model
        of_models = not self.models or (model is not None and any(fnmatchcase(model, each) for each in self.models))
        return of_models and (self.tenant is None or original.tenant == self.tenant)
