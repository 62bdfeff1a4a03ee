"""Input of the oracle: the limits a row enforces, the instants at which they change and at which foreign calls come.

It is read off the behaviours by name; the instants of foreign calls are drawn from the seed, as the simulator draws
them.
"""

from collections.abc import Callable, Sequence

from benchmarks.limits.calls import Asked
from benchmarks.limits.oracle import MINUTE_US, Burst, Change, Kind, Limit, Oracle, Price
from benchmarks.limits.rows import Row
from headrace.broker.simulator.admission import Metric
from headrace.broker.simulator.behaviours.enforcement import (
    ApproximateWindows,
    ChargeLaw,
    EnforcedWindow,
    FixedWindows,
    Foreign,
    HiddenBucket,
    LimitChange,
    Period,
    ProjectLimits,
    Quantised,
    RequestBound,
    SharedLimit,
    SlidingWindows,
)
from headrace.broker.simulator.foreign import ForeignClient
from headrace.broker.simulator.pricing import ChatLaw

CAP_US = 250_000
HORIZON_US = 120 * MINUTE_US  # no row lasts longer
_WINDOWS = {Period: Kind.BUCKET, FixedWindows: Kind.FIXED, SlidingWindows: Kind.SLIDING, ApproximateWindows: Kind.TWO}


def oracle_of(row: Row, asked: Sequence[Asked], opened_us: int, first_us: int) -> Oracle:
    """Return an oracle for a simulated OpenAI that was opened at `opened_us` and first called at `first_us`."""
    events: list[Change | Burst] = [*_changes(row, opened_us, first_us), *_bursts(row, opened_us, first_us)]
    return Oracle(limits_of(row, opened_us), first_us, events, price=price_of(row, asked, opened_us))


def limits_of(row: Row, opened_us: int) -> list[Limit]:
    """Return every limit that is enforced at the start."""
    windows = [played for played in row.behaviours() if isinstance(played, EnforcedWindow)]
    if windows:
        return [_window(row, played, opened_us) for played in windows]
    kind, period_us = Kind.BUCKET, MINUTE_US
    requests = row.requests_per_minute
    hidden: list[tuple[Kind, int]] = []
    for played in row.behaviours():
        if isinstance(played, Period | FixedWindows | SlidingWindows | ApproximateWindows):
            kind, period_us = _WINDOWS[type(played)], _us(played.seconds)
        elif isinstance(played, RequestBound):
            requests = played.requests_per_minute
        elif isinstance(played, HiddenBucket):
            hidden.append((Kind.BUCKET, _us(played.seconds)))
        elif isinstance(played, Quantised):
            hidden.append((Kind.FIXED, _us(played.seconds)))
    limits = []
    shares = [1.0, *(played.share for played in row.behaviours() if isinstance(played, ProjectLimits))]
    for counts, per_minute in (("tokens", row.tokens_per_minute), ("requests", requests)):
        shapes = [(kind, period_us), *hidden]
        for share in shares:
            per_period = max(1, round(per_minute * share) * period_us // MINUTE_US)
            limits += [Limit(each, counts, per_period, period_us, window_us, opened_us) for each, window_us in shapes]
    if row.cap_tokens_per_minute is not None:  # the share of an own cap is that of its even flow
        limits.append(Limit(Kind.BUCKET, "tokens", row.cap_tokens_per_minute, MINUTE_US, CAP_US, opened_us))
    return limits


def _window(row: Row, played: EnforcedWindow, opened_us: int) -> Limit:
    per_minute = row.requests_per_minute if played.counts is Metric.REQUESTS else row.tokens_per_minute
    period_us = _us(played.seconds)
    per_period = max(1, round(per_minute * played.factor * period_us / MINUTE_US))
    return Limit(Kind(str(played.kind)), str(played.counts), per_period, period_us, period_us, opened_us)


def price_of(row: Row, asked: Sequence[Asked], opened_us: int) -> Price:
    """Return the price of each call by the law in force; the calls begin anew when they are used up."""
    law = law_of(row, opened_us)
    charges = {one: [call.charge(one) for call in asked] for one in ChatLaw}
    if not any(isinstance(play, ChargeLaw) for play in row.behaviours()):
        only = charges[ChatLaw.CHAT_2025]
        return lambda number, _: only[number % len(only)]
    return lambda number, now_us: charges[law(now_us)][number % len(asked)]


def law_of(row: Row, opened_us: int) -> Callable[[int], ChatLaw]:
    """Return the law in force at an instant."""
    laws = sorted(
        ((play.from_s, play.law) for play in row.behaviours() if isinstance(play, ChargeLaw)),
        key=lambda entry: entry[0],
    )

    def at(now_us: int) -> ChatLaw:
        law = ChatLaw.CHAT_2025
        for from_s, later in laws:
            if opened_us + _us(from_s) <= now_us:
                law = later
        return law

    return at


def _changes(row: Row, opened_us: int, first_us: int) -> list[Change]:
    plays = [play for play in row.behaviours() if isinstance(play, LimitChange)]
    return [Change(max(first_us, opened_us + _us(play.at_s)), play.factor) for play in plays]


def _bursts(row: Row, opened_us: int, first_us: int) -> list[Burst]:
    """Draw foreign bursts as the simulator does: by seed, name of the limit, and place among the behaviours."""
    shared = any(isinstance(play, SharedLimit) for play in row.behaviours())
    bursts = []
    for number, play in enumerate(row.behaviours()):
        if isinstance(play, Foreign):
            seed = f"{row.upstream().seed}/{'shared-models' if shared else ''}/{number}"
            client = ForeignClient(play, row.tokens_per_minute, seed, opened_us)
            at_us = client.next_us(first_us)
            while at_us is not None and at_us < first_us + HORIZON_US:
                bursts.append(Burst(at_us, client.tokens, client.requests, client.insists))
                at_us = client.next_us(at_us)
    return bursts


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)
