"""The meaning of a status: the cause of a stall, in one look.

A *grave* finding is something that an operator should act upon: there is no leader, Kafka or Redis is away, OpenAI does
not serve. The others explain why something waits though all is well: a quota that is used up is a matter of demand.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from headrace.broker.amounts import counted, spoken_s
from headrace.broker.core.budget.side_limit import IMAGES
from headrace.broker.core.lease import RELEASED
from headrace.broker.service.status.all_failing import all_failing, many_dead_letters
from headrace.broker.service.status.reading import Report, Said, StatusReading

BACKLOG_WORTH_SAYING_S: Final = 60.0
PAUSE_GRAVE_S: Final = 60.0

TRIPPED: Final = {
    "quota": "no credit is left, or a spend limit is reached; no call succeeds before that is changed at OpenAI",
    "auth": "OpenAI does not accept the key or the region; set another key and restart",
    "not_the_api": "the server there is not OpenAI's API; correct openai.base_url and restart",
    "overloaded": "OpenAI is overloaded or asks to slow down",
    "tier_unavailable": "the service tier has no capacity now",
    "upstream_error": "OpenAI answers with server errors",
    "timeout": "OpenAI does not answer in time",
    "connection": "OpenAI cannot be reached; check the network and openai.base_url",
}

_CAUSES: Final = {
    "limit": "limit",
    "status": "HTTP",
    "code": "code",
    "type": "type",
    "capacity": "limit of",
    "used": "used",
    "requested": "requested",
    "request_id": "request",
    "upstream_request_id": "OpenAI's id",
    "url": "from",
    "content_type": "content type",
    "leads_to": "leading to",
    "says": "saying",
}


@dataclass(frozen=True, slots=True)
class StatusFinding:
    """One sentence, and whether an operator should act."""

    grave: bool
    sentence: str


def findings(look: StatusReading) -> list[StatusFinding]:
    """Return every finding, the grave ones first."""
    found = [*_of_dispatcher(look.dispatcher, look.prefix), *_of_parked(look)]
    if look.retrier is not None:
        found += _of_retrier(look.retrier)
    spoilt = (*look.dispatcher.spoilt, *(() if look.retrier is None else look.retrier.spoilt))
    found += [_grave(each) for each in spoilt if not any(each in told.sentence for told in found)]
    return sorted(found, key=lambda finding: not finding.grave)


def _grave(sentence: str) -> StatusFinding:
    return StatusFinding(grave=True, sentence=sentence)


def _note(sentence: str) -> StatusFinding:
    return StatusFinding(grave=False, sentence=sentence)


def _of_dispatcher(report: Report, prefix: str) -> Iterator[StatusFinding]:
    if report.said is None:
        if any(report.place in each for each in report.spoilt):
            return  # there is a report, which cannot be read
        yield _grave(
            f"No dispatcher of {prefix} has reported within a day: start one with `headrace dispatcher`, or check "
            "that kafka.topic_prefix, redis.url and redis.key_prefix are those of the dispatchers."
        )
        return
    if report.is_stale:
        yield _grave(_silence(report, report.said, "dispatcher"))
        return
    yield from _of_services(report.said)
    yield from _of_role(report, report.said)
    yield from _of_totals(report.said)
    if report.said.get("role") != "standby":
        yield from map(_grave, all_failing(report.said))
        if letters := many_dead_letters(report.said):
            yield _note(letters)
        yield from _of_limits(report.said)
        yield from _of_lanes(table_of(report.said, "lanes"))
    if report.standbys == 0 and table_of(report.said, "ready").get("kafka"):  # without Kafka no standby is ready
        yield _note("No standby is ready: if the leader dies, no process takes over. Start a second dispatcher.")


def _of_parked(look: StatusReading) -> Iterator[StatusFinding]:
    """Report parked requests if no retrier has reported, which Redis knows and a single dispatcher does not."""
    report = look.dispatcher
    parked = 0 if report.said is None or report.is_stale else int(report.said.get("parked", 0))
    if parked and look.retrier is None and report.kind == "redis":
        verb = "is" if parked == 1 else "are"
        yield _grave(
            f"{counted(parked, 'request')} {verb} parked, and no retrier has ever reported: start one with "
            "`headrace retrier`, or they are not put back."
        )


def _of_retrier(report: Report) -> Iterator[StatusFinding]:
    if report.said is None:
        return
    if report.is_stale:
        yield _grave(_silence(report, report.said, "retrier"))
        return
    for finding in _of_services(report.said):
        yield StatusFinding(finding.grave, f"Retrier: {finding.sentence}")


def _silence(report: Report, said: Said, noun: str) -> str:
    """Say that no process reports any more: which one did last, how that ended, and what to do."""
    last = f"{said.get('host', 'an unknown host')}, {said.get('role')} of term {said.get('term')}"
    sentence = f"No {noun} has reported for {spoken_s(report.age_s or 0)}; the last was {last}."
    if report.spoilt:
        return sentence  # the lease's holder and the standbys cannot be read
    match report.holder:
        case None:
            sentence += " Its lease has run out"
        case "released":
            sentence += " It shut down properly"
        case holder if holder == said.get("owner"):
            return f"{sentence} It still holds the lease: its process hangs, or cannot write to Redis. Check its log."
        case holder:
            return f"{sentence} {holder} holds the lease now but has not led yet: check its log."
    if report.standbys:
        return f"{sentence}, and {counted(report.standbys, 'standby')} should take over within seconds: look again."
    return f"{sentence}, and none stands by: start a {noun} with `headrace {noun}`."


def _of_role(report: Report, said: Said) -> Iterator[StatusFinding]:
    match said.get("role"):
        case "leader":
            return
        case "standby" if report.kind == "url":
            holder = said.get("leader")
            if holder in {None, RELEASED}:
                yield _grave("This process stands by, and no process holds the lease.")
            else:
                yield _note(f"This process stands by; the leader, {holder}, reports lanes and limits.")
        case "suspended" | "promoting" if not said.get("leading_since"):
            yield _note("It has the lease and is being promoted: calls begin within seconds.")
        case "suspended" | "promoting":
            held = sum(int(lane.get("settled", 0)) for lane in table_of(said, "lanes").values())
            yield _grave(
                f"The leader starts no calls until it can publish to Kafka again. {counted(held, 'outcome')} and "
                f"{counted(int(said.get('inflight', 0)), 'call')} in flight are held in its memory: do not restart "
                "it."
            )
        case role:
            yield _grave(f"It neither leads nor stands by: it is {role}.")


def _of_services(said: Said) -> Iterator[StatusFinding]:
    ready = said.get("ready") or {}
    away = [name for name in ("kafka", "redis") if not ready.get(name, True)]
    if away:
        names = " and ".join(name.capitalize() for name in away)
        verb = "are" if len(away) > 1 else "is"
        trouble = str(said.get("trouble") or "")
        sentence = trouble if "does not answer" in trouble else f"{names} {verb} away. {trouble}".rstrip()
        meanwhile = (
            "" if "kafka" in away else (" The leader continues without it, but no standby can take over meanwhile.")
        )
        yield _grave(sentence + meanwhile)
    elif said.get("trouble") and not _open_breakers(said):
        yield _grave(str(said["trouble"]))


def _open_breakers(said: Said) -> list[tuple[str, Said]]:
    """Return the open breakers by name, the account's and the limits'."""
    every = [("the account", table_of(said, "account")), *table_of(said, "limits").items()]
    return [(name, each) for name, each in every if each.get("breaker", "closed") != "closed"]


def _of_breakers(said: Said) -> Iterator[StatusFinding]:
    for name, broken in _open_breakers(said):
        why = str(broken["breaker"]).removeprefix("open: ")
        meaning = TRIPPED.get(why, why)
        yield _grave(f"{name}: the breaker is open ({why}): {meaning}; {next_probe(broken)}.{cause(broken)}")


def _of_tiers(limit: Said) -> Iterator[StatusFinding]:
    """Say which service tiers have no capacity; their requests are served later, and others go on."""
    for tier in limit.get("resting_tiers") or ():
        waiting = counted(int(tier.get("waiting", 0)), "request")
        yield _note(
            f"{tier.get('model')}: service tier {tier.get('tier')} has no capacity; {waiting} wait for it, and other "
            f"tiers are served; {next_probe(tier)}.{cause(tier)}"
        )


def next_probe(broken: Said) -> str:
    """Say when an open breaker is probed next."""
    if broken.get("probing"):
        return "a probe is under way"
    rests_s = float(broken.get("rests_s", broken.get("next_probe_s", 0)))
    return f"the next probe goes in {spoken_s(rests_s)}" if rests_s > 0 else "one call goes now, as a probe"


def cause(broken: Said) -> str:
    """Return what tripped a breaker: which request to look for, and what to name to OpenAI's support."""
    tripped = table_of(broken, "tripped")
    words = [f"{said} {tripped[name]}" for name, said in _CAUSES.items() if tripped.get(name) is not None]
    return f" It opened at {tripped.get('since')}: {', '.join(words)}." if words else ""


def _of_limits(said: Said) -> Iterator[StatusFinding]:
    yield from _of_breakers(said)
    for name, limit in table_of(said, "limits").items():
        yield from _of_tiers(limit)
        resting = sum(int(tier.get("waiting", 0)) for tier in limit.get("resting_tiers") or ())
        waiting = int(limit.get("waiting", 0)) - resting
        paused_s = float(limit.get("paused_s", 0))
        if limit.get("breaker", "closed") != "closed":
            continue
        if paused_s > 0 and waiting:
            sentence = f"{name}: OpenAI asked for a pause; {waiting:,} wait for another {spoken_s(paused_s)}."
            yield StatusFinding(paused_s > PAUSE_GRAVE_S, sentence)
        elif waiting and said.get("role") == "leader":
            yield from _exhausted(name, limit, waiting)


def _exhausted(name: str, limit: Said, waiting: int) -> Iterator[StatusFinding]:
    """Say what the requests of a limit wait for: its quota, or the end of a call."""
    next_s = limit.get("next_call_s")
    if not limit.get("believed", True):
        yield _note(f"{name}: one call goes first, since its levels are not known; {waiting:,} wait.")
    elif limit.get("measured_tokens_per_minute") is not None:
        return  # its levels hold no call back, and no bucket is waited for
    elif next_s is not None and (bucket := emptiest(limit.get("buckets", ()))) is not None:
        left = f"{bucket['level_low']:,} of {bucket['capacity']:,} left"
        refill_s = (1 - left_of(bucket)) * float(bucket["period_s"])
        yield _note(
            f"{name}: {waiting:,} wait for {bucket['metric']} ({left}): the next call goes in "
            f"{spoken_s(float(next_s))}; without calls the bucket would be full in {spoken_s(refill_s)}."
        )


def emptiest(buckets: Iterable[Said]) -> Said | None:
    """Return the bucket with the smallest part left, of those that every call takes of: few carry images."""
    return min((bucket for bucket in buckets if bucket["metric"] != IMAGES), key=left_of, default=None)


def left_of(bucket: Said, end: str = "level_low") -> float:
    """Return the part that is left, from 0 to 1."""
    return min(1.0, max(0.0, float(bucket[end])) / max(1.0, float(bucket["capacity"])))


def _of_totals(said: Said) -> Iterator[StatusFinding]:
    """Say that tokens and cost are not summed up, and how to mend that; no outcome depends on it."""
    topic = table_of(table_of(said, "spending"), "topic")
    if topic.get("trouble") and topic.get("mend"):
        unwritten = int(topic.get("unwritten", 0))
        kept = f" {counted(unwritten, 'outcome')} will be summed up then." if unwritten else ""
        name, trouble, mend = topic.get("name"), topic["trouble"], topic["mend"]
        yield _note(f"Tokens and cost are not summed up: the topic {name} {trouble}; {mend}.{kept}")


def _of_lanes(lanes: Mapping[str, Said]) -> Iterator[StatusFinding]:
    for name, lane in lanes.items():
        seconds, waiting = float(lane.get("waiting_seconds", 0)), int(lane.get("waiting", 0))
        if seconds >= BACKLOG_WORTH_SAYING_S:
            yield _note(
                f"{name}: {waiting:,} wait; the quota needs {spoken_s(seconds)} to refill the tokens for them."
                f"{_filled_by(lane, waiting)}"
            )


def _filled_by(lane: Said, waiting: int) -> str:
    """Name the tenant that more than half of a lane's waiting requests are of; empty: there is none, or no name."""
    tenants = table_of(lane, "tenants")
    for tenant, count in tenants.items():
        if tenant and isinstance(count, int) and 2 * count > waiting:
            return f" {count:,} of them are of tenant {tenant}."
    return ""


def table_of(said: Said, name: str) -> Mapping[str, Any]:
    """Return one of the status's tables; an empty one where there is none."""
    found = said.get(name)
    return found if isinstance(found, Mapping) else {}
