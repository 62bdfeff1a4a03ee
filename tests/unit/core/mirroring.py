"""Calls and their answers, for the tests of `headrace.broker.core.budget.bucket_mirror`."""

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.sent_calls import AdmissionOrder, SentCalls

WAY_MS = 1_000


MINUTE = 60_000  # with a capacity of 60,000 tokens: one token a millisecond


def hearing(sends: SentCalls, number: int, now_ms: int) -> AdmissionOrder:
    place = sends.index_of(number)
    return sends.admission_order(number, 0 if place is None else sends.sent_ms[place], now_ms, WAY_MS)


class Caller:
    """A mirror and the calls paid from it, as a budget would hold them."""

    def __init__(self, metric: LimitMetric = LimitMetric.TOKENS, capacity: int = MINUTE) -> None:
        self.mirror = Mirror(metric, capacity, MINUTE, 0)
        self.sends = SentCalls()
        self.open: list[int] = []
        self.error: int | None = None  # size of the last answer's contradiction

    def send(self, tokens: int, now_ms: int) -> int:
        number = self.sends.append(now_ms, tokens, self.open[0] if self.open else None)
        self.mirror.pay(tokens if self.mirror.metric is LimitMetric.TOKENS else 1, number, now_ms)
        self.open.append(number)
        return number

    def observe(self, remaining: int, number: int, now_ms: int) -> tuple[int, int]:
        self.open.remove(number)
        self.error = self.mirror.observe(remaining, self.admission_order(number, now_ms), self.sends)
        return self.interval(now_ms)

    def admission_order(self, number: int, now_ms: int) -> AdmissionOrder:
        return hearing(self.sends, number, now_ms)

    def interval(self, now_ms: int) -> tuple[int, int]:
        return self.mirror.low(now_ms), self.mirror.high(now_ms)
