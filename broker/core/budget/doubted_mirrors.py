"""Which mirrors were doubted when measurements took over: what was doubted is gone once others take their place."""

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.budget.bucket_set import BucketSet

_Kinds = frozenset[tuple[LimitMetric, bool, Refill]]


class DoubtedMirrors:
    """The kinds of mirrors that a limit had when measurements took over."""

    __slots__ = ("_buckets", "_had_unshown", "_kinds", "_made")

    def __init__(self, buckets: BucketSet) -> None:
        """Doubt those of the present."""
        self._buckets = buckets
        self._kinds, self._made = self._present(), buckets.made
        self._had_unshown = self._has_unshown()

    def are_replaced(self) -> bool:
        """Return whether mirrors of other kinds have taken their place since this was asked last."""
        if self._buckets.made == self._made:
            return False
        before, self._kinds, self._made = self._kinds, self._present(), self._buckets.made
        return self._kinds != before

    @property
    def explained(self) -> bool:
        """Whether refusals have told what took their place: a sliding window of tokens that no header shows."""
        return not self._had_unshown and self._has_unshown()

    def _has_unshown(self) -> bool:
        tokens = self._buckets.of(LimitMetric.TOKENS)
        return any(mirror.refill is Refill.SLIDING and not self._buckets.is_stated(mirror) for mirror in tokens)

    def _present(self) -> _Kinds:
        return frozenset((mirror.metric, mirror.project, mirror.refill) for mirror in self._buckets)
