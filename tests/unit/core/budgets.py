"""Budgets and answers that tests of the budget are made of."""

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.answers.verdict import Answer, Verdict, judge
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.units import PPM

SETTINGS = LimitBeliefs("gpt-4o-mini", tokens=60_000, requests=None)
UNKNOWN = LimitBeliefs("gpt-4o-mini", tokens=None, requests=None)
KEY = LevelBounds(LimitMetric.TOKENS, 60_000, 60_000, 60_000, MINUTE_MS)


def answer(tokens: tuple[int, int, str] | None = None, requests: tuple[int, int, str] | None = None) -> Verdict:
    """A good answer; each triple is limit, remaining, reset."""
    headers = {}
    for metric, triple in (("tokens", tokens), ("requests", requests)):
        for what, value in zip(("limit", "remaining", "reset"), triple or (), strict=False):
            headers[f"x-ratelimit-{what}-{metric}"] = str(value)
    return judge(Answer(200, headers, None, None, None, ""))


def refusal(
    metric: str = "tokens", *, limit: int = 60_000, used: int, requested: int, wait: str = "1s", where: str = ""
) -> Verdict:
    text = (
        f"Rate limit reached for m in {where}organization o on {metric} per min: Limit {limit}, Used {used}, "
        f"Requested {requested}. Please try again in {wait}."
    )
    return judge(Answer(429, {}, "rate_limit_exceeded", metric, None, text))


def failure(status: int, **headers: str) -> Verdict:
    return judge(
        Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, "x", None, None, "x")
    )


def full(settings: LimitBeliefs = SETTINGS, *levels: LevelBounds) -> Budget:
    """A budget whose predecessor left it full, or as the levels say."""
    return Budget(settings, 0, Checkpoint(settings.name, 0, levels or (KEY,), 0, 0, PPM, tolerated_burst_tokens=60_000))


def low(budget: Budget, now_ms: int = 0) -> int:
    return budget.levels(now_ms)[0].low
