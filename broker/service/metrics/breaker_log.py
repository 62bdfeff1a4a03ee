"""Cause of each breaker's opening, for the log and the status: numbers, names, codes and ids, never OpenAI's text.

An operator on call must see at once what OpenAI refused, for which limit, and which request to name to OpenAI's
support. Its texts are left out, since they may quote a prompt. Of another server's answer the first words are kept,
unless they occur in the request (`headrace.broker.service.calls.foreign_server`).
"""

from typing import Any, Final

import structlog

from headrace.broker.adapters.prometheus.labels import ACCOUNT
from headrace.broker.clock import WallClock
from headrace.broker.core.answers.verdict import Verdict, is_word
from headrace.broker.core.commands import BreakerClosed, BreakerOpened
from headrace.broker.core.ticket import ModelTier
from headrace.broker.service.payloads import Payload
from headrace.schemas.instants import to_wire
from headrace.schemas.request_codec import DecodedRequest
from headrace.schemas.tiers import UNNAMED

KEPT_MAX: Final = 200

_log = structlog.get_logger("breaker")


class Trips:
    """Latest cause of each open breaker; of too many, of those that opened last."""

    def __init__(self, clock: WallClock) -> None:
        """No breaker has tripped."""
        self._clock = clock
        self._open: dict[tuple[str | None, ModelTier | None], dict[str, Any]] = {}

    def of(self, breaker: str | None, tier: ModelTier | None = None) -> dict[str, Any] | None:
        """Return what tripped the breaker of a limit, of one of its tiers, or of the account (None, None).

        None if that breaker is closed.
        """
        return self._open.get((breaker, tier))

    def record_opening(self, command: BreakerOpened, cargo: Payload | None) -> None:
        """Keep and log the cause."""
        context = _context(command, cargo)
        opened = command.breaker, command.tier
        self._open.pop(opened, None)
        if len(self._open) >= KEPT_MAX:  # that of the account holds up all
            del self._open[next(each for each in self._open if each != (None, None))]
        self._open[opened] = {"since": to_wire(self._clock.utc_now()), **context}
        # a tier without capacity needs no person at 3 a.m.: its requests are served later
        log = _log.error if command.tier is None else _log.warning
        log("breaker_opened", **_names(command), rest_s=command.rest_ms / 1_000, **context)

    def record_closing(self, command: BreakerClosed) -> None:
        """Forget the cause, and log the closing."""
        self._open.pop((command.breaker, command.tier), None)
        _log.warning("breaker_closed", **_names(command), open_s=command.open_ms / 1_000)


def _names(command: BreakerOpened | BreakerClosed) -> dict[str, str]:
    names = {"breaker": command.breaker or ACCOUNT}
    return names if command.tier is None else {**names, "tier": command.tier.tier or UNNAMED}


def _context(command: BreakerOpened, cargo: Payload | None) -> dict[str, Any]:
    context: dict[str, Any] = {"meaning": command.verdict.meaning.value, "limit": command.limit}
    if cargo is not None:
        error = cargo.error or {}
        words = {name: error.get(name) for name in ("code", "type", "param")}
        context["status"] = error.get("status")
        context |= {name: word for name, word in words.items() if isinstance(word, str) and is_word(word)}
        if isinstance(cargo.content, DecodedRequest):
            context["model"], context["request_id"] = cargo.content.request.model, cargo.content.request.id
        context["upstream_request_id"] = cargo.upstream_request_id
        context |= cargo.response_facts or {}
    known = {**context, **_numbers(command.verdict)}
    return {name: value for name, value in known.items() if value is not None} | {"sentence": command.verdict.sentence}


def _numbers(verdict: Verdict) -> dict[str, int | None]:
    stated = verdict.limit
    numbers: dict[str, int | None] = {"wait_ms": verdict.wait_ms}
    if stated is not None:
        numbers |= {"capacity": stated.capacity, "used": stated.used, "requested": stated.requested}
    return numbers
