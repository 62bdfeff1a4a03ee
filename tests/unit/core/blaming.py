"""Attempts whose answers blame the account, or show that it is well."""

from collections.abc import Callable

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.blames import EndedAttempt
from headrace.broker.core.ticket import Blame, Blamed
from tests.unit.core.specimens import verdict


def ended(
    meaning: Meaning = Meaning.AUTH,
    *,
    request: int = 1,
    blames: Blamed | None = None,
    sent_ms: int = 0,
    wait_ms: int | None = None,
    probe: bool = False,
    is_served: Callable[[str | None, int], bool] = lambda _limit, _since_ms: False,
) -> EndedAttempt:
    """An attempt with that answer, of a request that has said nothing before unless stated."""
    answer = verdict(meaning, wait_ms=wait_ms)
    return EndedAttempt(request, blames or Blamed(Blame(), Blame()), answer, sent_ms, probe, is_served)
