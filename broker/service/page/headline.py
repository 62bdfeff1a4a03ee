"""The page's first sentence: do requests flow, and what binds now."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from headrace.broker.amounts import counted, spoken_period, spoken_s
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.lease import RELEASED
from headrace.broker.service.status.findings import TRIPPED, emptiest, left_of, next_probe, table_of
from headrace.broker.service.status.reading import Report, Said, StatusReading

LONG_S: Final = 60.0
"""A limit whose next call goes later than this lets nothing flow, and the time until then is named."""
LISTED_MAX: Final = 5
"""Names of lanes or limits in the sentence: producers choose models, and lanes may be many."""
_NAME_CHARS_MAX: Final = 60
_RATE_SAID_MIN: Final = 0.05
TIGHT: Final = 0.2
"""A bucket with less than this left binds, even in an instant at which it could pay the next call."""
_OK: Final = Meaning.OK.value
_MINUTE_S: Final = 60.0


class _Calls(Enum):
    """What the calls of the last minute came to."""

    NONE = "none"
    UNANSWERED = "unanswered"
    FAIL = "fail"
    SUCCEED = "succeed"


class FlowState(Enum):
    """Whether requests flow."""

    FLOWS = "flows"
    IDLE = "idle"
    WAITS = "waits"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Headline:
    """One or two sentences; `subject` changes only with what they are about, not with their figures."""

    flow: FlowState
    sentence: str
    subject: str


def headline(look: StatusReading) -> Headline:
    """Return what a reader must know first."""
    report = look.dispatcher
    if report.said is None and any(report.place in each for each in report.spoilt):
        return Headline(FlowState.UNKNOWN, "What the leader left in Redis cannot be read.", "spoilt")
    if report.said is None or report.is_stale:
        return _silent(report)
    said = report.said
    if said.get("role") != "leader":
        return _without_leader(report, said)
    if not table_of(said, "ready").get("kafka", True):
        return Headline(
            FlowState.STOPPED, "Kafka does not answer the leader: nothing is taken and nothing published.", "kafka"
        )
    account = table_of(said, "account")
    if account.get("breaker", "closed") != "closed":
        return Headline(FlowState.STOPPED, f"OpenAI does not serve: {_opened(account)}.", "account")
    return _of_limits(said)


def _silent(report: Report) -> Headline:
    age = spoken_s(report.age_s or 0)
    if report.said is not None and report.holder is not None and report.holder == report.said.get("owner"):
        sentence = f"The leader holds the lease and reported last {age} ago: what flows now is not known."
        return Headline(FlowState.UNKNOWN, sentence, "hangs")
    if report.said is None:
        sentence = "No dispatcher leads, and none has reported within a day: nothing flows."
    else:
        sentence = f"No dispatcher leads: the last leader reported {age} ago. Nothing flows."
        if report.standbys and report.holder in {None, RELEASED}:
            sentence += f" {counted(report.standbys, 'standby')} should take over within seconds."
    return Headline(FlowState.STOPPED, sentence, "silent")


def _without_leader(report: Report, said: Said) -> Headline:
    role = said.get("role")
    if role in {"promoting", "suspended"} and not said.get("leading_since"):
        return Headline(FlowState.WAITS, "A new leader is being promoted: calls begin within seconds.", "promoting")
    if role in {"promoting", "suspended"}:
        return Headline(
            FlowState.STOPPED, "The leader cannot publish to Kafka, and starts no calls until it can.", "suspended"
        )
    if report.kind == "url":
        return Headline(
            FlowState.UNKNOWN, "This process does not lead, and Redis does not tell what the leader does.", "unseen"
        )
    return Headline(FlowState.UNKNOWN, f"The last report came from a process that is {role}.", "role")


# ---------------------------------------------------------------------------------------------------- limits


def _of_limits(said: Said) -> Headline:
    unshown = [each for each in _listed(said.get("unshown")) if each in ("lanes", "limits")]
    if unshown or not _lanes(said):
        return Headline(FlowState.UNKNOWN, "A dispatcher leads; its report does not say what waits.", "untold")
    limits = {name: limit for name, limit in table_of(said, "limits").items() if isinstance(limit, Mapping)}
    shut = {name: limit for name, limit in limits.items() if limit.get("breaker", "closed") != "closed"}
    waiting = {name: limit for name, limit in limits.items() if name not in shut and _whole(limit.get("waiting"))}
    calls = _calls(said)
    flows = calls is _Calls.SUCCEED
    if shut and not waiting and (not flows or any(_whole(limit.get("waiting")) for limit in shut.values())):
        name, limit = max(shut.items(), key=lambda item: _whole(item[1].get("waiting")))
        return Headline(FlowState.STOPPED, f"OpenAI does not serve {name}: {_opened(limit)}.", f"shut {name}")
    if not waiting:
        return _nothing_waits(said, calls)
    name, limit = max(waiting.items(), key=lambda item: (_lasts_s(item[1]), _whole(item[1].get("waiting"))))
    binds, subject = _binding(name, limit)
    lanes = _few(_lanes_wait(said))
    lasts = f". Time to empty: {lanes}" if lanes else ""
    except_for = f" Not served: {_few(shut)}." if shut else ""
    soon = _whole(said.get("inflight")) or any(_lasts_s(each) <= LONG_S for each in waiting.values())
    if flows and (soon or _ended_lately(said)):
        return Headline(FlowState.FLOWS, f"Requests flow. {binds}{lasts}.{except_for}", f"flows {subject}")
    made = "" if calls in {_Calls.NONE, _Calls.SUCCEED} else f" {_without_success(said, calls)}"
    return Headline(FlowState.WAITS, f"Requests wait.{made} {binds}{lasts}.{except_for}", f"waits {subject}")


def _nothing_waits(said: Said, calls: _Calls) -> Headline:
    """Return the sentence where no request waits for a limit; some may sleep until they are tried again."""
    lag = sum(_whole(table_of(lane, "lag").get("requests")) for lane in _lanes(said).values())
    asleep = sum(_whole(lane.get("waiting")) for lane in _lanes(said).values())
    sleep = f"{counted(asleep, 'request')} {'waits' if asleep == 1 else 'wait'} for another attempt"
    in_kafka = f"{counted(lag, 'record')} {'waits' if lag == 1 else 'wait'} in Kafka"
    if calls is _Calls.SUCCEED and (_whole(said.get("inflight")) or _ended_lately(said)):
        rate = _answers_per_second(said)
        answered = f"; {rate:,.1f} answers a second" if rate >= _RATE_SAID_MIN else ""
        none = sleep if asleep else f"{in_kafka} to be taken" if lag else "none waits: nothing binds"
        return Headline(FlowState.FLOWS, f"Requests flow, and {none}{answered}.", "flows freely")
    if calls in {_Calls.UNANSWERED, _Calls.FAIL}:
        also = f" {sleep}." if asleep else ""
        return Headline(FlowState.WAITS, f"{_without_success(said, calls)}{also}", f"calls {calls.value}")
    if asleep:
        return Headline(FlowState.WAITS, f"{sleep}; nothing is being called.", "asleep")
    if lag:
        return Headline(FlowState.WAITS, f"{in_kafka}; none is taken yet.", "untaken")
    parked = _whole(said.get("parked"))
    later = (
        f" {counted(parked, 'request')} {'is' if parked == 1 else 'are'} parked until tried again." if parked else ""
    )
    return Headline(FlowState.IDLE, f"All lanes are empty: nothing waits, and nothing is being called.{later}", "idle")


def _calls(said: Said) -> _Calls:
    """Return what the calls of the last minute came to; without a history, calls in flight count as answered."""
    rates = [each for each in _rates(said).values() if _float(each) > 0]
    if _answers_per_second(said) > 0:
        return _Calls.SUCCEED
    if not _whole(said.get("inflight")):
        return _Calls.NONE
    if not isinstance(table_of(said, "lately").get("calls_per_second"), Mapping):
        return _Calls.SUCCEED
    return _Calls.FAIL if rates else _Calls.UNANSWERED


def _without_success(said: Said, calls: _Calls) -> str:
    inflight = _whole(said.get("inflight"))
    if calls is _Calls.UNANSWERED:
        verb = "is" if inflight == 1 else "are"
        return f"{counted(inflight, 'call')} {verb} in flight, and none was answered in the last minute."
    rates = sorted(_rates(said).items(), key=lambda item: -_float(item[1]))
    each = (f"{_float(rate):,.1f} {name.replace('_', ' ')}" for name, rate in rates if _float(rate) > 0)
    return f"Calls are made, and none has succeeded in the last minute; answers a second: {_few(each)}."


def _few(told: Iterable[str]) -> str:
    """List at most `LISTED_MAX` of them, and say how many more there are."""
    listed = list(told)
    more = f" and {len(listed) - LISTED_MAX:,} more" if len(listed) > LISTED_MAX else ""
    return ", ".join(each[:_NAME_CHARS_MAX] for each in listed[:LISTED_MAX]) + more


def _binding(name: str, limit: Said) -> tuple[str, str]:
    """Return what binds a limit, and its subject."""
    told = [each for each in _listed(limit.get("next_waits_for")) if isinstance(each, Mapping)]
    reason = told[-1] if told else {}
    kind = str(reason.get("kind", ""))
    long = _lasts_s(limit) > LONG_S
    soon = f"; the next call goes in {spoken_s(_lasts_s(limit))}" if long else ""
    if kind == "limit":
        return (
            f"{_bucket(name, reason)} binds: {_used(limit, reason)}{soon}",
            f"{name} {reason.get('metric')}",
        )
    if kind in _SAID:
        return f"{_SAID[kind](name, limit, reason)}{soon}", f"{name} {kind}"
    bucket = emptiest(_buckets(limit))
    if bucket is not None and left_of(bucket) < TIGHT and limit.get("measured_tokens_per_minute") is None:
        return (
            f"{_bucket(name, bucket)} binds: {_used(limit, bucket)}{soon}",
            f"{name} {bucket.get('metric')}",
        )
    waiting = _whole(limit.get("waiting"))
    turn = "waits for its turn" if waiting == 1 else "wait for their turn"
    return f"{counted(waiting, 'request')} of {name} {turn}", f"{name} turn"


_SAID: Final[Mapping[str, Callable[[str, Said, Said], str]]] = {
    "places": lambda name, _, told: (
        f"Calls in flight of {'this dispatcher' if told.get('of') == 'dispatcher' else name} bind: "
        f"{_whole(told.get('inflight')):,} of {_whole(told.get('most')):,} are under way"
    ),
    "memory": lambda *_: "Memory for answers binds: it is full until they are committed",
    "first_answer": lambda name, *_: f"One call of {name} goes first, since its levels are not known",
    "cooldown": lambda name, limit, _: f"OpenAI asked for a pause on {name}, for another {spoken_s(_lasts_s(limit))}",
    "own_cap": lambda name, _, told: (
        f"Your own cap on {name} binds: {_whole(told.get('charged')):,} of {_whole(told.get('capacity')):,} tokens a "
        "minute are spent"
    ),
    "pace": lambda name, limit, _: (
        f"The burst bound of {name} binds: OpenAI accepts no more at once"
        if limit.get("measured_tokens_per_minute") is None
        else f"The measured rate of {name} binds: {_whole(limit['measured_tokens_per_minute']):,} tokens a minute"
    ),
    "tenant_cap": lambda name, *_: f"A tenant's own cap binds the next requests of {name}",
    "breaker": lambda name, _, told: (
        f"OpenAI has no capacity for service tier {told.get('tier')} of {name}"
        if told.get("of") == "tier"
        else f"OpenAI does not serve {name}"
    ),
    "leader": lambda *_: "The leader starts no calls at present",
    "retry": lambda name, *_: f"The next requests of {name} wait for another attempt",
}


def _bucket(name: str, told: Said) -> str:
    whose = "the project's " if told.get("project") else ""
    each = spoken_period(_float(told.get("period_s"))).replace("minute", "min")
    return f"The limit of {whose}{told.get('metric')}/{each} of {name}"


def _used(limit: Said, told: Said) -> str:
    """Say what part of a bucket is used up: of a minute's tokens by what was paid, of others by what is left."""
    capacity = _float(told.get("capacity"))
    if capacity <= 0:
        return "its quota is used up"
    if told.get("metric") == "tokens" and _float(told.get("period_s")) == _MINUTE_S and "charged_last_minute" in limit:
        used = min(1.0, _float(limit["charged_last_minute"]) / capacity)
        return f"its quota is used to {100 * used:.0f} %"
    left = _float(told.get("there", told.get("level_low")))
    return f"{max(0.0, left):,.0f} of {capacity:,.0f} are left"


def _opened(broken: Said) -> str:
    why = str(broken.get("breaker")).removeprefix("open: ")
    return f"{TRIPPED.get(why, why)}; {next_probe(broken)}"


def _lanes_wait(said: Said) -> Iterator[str]:
    """Yield the time that each lane with requests takes to empty, and beside it a lane above without any."""
    lanes = _lanes(said)
    waiting = [name for name, lane in lanes.items() if _whole(lane.get("waiting"))]
    for name, lane in lanes.items():
        if name in waiting or (waiting and name == next(iter(lanes))):
            yield f"{name} {_short(_float(lane.get('waiting_seconds')))}"


def _short(seconds: float) -> str:
    return "0 s" if seconds < 0.05 else spoken_s(seconds)


def _answers_per_second(said: Said) -> float:
    return _float(_rates(said).get(_OK))


def _ended_lately(said: Said) -> bool:
    """Return whether a call has ended in the last 15 to 30 s; without a history, yes."""
    calls = table_of(said, "lately").get("calls")
    if not isinstance(calls, Mapping):
        return True
    return any(
        _whole(count) for each in calls.values() for count in _listed(table_of({"": each}, "").get("ended"))[-2:]
    )


def _rates(said: Said) -> Said:
    return table_of(table_of(said, "lately"), "calls_per_second")


def _lasts_s(limit: Said) -> float:
    return max(_float(limit.get("next_call_s")), _float(limit.get("paused_s")))


def _lanes(said: Said) -> dict[str, Said]:
    return {name: lane for name, lane in table_of(said, "lanes").items() if isinstance(lane, Mapping)}


def _buckets(limit: Said) -> Sequence[Said]:
    return [each for each in _listed(limit.get("buckets")) if isinstance(each, Mapping)]


def _listed(told: Any) -> Sequence[Any]:
    return told if isinstance(told, list | tuple) else ()


def _whole(told: Any) -> int:
    return max(0, told) if isinstance(told, int) and not isinstance(told, bool) else 0


def _float(told: Any) -> float:
    try:
        number = float(told) if isinstance(told, int | float) else 0.0
    except OverflowError:
        return 0.0
    return number if math.isfinite(number) else 0.0
