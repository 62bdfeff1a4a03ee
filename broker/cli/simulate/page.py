"""The report as text: waits by lane, the use of the quota, and the effect of other quotas."""

from collections.abc import Callable, Iterator, Sequence

from rich.table import Table
from rich.text import Text

from headrace.broker.amounts import counted, spoken_s
from headrace.broker.cli.simulate.report import the_one_asked_for
from headrace.broker.cli.terminal import safe, short
from headrace.broker.planner.plan import REQUESTS_UNLIMITED, LimitOutlook, Outlook
from headrace.broker.planner.quantiles import Quantiles
from headrace.broker.settings.limits import LONG_CONTEXT

_NAME_CHARS_MAX = 24
WIDE = 110
"""Columns from which waits are shown to the second."""
_LEFT_OUT = "{limit} is not simulated: requests with long contexts draw from {simulated} here."

Spoken = Callable[[float], str]
"""Formatter of a span in milliseconds."""


def page(
    outlooks: list[Outlook], *, width: int = WIDE, played: Sequence[str] = (), left_out: Sequence[str] = ()
) -> Iterator[Table | Text]:
    """Yield the parts, in order, for a terminal of this width: on a narrow one waits are rounded.

    `played` are the behaviours of the simulated OpenAI, as `--behaviour` takes them; `left_out` as in `Plan`.
    """
    wait_of = spoken_ms if width >= WIDE else brief_ms
    asked = the_one_asked_for(outlooks)
    yield Text(f"{counted(asked.record.arrived, 'request')} over {spoken_s(asked.record.ended_ms / 1_000)}", "bold")
    if played:
        yield Text("\n  ".join(["the simulated OpenAI plays", *map(safe, played)]))
    if asked.parts > 1:
        yield Text(
            f"played in {asked.parts} parts, without the lead-in of each; ±: 95 % confidence interval of the mean"
        )
    yield _lanes(asked, wait_of)
    for limit in asked.limits:
        yield _limit(limit, enforces_quota=asked.enforces_quota)
    yield _sentence(asked)
    for name in left_out:
        yield Text(_LEFT_OUT.format(limit=safe(name), simulated=safe(name.removesuffix(LONG_CONTEXT))))
    if len(outlooks) > 1:
        yield Text("\nThe same requests with other quotas", "bold")
        yield _quotas(outlooks, wait_of)


def _lanes(outlook: Outlook, wait_of: Spoken) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("lane")
    for name in ("requests", "mean wait", "median", "95 %", "99 %", "longest", "too late", "failed"):
        table.add_column(name, justify="right")
    for name, lane in outlook.record.lanes.items():
        if lane.arrived:
            waits = lane.wait_ms
            mean = "-" if waits.mean is None else wait_of(waits.mean)
            if name in outlook.wait_within_ms and wait_of is spoken_ms:
                mean += f" ± {spoken_ms(outlook.wait_within_ms[name])}"
            parts = (_wait(waits, part, wait_of) for part in (0.5, 0.95, 0.99, 1.0))
            table.add_row(name, f"{lane.arrived:,}", mean, *parts, _bad(lane.missed), _bad(lane.failed))
    return table


def _wait(waits: Quantiles, part: float, wait_of: Spoken) -> str:
    value = waits.at(part)
    return "-" if value is None else wait_of(value)


def spoken_ms(wait_ms: float) -> str:
    """Format a wait, to the millisecond where it is short."""
    return f"{wait_ms:.0f} ms" if wait_ms < 1_000 else spoken_s(wait_ms / 1_000)


def brief_ms(wait_ms: float) -> str:
    """Format a wait in at most six characters: `950 ms`, `3.2 s`, `34 min`, `1.7 h`, `13 h`."""
    for unit_ms, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if wait_ms >= unit_ms:
            amount = wait_ms / unit_ms
            return f"{amount:.0f} {unit}" if unit == "min" or amount >= 9.95 else f"{amount:.1f} {unit}"
    return f"{wait_ms:.0f} ms"


def _bad(count: int) -> Text:
    return Text(f"{count:,}", "red bold" if count else "")


def _limit(limit: LimitOutlook, *, enforces_quota: bool) -> Text:
    quota, told = limit.quota, limit.requests
    name = safe(short(quota.limit, _NAME_CHARS_MAX))
    if not enforces_quota:
        return _limit_played(limit, name)
    text = f"\n{name}: {limit.used:.1%} of {quota.tokens_per_minute:,} tokens a minute used"
    if quota.requests_per_minute != REQUESTS_UNLIMITED:
        text += f", {told.share or 0.0:.1%} of {quota.requests_per_minute:,} requests a minute"
    return Text(f"{text}; {_calls(limit)}")


def _calls(limit: LimitOutlook) -> str:
    return f"{counted(limit.calls, 'call')}, {counted(limit.throttled, '429')}"


def _limit_played(limit: LimitOutlook, name: str) -> Text:
    """Return the line of a limit whose server offers other amounts than the quota: what it offered, and of what."""
    tally = limit.counted
    kind = "tokens" if tally is limit.tokens else "input tokens"
    text = f"\n{name}: {limit.used:.1%} of the {tally.offered or 0:,} {kind} on offer used"
    if limit.requests.offered is not None and limit.quota.requests_per_minute != REQUESTS_UNLIMITED:
        text += f", {limit.requests.share or 0.0:.1%} of {limit.requests.offered:,} requests"
    return Text(
        f"{text}; {_calls(limit)}\nThe quota of {limit.quota.tokens_per_minute:,} a minute is not enforced as it is."
    )


def _sentence(outlook: Outlook) -> Text:
    if outlook.busiest_hour is None:
        return Text("")
    share = "all" if outlook.busiest_hour > 0.995 else f"{outlook.busiest_hour:.0%}"
    return Text(f"The busiest hour took {share} of the tokens that come in an hour.")


def _quotas(outlooks: list[Outlook], wait_of: Spoken) -> Table:
    lanes = [name for name, lane in outlooks[0].record.lanes.items() if lane.arrived]
    table = Table(box=None, pad_edge=False)
    table.add_column("quota", justify="right")
    table.add_column("tokens/min", justify="right", no_wrap=True, min_width=10)
    for lane in lanes:
        table.add_column(f"{lane} 95 %", justify="right")
    for name in ("too late", "failed", "used", "done after"):
        table.add_column(name, justify="right")
    for each in outlooks:
        table.add_row(
            f"{each.factor:g} x",
            f"{each.tokens_per_minute:,}",
            *(_wait(each.record.lanes[lane].wait_ms, 0.95, wait_of) for lane in lanes),
            _bad(each.missed),
            _bad(each.failed),
            f"{each.used:.0%}",
            wait_of(each.record.ended_ms),
            style="bold" if each.factor == 1 else "",
        )
    return table
