"""A status as text: the leader, what is wrong, and only then the numbers."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from headrace.broker.amounts import counted, spoken_bytes, spoken_s
from headrace.broker.cli.screen import beside
from headrace.broker.cli.status.limits import SHOWN_MAX, WIDE, charges_shown, columns, limits_shown, named
from headrace.broker.cli.status.spending import spending_shown
from headrace.broker.cli.terminal import safe
from headrace.broker.service.status.all_failing import dead_letters
from headrace.broker.service.status.findings import StatusFinding, table_of
from headrace.broker.service.status.reading import Report, Said, StatusReading
from headrace.schemas.instants import from_wire

_LAG_FRESH_S: Final = 15
_ROOMY: Final = 100
"""Columns from which the lanes have their long titles; with the short ones large figures fit into 80."""
_DEFAULT_NAME: Final = "default"
_GRAVE, _NOTE, _WELL, _FAINT = "bold red", "yellow", "green", "dim"
_KNOWN: Final = frozenset(
    "process name topic_prefix owner host pid role leader term leading_since ready trouble".split()  # noqa: SIM905  # reads as words
)


def page(look: StatusReading, found: Sequence[StatusFinding], now: datetime, *, width: int = WIDE) -> RenderableType:
    """Return the whole page; `now` is the reader's wall clock, `width` the columns of the terminal."""
    report = look.dispatcher
    parts: list[RenderableType] = [_title(look), *_process(report, now, width), Text("")]
    parts += [_line(finding) for finding in found] or [Text("✓ Nothing is wrong.", style=_WELL)]
    if report.said is not None and report.said.get("role") != "standby":
        parts.append(Text(f"\nas it was {spoken_s(report.age_s or 0)} ago:" if report.is_stale else "", style=_GRAVE))
        parts += _tables(report.said, width) if "lanes" in report.said else _facts(report.said)
    elif report.said is not None:
        parts += spending_shown(report.said)
    if look.retrier is not None and look.retrier.said is not None:
        parts += _retrier(look.retrier, look.retrier.said, now, width)
    parts += [Text(f"({safe(remark)})", style=_FAINT) for remark in look.remarks]
    return Group(*parts)


def _title(look: StatusReading) -> Text:
    title = Text(safe(look.prefix), style="bold")
    report = look.dispatcher
    if report.kind == "url":
        return title.append(f"  asked at {safe(report.place)}", style="not bold")
    if report.age_s is None:
        return title.append("  nothing in Redis", style=_GRAVE)
    style = _GRAVE if report.is_stale else "not bold"
    return title.append(f"  reported {spoken_s(report.age_s)} ago, {safe(report.place)}", style=style)


def _process(report: Report, now: datetime, width: int) -> Iterator[Text]:
    """Yield the lines about the reporting process: role and place, term (on a line of its own if narrow), services."""
    said = report.said
    if said is None:
        return
    role = str(said.get("role", "unknown"))
    was = "last " if report.is_stale else ""
    name = Text(f"{was}{role}", style="bold")
    name.append(f"  {_place(said)}", style="not bold")
    term = Text(f"term {said['term']}{'' if was else _since(said, now)}" if said.get("term") else "")
    if term and name.cell_len + 2 + term.cell_len <= width:
        yield name.append("  ", style="not bold").append(str(term), style="not bold")
    else:
        yield name
        if term:
            yield term
    if report.is_stale:
        return
    ready = table_of(said, "ready")
    services = Text("").join(
        Text(
            f"{title} answers  " if ready.get(key) else f"{title} is away  ", style=_WELL if ready.get(key) else _GRAVE
        )
        for key, title in (("kafka", "Kafka"), ("redis", "Redis"))
    )
    if report.standbys is not None:
        services.append(f"{counted(report.standbys, 'standby')} ready")
    yield services


def _place(said: Said) -> str:
    """Return where the process is, as far as it reports that."""
    name, host, pid = (str(said[key]) if said.get(key) else "" for key in ("name", "host", "pid"))
    at = f"{host} (pid {pid})" if pid else host
    name = "" if name == _DEFAULT_NAME else name
    return safe("  ".join(filter(None, (at, name, f"token {str(said.get('owner', ''))[:12]}"))))


def _since(said: Said, now: datetime) -> str:
    try:
        began = from_wire(str(said.get("leading_since")))
    except ValueError:
        return ""
    lasted_s = max(0.0, (now - began).total_seconds())
    return f" since {began.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, {spoken_s(lasted_s)}"


def _line(finding: StatusFinding) -> Table:
    """Return a mark, and the sentence wrapped beside it."""
    mark, style = ("✗ ", _GRAVE) if finding.grave else ("• ", _NOTE)
    return beside(Text(mark, style), Text(safe(finding.sentence), style))


# ---------------------------------------------------------------------------------------------------- numbers


def _tables(said: Said, width: int) -> Iterator[RenderableType]:
    yield _lanes(table_of(said, "lanes"), width)
    if limits := table_of(said, "limits"):
        yield Text("")
        yield from limits_shown(limits, leads=said.get("role") == "leader", width=width)
        yield from charges_shown(limits, width=width)
    yield Text("")
    held = spoken_bytes(int(said.get("held_bytes", 0)))
    yield Text(f"in flight {said.get('inflight', 0):,}, holding {held} of memory for answers")
    outcomes = "  ".join(f"{name} {count:,}" for name, count in sorted(table_of(said, "outcomes").items()))
    yield Text(f"outcomes of all leaders  {safe(outcomes) or 'none yet'}")
    if letters := dead_letters(said):
        yield Text(safe(letters))
    dedupe = table_of(said, "dedupe")
    if dedupe:
        window = spoken_s(float(dedupe.get("window_s", 0)))
        yield Text(f"repeats are recognised {window} back, {counted(int(dedupe.get('ids', 0)), 'id')}")
    if parked := int(said.get("parked", 0)):
        yield Text(f"parked  {counted(parked, 'request')}, which the retrier puts back when they are due")
    if models := table_of(said, "models"):
        yield Text("")
        yield _models(models)
    yield from spending_shown(said)


def _lanes(lanes: Mapping[str, Said], width: int) -> Table:
    spoken = ("time needed", "to be published") if width >= _ROOMY else ("needs", "decided")
    table = columns("lane", "in Kafka", "waiting", "tokens", spoken[0], "oldest", "calling", spoken[1])
    for name, lane in list(lanes.items())[:SHOWN_MAX]:
        waiting = int(lane.get("waiting", 0))
        table.add_row(
            named(name),
            _in_kafka(table_of(lane, "lag")),
            f"{waiting:,}",
            f"{lane.get('waiting_tokens', 0):,}",
            spoken_s(float(lane.get("waiting_seconds", 0))) if waiting else "-",
            spoken_s(float(lane.get("oldest_s", 0))) if waiting else "-",
            f"{lane.get('calling', 0):,}",
            f"{lane.get('settled', 0):,}",
        )
    return table


def _in_kafka(lag: Said) -> str:
    """Return the number of requests not taken yet; with its age, if Kafka has not answered of late."""
    if "requests" not in lag:
        return "?"
    age_s = float(lag.get("age_s", 0))
    return f"{int(lag['requests']):,}" + (f" {spoken_s(age_s)} ago" if age_s > _LAG_FRESH_S else "")


def _models(models: Mapping[str, Said]) -> Table:
    table = columns("model", "answered", "mean charge", "mean input", "mean output")
    by_use = sorted(models.items(), key=lambda item: -int(item[1].get("requests", 0)))
    for name, model in by_use[:SHOWN_MAX]:
        means = (f"{model.get(f'{kind}_tokens_mean', 0):,.0f}" for kind in ("charge", "input", "output"))
        table.add_row(named(name), f"{model.get('requests', 0):,}", *means)
    return table


# ---------------------------------------------------------------------------------------------------- the retrier


def _retrier(report: Report, said: Said, now: datetime, width: int) -> Iterator[RenderableType]:
    yield Text("")
    age = spoken_s(report.age_s or 0)
    yield Text("retrier", style="bold").append(f"  reported {age} ago", style=_GRAVE if report.is_stale else "not bold")
    yield from _process(report, now, width)
    yield from _facts(said)


def _facts(said: Said) -> Iterator[RenderableType]:
    """Yield everything that is reported beyond what every process reports, by its own names."""
    for name, value in said.items():
        if name not in _KNOWN and (text := _plain(value)):
            yield Text(f"{safe(name.replace('_', ' '))}  {safe(text)}")


def _plain(value: Any) -> str:
    """Return numbers, words and flat tables of them as text; anything deeper is left to `--json`."""
    if isinstance(value, Mapping):
        flat = ((key, _plain(each)) for key, each in value.items() if not isinstance(each, Mapping | list))
        return "  ".join(f"{key} {text}" for key, text in flat if text)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}"
    return value if isinstance(value, str) else ""
