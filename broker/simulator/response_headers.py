"""Statements of answers about limits: OpenAI's as recorded, or another server's."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from headrace.broker.simulator import dialects, wording
from headrace.broker.simulator.admission import SECOND_US, HeaderTriple, Levels, Metric, Refusal
from headrace.broker.simulator.answers import limit_name_of
from headrace.broker.simulator.behaviours import profiles
from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.enforcement import EnforcedWindow
from headrace.broker.simulator.pricing import Endpoint

Body = Mapping[str, Any] | str

_STALE_NAMES_MAX: Final = 1_000  # as many as a limiter has accounts


class Speech:
    """Builder of headers and bodies. Stale headers are its only state; plain ones state exact tokens and requests."""

    def __init__(self, behaviours: Sequence[Behaviour]) -> None:
        self._profile: profiles.AnswerProfile = profiles.AllHeaders()
        self._stale_us = 0
        self._parts = 0
        shows_more = False
        for behaviour in behaviours:
            match behaviour:
                case profiles.StaleHeaders():
                    self._stale_us = round(behaviour.seconds * SECOND_US)
                case profiles.RoundedHeaders():
                    self._parts = behaviour.parts
                case EnforcedWindow(counts=Metric.INPUT_TOKENS):
                    shows_more = True
                case _ if isinstance(behaviour, profiles.AnswerProfile):
                    self._profile = behaviour
                case _:
                    pass
        exact = not self._stale_us and not self._parts
        self.is_plain = isinstance(self._profile, profiles.AllHeaders) and exact and not shows_more
        self._looked_up: dict[str, tuple[int, Levels, Levels]] = {}

    def reset(self) -> None:
        """Look all levels up anew."""
        self._looked_up.clear()

    def headers(self, name: str, levels: Levels, project_levels: Levels, now_us: int) -> dict[str, str]:
        """Build the limit headers of any answer that has them; `name` is the undated model's."""
        if self._stale_us:
            levels, project_levels = self._as_looked_up(name, levels, project_levels, now_us)
        if self._parts:
            levels, project_levels = self._rounded(levels), self._rounded(project_levels)
        match self._profile:
            case profiles.NoHeaders() | profiles.OnlyRetryAfter() | profiles.HtmlGateway():
                return {}
            case profiles.OnlyTokenHeaders():
                levels, project_levels = _tokens_of(levels), _tokens_of(project_levels)
            case profiles.Azure():
                return dialects.azure_headers(levels, in_seconds=self._profile.in_seconds)
            case profiles.AzureUnlimited():
                return dialects.azure_headers({metric: HeaderTriple(-1, -1, 0) for metric in levels}, in_seconds=False)
            case _:
                pass
        headers = wording.limit_headers(levels)
        return headers | wording.project_levels_headers(project_levels) if project_levels else headers

    def refusal(self, endpoint: Endpoint, model: str, refused: Refusal, now_us: int) -> tuple[dict[str, str], Body]:
        """Build all headers and the body of a 429."""
        headers = self.headers(limit_name_of(model), refused.levels, refused.project_levels, now_us)
        both = wording.retry_headers(refused) if refused.wait_stated else {}
        after = {name: value for name, value in both.items() if name == "retry-after"}
        match self._profile:
            case profiles.OnlyRetryAfter():
                return after, dialects.curt_body(refused)
            case profiles.Azure():
                return headers | after, dialects.azure_body(endpoint, refused)
            case profiles.AzureUnlimited():
                return headers, dialects.azure_curt_body(refused)
            case profiles.HtmlGateway():
                return after if self._profile.retry_after else {}, dialects.page(429)
            case profiles.Groq():
                return headers | after, dialects.groq_body(model, refused)
            case profiles.BareResponses429() if endpoint is Endpoint.RESPONSES:
                headers, both = {}, {}
            case profiles.NoHeaders() | profiles.OnlyTokenHeaders():
                both = {}
            case _:
                pass
        body = wording.refusal_body(model, refused) if refused.numbers_stated else dialects.curt_body(refused)
        return headers | both, body

    def failure_body(self, status: int) -> Body:
        """Build the body of a 5xx."""
        return (
            dialects.page(status) if isinstance(self._profile, profiles.HtmlGateway) else wording.failure_body(status)
        )

    def _as_looked_up(self, name: str, levels: Levels, project_levels: Levels, now_us: int) -> tuple[Levels, Levels]:
        known = self._looked_up.get(name)
        if known is None or now_us >= known[0] + self._stale_us or now_us < known[0]:
            if len(self._looked_up) >= _STALE_NAMES_MAX:
                self._looked_up.clear()
            known = self._looked_up[name] = now_us, levels, project_levels
        return known[1], known[2]

    def _rounded(self, levels: Levels) -> dict[Metric, HeaderTriple]:
        return {metric: _rounded(level, self._parts) for metric, level in levels.items()}


def _rounded(level: HeaderTriple, parts: int) -> HeaderTriple:
    step = max(1, level.limit // parts)
    return HeaderTriple(level.limit, level.remaining // step * step, -(-level.reset_ms // 1_000) * 1_000)


def _tokens_of(levels: Levels) -> dict[Metric, HeaderTriple]:
    return {metric: level for metric, level in levels.items() if metric is Metric.TOKENS}
