"""Why one request waits, in a few lines for a person at 3 a.m.

The report comes from a dispatcher of this release or of another: any field may be missing, and a kind that is not known
here is shown by its own name.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from headrace.broker.amounts import counted, spoken_period, spoken_s
from headrace.broker.service.metrics.escapes import safe
from headrace.broker.service.status.findings import TRIPPED, cause, next_probe, table_of
from headrace.broker.service.status.reading import Said

_SOON_S: Final = 12 * 3_600
_NEW_S: Final = 10.0
_LEADER: Final = {
    "suspended": "the leader: it starts no calls until it can publish to Kafka again; do not restart it",
    "unproved": "the leader: it starts no calls until it has proved that it still leads",
    "leaving": "another leader: this one is shutting down, and starts no call that would not end in time",
}


def lines(told: Said) -> list[str]:
    """Return all lines, the state first."""
    name = f"{told.get('id')}{_run(told)}"
    try:
        return [safe(line) for line in _lines(name, told)]
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ):  # a field is of another type than ours
        return [safe(f"{name} is {told.get('state')}; what is told of it beside cannot be read: see /status?id=ID.")]


def _run(told: Said) -> str:
    return f" (run {told['run']})" if told.get("run") else ""


def _lines(name: str, told: Said) -> Iterator[str]:
    where = f"lane {told.get('lane')} ({_tenant(told)}{_template(told)})"
    match told.get("state"):
        case "waiting" | "waiting_for_order" | "waiting_for_retry":
            yield f"{name} waits in {where}{_standing(told)}."
            yield from _waiting(told)
        case "calling":
            lasted = _span(told.get("for_s"))
            yield f"{name} is being called, in {where}: attempt {told.get('calls')}, for {lasted} now."
        case "joined":
            yield f"{name} waits for the outcome of {_first(told)}, and is then examined again:"
            yield from _lines(_first(told), table_of(told, "behind"))
        case "settled":
            yield f"{name} is decided ({_ended(table_of(told, 'decided'))}) and will be published with the next commit."
            if told.get("trouble"):
                yield f"Commits wait: {told['trouble']}"
        case "parked":
            yield f"{name} is parked in the failures topic, after {counted(int(told.get('attempts', 0)), 'call')}."
            yield _back(told.get("retry_at"))
        case "answered":
            yield from _answered(name, told)
        case "unknown":
            window = spoken_s(float(told.get("dedupe_window_s", 0)))
            yield (
                f"Nothing is known of {name}: it was not taken yet, does not exist, or was answered longer ago than "
                f"the dedupe window ({window})."
            )
            yield from _without_room(told.get("lanes_without_room") or ())
            yield from _new(told.get("leads_for_s"))
        case "elsewhere":
            yield str(told.get("sentence"))
        case state:
            yield f"{name} is {state}."


def _tenant(told: Said) -> str:
    return f"tenant {told['tenant']}" if told.get("tenant") else "no tenant"


def _template(told: Said) -> str:
    return f", template {told['template']}" if told.get("template") else ""


def _first(told: Said) -> str:
    run = table_of(told, "behind").get("run")
    return "its first submission" if run == told.get("run") else f"run {run}"


def _ended(outcome: Said) -> str:
    status, reason = outcome.get("status") or "with nothing to publish", outcome.get("reason")
    return f"{status}, {reason}" if reason else str(status)


def _back(retry_at: Any) -> str:
    if retry_at is None:
        return "The retrier puts it back when it is due; an earlier leader parked it, so this one does not know when."
    return f"The retrier puts it back at {_clock(retry_at)}."


def _answered(name: str, told: Said) -> Iterator[str]:
    outcome = table_of(told, "outcome")
    if outcome.get("status") is None:
        yield f"{name} was answered: run {told.get('last_run')} came after it."
        return
    yield f"{name} was answered: {_ended(outcome)}."
    if outcome.get("at"):
        yield from _facts(outcome)
    if outcome["status"] == "failed" and outcome.get("reason") != "cancelled":
        yield "`headrace dead-letters show ID` says why."


def _facts(outcome: Said) -> Iterator[str]:
    """Say when it was answered, by which model, for how many tokens, and where its record is."""
    to = f"{outcome.get('model') or 'no model'}{_template(outcome)}"
    yield (
        f"Its outcome was published at {_clock(outcome['at'])}, after {counted(_whole(outcome.get('calls')), 'call')} "
        f"to {to}; it was submitted at {_clock(outcome.get('submitted_at'))}."
    )
    if outcome.get("input_tokens") is not None:
        tokens = (_number(outcome.get(f"{kind}_tokens")) for kind in ("charge", "input", "output"))
        yield "Tokens: {} charged to the limit; {} of input and {} of output were billed.".format(*tokens)
    yield f"Its request is {outcome.get('origin')} (topic/partition/offset)."
    if outcome.get("upstream_request_id"):
        yield f"OpenAI's id of the call: {outcome['upstream_request_id']}."


def _whole(told: Any) -> int:
    return told if isinstance(told, int) else 0


def _without_room(lanes: Sequence[str]) -> Iterator[str]:
    if lanes:
        noun, verb = ("Lane", "has") if len(lanes) == 1 else ("Lanes", "have")
        yield (
            f"{noun} {', '.join(lanes)} {verb} no room now: later requests wait in Kafka until some of those taken "
            "are done."
        )


def _new(leads_for_s: Any) -> Iterator[str]:
    """Warn that a new leader has not read all its lanes."""
    if not isinstance(leads_for_s, int | float):
        yield "The dispatcher does not lead yet: ask again in a few seconds."
    elif leads_for_s < _NEW_S:
        yield f"The dispatcher has led for only {spoken_s(leads_for_s)} and may not have read its lanes yet: ask again."


# ---------------------------------------------------------------------------------------------------- what waits


def _standing(told: Said) -> str:
    """Say which place it has in its queue, and what is before it in the lane."""
    before = told.get("before")
    if not isinstance(before, Mapping):
        return ""
    own, lane = table_of(before, "tenant"), table_of(before, "lane")
    if not lane.get("requests"):
        return ", next in its lane"
    place, about = _ordinal(int(own.get("requests", 0)) + 1), "" if own == lane else "about "
    crowd = f"{about}{lane['requests']:,} before it in the lane ({lane.get('tokens', 0):,} tokens)"
    return f", {place} of its tenant, {crowd}"


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"


def _waiting(told: Said) -> Iterator[str]:
    begin = "It waits for"
    for each in told.get("waits_for") or ():
        yield f"{begin}: {hindrance(each)}."
        begin = "And for"
    if begin == "It waits for":
        yield "Nothing holds it back: its call starts now, or right after those before it."
    yield from _estimate(told)


def _estimate(told: Said) -> Iterator[str]:
    estimate = told.get("estimated_start")
    if not isinstance(estimate, Mapping):
        yield "Estimated start: not known."
        return
    in_s = estimate.get("in_s")
    at = f"in about {_span(in_s)} ({_clock(estimate.get('at'), in_s)})"
    yield f"Estimated start: {at}, unless requests arrive that go before it."
    if str(estimate.get("at")) > str(told.get("deadline") or "~"):
        yield f"That is after its deadline, {_clock(told['deadline'])}: it would fail then."


def hindrance(told: Said) -> str:  # noqa: C901, PLR0911, PLR0912 — a table of kinds, one sentence each
    """Say what a request waits for, as the end of a sentence."""
    limit = told.get("limit")
    match told.get("kind"):
        case "leader":
            return _LEADER.get(str(told.get("why")), f"the leader, which is {told.get('why')}")
        case "breaker":
            return _breaker(told)
        case "retry":
            in_s = told.get("payable_in_s")
            return f"its next attempt, not before {_clock(told.get('until'), in_s)} (in {_span(in_s)})"
        case "order":
            return _order(told)
        case "tenant_cap":
            return f"its tenant's cap, {told.get('cap')} {_number(told.get('most'))}; {_payable(told)}"
        case "late":
            crowd = f"{_number(told.get('requests'))} with more time, {_number(told.get('tokens'))} tokens"
            takes = _span(told.get("calls_take_s"))
            reason = f"its own deadline is nearer than a call takes ({takes}; {crowd})"
            return f"requests of its lane that can be in time: {reason}"
        case "lane":
            return _lane(told)
        case "tenants":
            name = told.get("tenant")
            first = f"tenant {name} is" if name else "requests without a tenant are"
            return f"the turn of its tenant: {first} next in its lane"
        case "places":
            return _places(told)
        case "memory":
            return "answers in memory, which fill dispatcher.held_bytes_max until they are committed"
        case "first_answer":
            return f"the answer to one call, which shows how full {limit} is; {_payable(told)}"
        case "cooldown":
            return f"the pause that OpenAI asked for on {limit}; {_payable(told)}"
        case "limit":
            return _limit(told)
        case "own_cap":
            charged, cap = _number(told.get("charged")), _number(told.get("capacity"))
            needed = _number(told.get("needed"))
            return f"the own cap on {limit}: {needed} needed, {charged} of {cap} charged this minute; {_payable(told)}"
        case "pace" if (rate := told.get("measured_tokens_per_minute")) is not None:
            return f"the measured rate of {limit}, {_number(rate)} tokens a minute; {_payable(told)}"
        case "pace":
            return f"the burst bound of {limit}: what OpenAI has accepted at once, or burst_s; {_payable(told)}"
        case kind:
            return str(kind)


def _breaker(told: Said) -> str:
    of, why = told.get("limit") or "the account", str(told.get("tripped_by"))
    if told.get("tier"):
        of = f"service tier {told['tier']} of {of}"
    probe = next_probe(told)
    opened = cause(told).rstrip(".")
    return f"the breaker of {of}, open ({why}): {TRIPPED.get(why, why)}; {probe}{'.' if opened else ''}{opened}"


def _order(told: Said) -> str:
    first, serial = told.get("first") or "a request with an unknown id", bool(told.get("serial"))
    until = "have ended" if serial else "have started"
    before = counted(int(told.get("before", 0)), "request")
    return f"its ordering key: {before} before it must {until}, and {first} is first ({told.get('first_state')})"


def _lane(told: Said) -> str:
    name = told.get("lane")
    crowd = f"{told.get('requests', 0):,} waiting there, {told.get('tokens', 0):,} tokens"
    match told.get("rule"):
        case "floor":
            return f"lane {name}, which is below its floor now ({crowd})"
        case "ceiling":
            return f"lane {name}, since its own lane has reached its ceiling ({crowd})"
        case _:
            return f"lane {name}, which goes first ({crowd})"


def _places(told: Said) -> str:
    of = "this dispatcher" if told.get("of") == "dispatcher" else told.get("of")
    kept = f", {_number(told['kept'])} of them kept for {_lanes(told)}" if told.get("kept") else ""
    return f"a call in flight to end: {_number(told.get('inflight'))} of {_number(told.get('most'))} of {of}{kept}"


def _limit(told: Said) -> str:
    period = spoken_period(float(told.get("period_s", 0)))
    amount = _number(told.get("needed"))
    needed = f"{amount} needed" if told.get("own", True) else f"the next call needs {amount}"
    kept = f" ({_number(told['kept'])} kept for {_lanes(told)})" if told.get("kept") else ""
    there = f"{_number(told.get('there'))} there{kept} of {_number(told.get('capacity'))} a {period}"
    whose = "the project's " if told.get("project") else ""
    return f"{whose}{told.get('metric')} of {told.get('limit')}: {needed}, {there}; {_payable(told)}"


def _lanes(told: Said) -> str:
    return f"lane {' and '.join(told.get('kept_for') or ('above',))}"


def _payable(told: Said) -> str:
    wait_s = told.get("payable_in_s")
    return "not before a call ends" if wait_s is None else f"payable in {spoken_s(float(wait_s))}"


def _number(count: Any) -> str:
    return f"{count:,}" if isinstance(count, int | float) else "?"


def _span(seconds: Any) -> str:
    return spoken_s(float(seconds)) if isinstance(seconds, int | float) else "a while"


def _clock(instant: Any, in_s: Any = None) -> str:
    """Format `2026-12-01T12:03:44.120Z` as `2026-12-01 12:03:44Z`; without its date if it is `in_s` away, and soon."""
    day, _, time = str(instant).partition(".")[0].rstrip("Z").partition("T")
    soon = isinstance(in_s, int | float) and in_s < _SOON_S
    return f"{time}Z" if soon else f"{day} {time}Z"
