"""The simulated OpenAI in virtual time: the same limiter, headers, faults and latencies, without HTTP or texts.

A benchmark or planner owns the clock. It calls `arrive`, learns when the call will end, and calls `end` at that
instant, in the order of its events:

    upstream = VirtualUpstream(UpstreamSettings(tokens_per_minute=60_000, behaviours=(behaviour("fixed-window"),)))
    visit = upstream.arrive(Ask("lead-1", "gpt-4o-mini", Size.chat(2_000), output_tokens=150), now_us)
    answer = upstream.end(visit)  # when the clock stands at visit.ends_us
    upstream.books(now_us).accounts["gpt-4o-mini"][Metric.TOKENS].share

Instants are whole microseconds that never go back. A stream ends as its answer does; its events on the way are not
simulated, and an error in its middle is a 500. Bodies of answers hold their usage and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from headrace.broker.simulator import wording
from headrace.broker.simulator.accounting import Books, IdCount, Stats
from headrace.broker.simulator.admission import SECOND_US, Admitted, Levels
from headrace.broker.simulator.admission_gate import AdmissionGate
from headrace.broker.simulator.answers import limit_name_of
from headrace.broker.simulator.behaviours.enforcement import ProjectLimits
from headrace.broker.simulator.behaviours.latencies import LoadLatency
from headrace.broker.simulator.chance import Chance
from headrace.broker.simulator.limiter import Limiter
from headrace.broker.simulator.pricing import Endpoint, Size
from headrace.broker.simulator.reply import Reply
from headrace.broker.simulator.response_headers import Speech
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.streams import Manner
from headrace.broker.simulator.trouble import Luck, Trouble

IDS_MAX: Final = 100_000  # tracked one by one; a benchmark of a million calls needs no more
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
_HEEDED: Final = (ProjectLimits, LoadLatency)  # these show in headers, or depend on the calls in flight
_DELTAS: Final = 40  # of a stream that may break, as an e-mail has


@dataclass(slots=True)
class Ask:
    """One call: the basis of its charge, and the tokens of its answer. The upstream sets `count`."""

    id: str
    model: str
    size: Size
    endpoint: Endpoint = Endpoint.CHAT
    output_tokens: int = 0
    streamed: bool = False
    tier: str = ""
    count: IdCount | None = None


@dataclass(slots=True)
class Visit:
    """A call in flight. `status` is its final one, None for no answer; only the virtual upstream knows it yet.

    `levels` are those that its headers will state, where they are OpenAI's own and nothing else is in them: then there
    is no `reply`, and its end changes nothing but a count.
    """

    ends_us: int
    status: int | None
    ask: Ask
    levels: Levels | None = None
    reply: Reply | None = None


@dataclass(slots=True)
class VirtualAnswer:
    """The caller's final result: a status with headers and a body, or only a lost connection.

    Headers and usage are spelled when they are read. A simulation of a million calls reads the `levels`, where there
    are any.
    """

    status: int | None
    spelled: Mapping[str, str]
    said: Mapping[str, Any] | str | Ask
    levels: Levels | None = None

    @property
    def body(self) -> Mapping[str, Any] | str:
        """An error, or the usage of the answered call."""
        return _usage(self.said) if isinstance(self.said, Ask) else self.said

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers by name."""
        return self.spelled if self.levels is None else wording.limit_headers(self.levels)


class VirtualUpstream:
    """One simulated OpenAI, opened at `opened_us`.

    Attributes:
        just_answers: Every paid call is answered, and the instant of a call's end affects nothing but a count.
    """

    def __init__(self, settings: UpstreamSettings, opened_us: int = 0, *, counts_ids: bool = True) -> None:
        """Without `counts_ids` its books count no single ids, unless a behaviour depends on them."""
        self.limiter = Limiter(settings.limits(), settings.scene())
        self.limiter.reset(opened_us)
        self._chance = Chance(settings.seed)
        self._speech = Speech(settings.behaviours)
        self._gate = AdmissionGate(settings, self.limiter, self._speech)
        self._trouble = Trouble(settings, self._chance, self._speech)
        self._latency = settings.latency()
        self._behaving = bool(settings.behaviours)
        self._counts_ids = counts_ids
        plain = self._trouble.is_quiet and self._speech.is_plain and not self._gate.settles
        self.just_answers = plain and not any(isinstance(each, _HEEDED) for each in settings.behaviours)
        self._books = Books(settings.limits(), opened_us, IDS_MAX)

    def arrive(self, ask: Ask, now_us: int) -> Visit:
        """Charge a call or refuse it, and decide how it will end."""
        books, luck = self._books, self._luck(ask)
        books.arrive()
        if luck is not None and (away := self._turned_away(ask, luck, now_us)) is not None:
            return Visit(now_us, away.status, ask, reply=away)
        admitted = self._gate.enter(ask, books, now_us)
        if isinstance(admitted, Reply):
            return Visit(now_us, admitted.status, ask, reply=admitted)
        delay_s = self._latency.delay_s(self._chance.draw(ask.id.encode(), "latency"), books.inflight)
        if luck is None:
            return Visit(now_us + round(delay_s * SECOND_US), 200, ask, admitted.levels)
        return self._mishap(ask, luck, delay_s, now_us) or self._answered(
            _Entered(ask, luck, now_us), admitted, delay_s
        )

    def end(self, visit: Visit) -> VirtualAnswer:
        """Return the caller's result at `visit.ends_us`."""
        books, status, reply = self._books, visit.status, visit.reply
        books.inflight -= 1
        if status is None:
            books.disconnected += 1
            return VirtualAnswer(None, _NO_HEADERS, "")
        books.answer(status, visit.ask.count)
        if reply is None:
            return VirtualAnswer(status, _NO_HEADERS, visit.ask, visit.levels)
        if reply.late_headers is not None:
            return VirtualAnswer(status, {**reply.headers, **reply.late_headers(visit.ends_us)}, reply.body)
        return VirtualAnswer(status, reply.headers, reply.body)

    def books(self, now_us: int | None = None, *, ids: bool = False) -> Stats:
        """Return the counts, and what was offered until `now_us` or until each limit's last call."""
        accounts = self.limiter.tallies(now_us)
        return self._books.snapshot(with_ids=ids, accounts=accounts, behaving=self._behaving)

    def _luck(self, ask: Ask) -> Luck | None:
        """Return what decides the call's fate beside its latency; None where every admitted call is answered."""
        simple = self.just_answers and not ask.streamed
        if self._counts_ids or not simple:
            ask.count = count = self._books.identify(ask.id)
            return None if simple else Luck(ask.id.encode(), ask.id, count, ask.tier)
        return None

    def _turned_away(self, ask: Ask, luck: Luck, now_us: int) -> Reply | None:
        """Return the refusal of a call that is not even charged, or None."""
        away = self._trouble.turned_away(luck, self._since_s(now_us))
        if away is not None or not self._trouble.refuses_for_long(luck):
            return away
        self._books.refuse_for_long(luck.count)
        refused = self._trouble.long_refusal(self.limiter.levels(limit_name_of(ask.model), now_us))
        headers, body = self._speech.refusal(ask.endpoint, ask.model, refused, now_us)
        return Reply(429, body, headers, count=luck.count)

    def _mishap(self, ask: Ask, luck: Luck, delay_s: float, now_us: int) -> Visit | None:
        mishap = self._trouble.mishap(luck, delay_s, self._since_s(now_us))
        if mishap is None:
            return None
        status = None if mishap.dropped else mishap.status
        return Visit(now_us + round(mishap.delay_s * SECOND_US), status, ask, reply=mishap)

    def _answered(self, call: "_Entered", admitted: Admitted, delay_s: float) -> Visit:
        ask, luck, now_us = call
        status: int | None = 200
        if ask.streamed:
            delay_s *= self._trouble.slowness(luck)
            broken = self._trouble.break_of(luck, _DELTAS)
            if broken is not None:
                delay_s *= broken.after_deltas / _DELTAS
                status = None if broken.manner is Manner.CUT else 500
        ends_us = now_us + round(delay_s * SECOND_US)
        settled = self._gate.settle(ask, ask.output_tokens, self._books, now_us, ends_us)
        if status == 200 and self._speech.is_plain and not settled and not admitted.project_levels:
            return Visit(ends_us, status, ask, admitted.levels)
        body = _usage(ask) if status == 200 else self._speech.failure_body(500)
        headers = self._gate.headers(ask, admitted, now_us)
        late = None
        if settled and not ask.streamed:

            def late(late_us: int) -> Mapping[str, str]:
                return self._gate.headers_at(ask.model, late_us)

        return Visit(ends_us, status, ask, reply=Reply(200, body, headers, late_headers=late))

    def _since_s(self, now_us: int) -> float:
        return (now_us - self._books.opened_us) / SECOND_US


class _Entered(NamedTuple):
    """An admitted call, and its instant."""

    ask: Ask
    luck: Luck
    now_us: int


def _usage(ask: Ask) -> dict[str, Any]:
    inputs, outputs = ask.size.input_tokens, ask.output_tokens
    names = (
        ("input_tokens", "output_tokens")
        if ask.endpoint is Endpoint.RESPONSES
        else (
            "prompt_tokens",
            "completion_tokens",
        )
    )
    return {"usage": {names[0]: inputs, names[1]: outputs, "total_tokens": inputs + outputs}}
