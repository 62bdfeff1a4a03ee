"""Whether other clients spend in a limit's windows, as answers show it.

A window that has less left than our own charges explain, by more than the longest delay could, has others' charges in
it; or its mirror is wrong. A wrong one is contradicted all the time, and others' bursts contradict one answer each. So
others have spent if most answers of late agreed. Buckets tell nothing: delays and refill blur them. Windows of a second
or two tell if they are sliding ones of tokens, or estimates of these, beside which refusals have shown delays to be
short (`LongestDelay`); or counters whose levels prove that they begin anew (`RenewalBalance`). Of the others, most of
what arrives is never told in time.
"""

from collections.abc import Collection
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.answers.refill_detection import SHORT_MS, Refill
from headrace.broker.core.budget.achievement import REFUSED_MIN, Achieved
from headrace.broker.core.budget.mirror_list import AnyMirror

AGREED_MAX: Final = 32  # answers of late
CONTRADICTED: Final = 3  # so many that agreed outweigh one that fell short
AGREED_MIN: Final = 8  # so many outweigh what fell short, where a mirror is known to be right by that alone
LATE_PARTS: Final = 4  # a delay is long beside a window of less than this multiple
STAY_MS: Final = 60_000  # for which others are taken to spend on
EXCUSED_PPM: Final = 60_000  # of the calls waited for; with more refusals, a slower way of spending may achieve as much


def levels_tell(mirror: AnyMirror, age_ms: int, delay_max_ms: int) -> bool:
    """Return whether a mirror is known to be right once most of its levels of late agreed.

    So is that of a sliding second of tokens, or of an estimate of one, beside which the longest delay is short. Levels
    that are rounded, or of age `age_ms`, agree with wrong mirrors as well; so do many levels of longer windows; and of
    calls few are missing at a time.
    """
    is_timely = delay_max_ms * LATE_PARTS <= mirror.period_ms <= SHORT_MS
    is_exact = mirror.step == 1 and not age_ms and mirror.metric is LimitMetric.TOKENS
    return is_timely and is_exact and mirror.refill in {Refill.SLIDING, Refill.TWO}


class OthersEvidence:
    """What the answers of one limit have shown of others.

    Attributes:
        by_others: Others must have taken what the last answer showed to be missing: no delay explains it.
    """

    __slots__ = ("_agreed", "_trusted", "_until_ms", "by_others")

    def __init__(self) -> None:
        self.by_others = False
        self._agreed: dict[LimitMetric, int] = {}
        self._until_ms: dict[LimitMetric, int] = {}
        self._trusted: dict[LimitMetric, bool] = {}

    def observe(  # noqa: PLR0913 — three of them keyword-only
        self,
        metric: LimitMetric,
        error: int | None,
        now_ms: int,
        *,
        proven: bool,
        trusted: bool = False,
        levels_tell: bool = False,
    ) -> None:
        """Process the error of a mirror (see `Mirror.observe`).

        `proven`: no delay explains that it fell short; `trusted`: the mirror is known to be right; `levels_tell`: it is
        if most answers of late agreed, none of which may have found more than believed either.
        """
        agreed, self.by_others = self._agreed.get(metric, 0), False
        if levels_tell:
            trusted = agreed >= AGREED_MIN
            proven = proven and trusted
        self._trusted[metric] = trusted
        if error == 0:
            self._agreed[metric] = min(AGREED_MAX, agreed + 1)
        elif error is not None and error < 0:
            self._agreed[metric] = max(0, agreed - CONTRADICTED)
            self.by_others = proven and (trusted or agreed > CONTRADICTED)
        elif levels_tell and error is not None:
            self._agreed[metric] = max(0, agreed - 1)
        if self.by_others or (proven and trusted):
            self._until_ms[metric] = now_ms + STAY_MS

    def spend(self, metric: LimitMetric, now_ms: int) -> bool:
        """Return whether others are taken to spend in a window of a metric, since they must have lately."""
        return now_ms < self._until_ms.get(metric, now_ms)

    def excuse(self, metrics: Collection[LimitMetric], now_ms: int, lately: Achieved) -> tuple[bool, bool]:
        """Return whether others are to blame for a refusal by one of these metrics, and whether all is known of it.

        `lately`: what became of the calls that were waited for in the last minute. A window that is known is spent at
        once at its mark; if that costs more than `EXCUSED_PPM`, nothing excuses it.
        """
        if metrics and all(self.explain(metric, now_ms) for metric in metrics):
            return (lately.refused < REFUSED_MIN or lately.refused_ppm <= EXCUSED_PPM,) * 2
        return any(self.spend(metric, now_ms) for metric in metrics), False

    def explain(self, metric: LimitMetric, now_ms: int) -> bool:
        """Return whether others explain that a window of a metric is spent, whose mirror is known to be right."""
        return now_ms < self.explain_until_ms(metric)

    def explain_until_ms(self, metric: LimitMetric) -> int:
        """Return until when they do; 0: they do not."""
        return self._until_ms.get(metric, 0) if self._trusted.get(metric, False) else 0
