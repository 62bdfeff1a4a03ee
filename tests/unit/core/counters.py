"""The two mirrors of windows, with the clock of the test."""

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.sent_calls import AdmissionOrder, SentCalls
from headrace.broker.core.budget.sliding_window import SlidingWindowMirror

MINUTE = 60_000
CAPACITY = 60_000
MARK = 60_000  # when the first window ends
WAY = 100


def hearing(sends: SentCalls, number: int, now_ms: int, way_ms: int) -> AdmissionOrder:
    place = sends.index_of(number)
    return sends.admission_order(number, 0 if place is None else sends.sent_ms[place], now_ms, way_ms)


class Counter:
    """A mirror of a counter and the calls paid from it, as buckets would hold them."""

    def __init__(
        self, metric: LimitMetric = LimitMetric.TOKENS, capacity: int = CAPACITY, left: int = CAPACITY
    ) -> None:
        self.mirror = FixedWindowMirror(metric, capacity, MINUTE, MARK, left)
        self.sends = SentCalls()
        self.open: list[int] = []

    def send(self, tokens: int, now_ms: int) -> int:
        number = self.sends.append(now_ms, tokens, self.open[0] if self.open else None)
        self.mirror.pay(tokens if self.mirror.metric is LimitMetric.TOKENS else 1, number, now_ms)
        self.open.append(number)
        return number

    def hear(self, remaining: int, number: int, now_ms: int, way_ms: int = WAY) -> int | None:
        if number in self.open:
            self.open.remove(number)
        return self.mirror.observe(remaining, hearing(self.sends, number, now_ms, way_ms), self.sends)

    def interval(self, now_ms: int) -> tuple[int, int]:
        return self.mirror.low(now_ms), self.mirror.high(now_ms)


class Slider(Counter):
    """The same with a window that ends now; what was sent before counts from the start."""

    def __init__(
        self, metric: LimitMetric = LimitMetric.TOKENS, capacity: int = CAPACITY, sent: tuple[tuple[int, int], ...] = ()
    ) -> None:
        super().__init__()
        for tokens, now_ms in sent:
            self.open.append(self.sends.append(now_ms, tokens, self.open[0] if self.open else None))
        now_ms = sent[-1][1] if sent else 0
        self.slider = SlidingWindowMirror(metric, capacity, MINUTE, now_ms, self.sends)

    def send(self, tokens: int, now_ms: int) -> int:
        number = self.sends.append(now_ms, tokens, self.open[0] if self.open else None)
        self.slider.pay(tokens if self.slider.metric is LimitMetric.TOKENS else 1, number, now_ms)
        self.open.append(number)
        return number

    def hear(self, remaining: int, number: int, now_ms: int, way_ms: int = WAY) -> int | None:
        return self.slider.observe(remaining, hearing(self.sends, number, now_ms, way_ms), self.sends)

    def interval(self, now_ms: int) -> tuple[int, int]:
        return self.slider.low(now_ms), self.slider.high(now_ms)
