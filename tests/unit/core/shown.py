"""The buckets of one limit, calls paid from them, and what headers show of them."""

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric, Reading, Snapshot
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.sent_calls import AdmissionOrder, SentCalls

CAPACITY = 60_000  # of a minute: one token a millisecond
TOOK_MS = 20
SENT_MS = (0, 400, 800, 1_200)  # four calls of 1,000, far enough apart to tell what is no bucket
MARK = 50_000


class Limit:
    """The buckets of one limit and the calls paid from them."""

    def __init__(self) -> None:
        self.sends = SentCalls()
        self.buckets = BucketSet(self.sends)

    def send(self, tokens: int, now_ms: int) -> AdmissionOrder:
        """A call; returns how its answer will be heard."""
        number = self.sends.append(now_ms, tokens)
        self.buckets.pay(tokens, number, now_ms)
        return self.sends.admission_order(number, now_ms, now_ms + TOOK_MS, delay_ms=TOOK_MS)

    def show(
        self,
        hearing: AdmissionOrder,
        used: int,
        full_in_ms: int | None,
        capacity: int = CAPACITY,
        period_ms: int | None = None,
        *,
        project: bool = False,
        named: bool = False,
    ) -> int | None:
        shown = Reading(LimitMetric.TOKENS, capacity, capacity - used, period_ms, full_in_ms, named)
        return self.buckets.observe_headers(shown, hearing, project=project)

    def only(self) -> object:
        (mirror,) = self.buckets
        return mirror

    def sizes(self, metric: LimitMetric = LimitMetric.TOKENS) -> list[tuple[int, int]]:
        return [(mirror.capacity, mirror.period_ms) for mirror in self.buckets.of(metric)]


def stated(metric: LimitMetric, capacity: int, period_ms: int, *, project: bool = False) -> Snapshot:
    """A bucket as a 429 names it."""
    return Snapshot(metric, period_ms, capacity, None, None, None, None, project)


def counted() -> Limit:
    """Four calls of 1,000 to a counter that begins anew at 50 s."""
    limit = Limit()
    for call, sent_ms in enumerate(SENT_MS, start=1):
        limit.show(limit.send(1_000, sent_ms), 1_000 * call, MARK - sent_ms)
    return limit


def slid() -> Limit:
    """The same to a window that ends now."""
    limit = Limit()
    for call, sent_ms in enumerate(SENT_MS, start=1):
        limit.show(limit.send(1_000, sent_ms), 1_000 * call, MINUTE_MS)
    return limit
