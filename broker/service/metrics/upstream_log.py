"""Log lines on answers that are no ordinary ones: a server that does not serve, and answers of an unknown form."""

import re
from typing import Final

import structlog

from headrace.broker.clock import WallClock
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.service.metrics.payload_facts import model_of
from headrace.broker.service.payloads import Payload

TROUBLE_SAID_EVERY_MS: Final = 5_000
SHAPES_SAID_MAX: Final = 100

_ORDINARY: Final = frozenset(
    {Meaning.OK, Meaning.RATE_LIMITED, Meaning.REJECTED, Meaning.TOO_LARGE, Meaning.TIER_UNAVAILABLE}
)

_log = structlog.get_logger("telemetry")


class UpstreamLog:
    """Logs the answers of OpenAI that an operator should know of."""

    def __init__(self, clock: WallClock) -> None:
        """Nothing was logged."""
        self._clock = clock
        self._silenced = 0
        self._speak_at_ms = 0
        self._shapes_said: set[str] = set()

    def observe(self, cargo: Payload, verdict: Verdict) -> None:
        """Log an answer that no table knows, and one that says that OpenAI does not serve."""
        if verdict.shape is not None:
            self._not_understood(cargo, verdict, verdict.shape)
        if verdict.meaning not in _ORDINARY:
            self._trouble(cargo, verdict)

    def _trouble(self, cargo: Payload, verdict: Verdict) -> None:
        """Log that OpenAI does not serve, at most every few seconds: a server that is down fails every call."""
        now_ms = self._clock.now_ms()
        self._silenced += 1
        if now_ms < self._speak_at_ms:
            return
        status, code = (cargo.error or {}).get("status"), (cargo.error or {}).get("code")
        _log.warning(
            "upstream_trouble",
            meaning=verdict.meaning.value,
            model=model_of(cargo),
            limit=cargo.limit,
            status=status,
            code=code,
            calls=self._silenced,
            sentence=verdict.sentence,
        )
        self._silenced, self._speak_at_ms = 0, now_ms + TROUBLE_SAID_EVERY_MS

    def _not_understood(self, cargo: Payload, verdict: Verdict, shape: str) -> None:
        """Log once the form of an answer that no table knows; its text may quote the prompt and stays out."""
        kind = re.sub(r"[0-9]+", "#", shape)
        if kind in self._shapes_said or len(self._shapes_said) >= SHAPES_SAID_MAX:
            return
        self._shapes_said.add(kind)
        _log.warning(
            "answer_not_understood",
            shape=shape,
            taken_for=verdict.meaning.value,
            model=model_of(cargo),
            limit=cargo.limit,
        )
