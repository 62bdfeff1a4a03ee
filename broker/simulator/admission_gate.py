"""Admission gate: charges a call and admits or refuses it, by law, limiter, books and wording, without HTTP.

HTTP's `exchange` and the `virtual` upstream both send their calls through here, so that they cannot differ in it.
"""

from collections.abc import Mapping
from typing import Protocol

from headrace.broker.simulator.accounting import Books, IdCount
from headrace.broker.simulator.admission import SECOND_US, Admitted
from headrace.broker.simulator.answers import limit_name_of
from headrace.broker.simulator.behaviours.enforcement import ChargeFactor, ChargeLaw
from headrace.broker.simulator.limiter import Limiter
from headrace.broker.simulator.pricing import ChatLaw, Endpoint, Size, charge_at, settlement_of
from headrace.broker.simulator.reply import Reply
from headrace.broker.simulator.response_headers import Speech
from headrace.broker.simulator.settings import UpstreamSettings


class ArrivingCall(Protocol):
    """A call that asks for admission: the basis of its charge, and the book entry of its id, if there is one."""

    @property
    def endpoint(self) -> Endpoint: ...  # noqa: D102
    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def size(self) -> Size: ...  # noqa: D102
    @property
    def count(self) -> IdCount | None: ...  # noqa: D102


class AdmissionGate:
    """Gate that charges by the law in force. `settles`: some law charges for an answer at its end."""

    def __init__(self, settings: UpstreamSettings, limiter: Limiter, speech: Speech) -> None:
        self._limiter = limiter
        self._speech = speech
        laws = [(0.0, ChatLaw(settings.law))]
        laws += [(play.from_s, play.law) for play in settings.behaviours if isinstance(play, ChargeLaw)]
        self._laws = sorted(laws, key=lambda entry: entry[0])  # stable: the last named wins
        self.settles = any(law is ChatLaw.USAGE for _, law in laws)
        factors = [play.factor for play in settings.behaviours if isinstance(play, ChargeFactor)]
        self._factor = factors[-1] if factors else None

    def enter(self, arriving: ArrivingCall, books: Books, now_us: int) -> Reply | Admitted:
        """Return the refusal, or the levels after a call that was charged."""
        name = limit_name_of(arriving.model)
        charge = self._scaled(charge_at(arriving.endpoint, arriving.size, self._law(books, now_us)))
        verdict = self._limiter.admit(name, charge, now_us, arriving.size.input_tokens + arriving.size.picture_tokens)
        if not isinstance(verdict, Admitted):
            headers, body = self._speech.refusal(arriving.endpoint, arriving.model, verdict, now_us)
            return Reply(429, body, headers, count=arriving.count)
        books.admit(arriving.count, name, charge, now_us)
        return verdict

    def headers(self, arriving: ArrivingCall, admitted: Admitted, now_us: int) -> dict[str, str]:
        """Build the limit headers of its answer."""
        return self._speech.headers(limit_name_of(arriving.model), admitted.levels, admitted.project_levels, now_us)

    def settle(self, arriving: ArrivingCall, output_tokens: int, books: Books, now_us: int, due_us: int) -> bool:
        """Debit at `due_us` what the law charges for an answer; return whether that is anything."""
        if not self.settles:
            return False
        law = self._law(books, now_us)
        tokens = self._scaled(settlement_of(arriving.endpoint, arriving.size, output_tokens, law))
        if tokens == 0:
            return False
        name = limit_name_of(arriving.model)
        self._limiter.settle(name, tokens, due_us)
        books.settle(name, tokens)
        return True

    def headers_at(self, model: str, now_us: int) -> Mapping[str, str]:
        """Build the headers for a model's levels now."""
        name = limit_name_of(model)
        levels = self._limiter.levels(name, now_us)
        return self._speech.headers(name, levels, self._limiter.project_levels(name), now_us)

    def _scaled(self, tokens: int) -> int:
        return tokens if self._factor is None or not tokens else max(1, round(tokens * self._factor))

    def _law(self, books: Books, now_us: int) -> ChatLaw:
        if len(self._laws) == 1:
            return self._laws[0][1]
        since_s = (now_us - books.opened_us) / SECOND_US
        law = self._laws[0][1]
        for from_s, later in self._laws[1:]:
            if from_s <= since_s:
                law = later
        return law
