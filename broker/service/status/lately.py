"""What happened in the last fifteen minutes, by slots of fifteen seconds: calls, 429s, tokens charged, requests ended.

The leader counts it and leaves it in Redis beside its status. There a standby reads it to show it, and a successor to
go on from it. Slots are numbered by wall time, so that those of two leaders fit together. The number of names is
bounded: producers choose the names of models.

What happened before is unknown, and said to be, until a first count, a term of this process, or what is inherited: a
process that stood by for an hour has seen nothing of it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from headrace.broker.clock import WallClock
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.schemas.instants import from_wire, to_wire

SLOT_S: Final = 15
SLOTS: Final = 60
RATE_SLOTS: Final = 5
"""Slots of a rate: half of the rules' `RATE_WINDOW`, since slots of 15 s need less time than scrapes of a minute."""
SHARE_SLOTS: Final = 20
"""Slots of the share of 429s: five minutes, as in its panel's query."""
MINUTE_SLOTS: Final = 4
NAMES_MAX: Final = 100
"""Limits, lanes and meanings, of each this many, that are counted in one slot."""
BUCKETS_MAX: Final = 8
"""Buckets of one limit of which the last statement is kept: those stated last."""
SHOWN_MAX: Final = 20
TERMS_MAX: Final = 10
_COUNT_MAX: Final = 10**15
_SLOT_MS: Final = SLOT_S * 1_000

SERIES: Final[Mapping[str, tuple[str, ...]]] = {
    "limits": ("charged", "refused"),
    "lanes": ("taken", "ended"),
    "calls": ("ended",),
}
"""What is counted: of each limit its tokens and 429s, of each lane its requests, of each meaning its calls."""

_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class StatedLevel:
    """What an answer's headers stated of one bucket: what was left, and when."""

    remaining: int
    at_ms: int


class Lately:
    """Counts of the last fifteen minutes, and what the server last stated of each limit."""

    def __init__(self, clock: WallClock) -> None:
        """Nothing has happened."""
        self._clock = clock
        self._slots: dict[int, Counter[_Key]] = {}
        self._since_ms: int | None = None
        self._terms: list[tuple[int, int]] = []
        self._own_term: int | None = None
        self._stated: dict[str, dict[tuple[str, int], StatedLevel]] = {}

    # ------------------------------------------------------------------ counting

    def count_call(self, limit: str, verdict: Verdict, charge: int) -> None:
        """Count a call that has ended, with its 429 or its tokens, and note what it states of the limit's buckets."""
        self._count("calls", verdict.meaning.value, "ended")
        if verdict.meaning is Meaning.RATE_LIMITED:
            self._count("limits", limit, "refused")
        elif verdict.meaning is Meaning.OK:
            self._count("limits", limit, "charged", charge)
        if verdict.readings and (limit in self._stated or len(self._stated) < NAMES_MAX):
            now_ms, of = self._clock.now_ms(), self._stated.setdefault(limit, {})
            for reading in verdict.readings:
                bucket = reading.metric.value, reading.capacity
                of.pop(bucket, None)
                of[bucket] = StatedLevel(reading.remaining, now_ms)
            while len(of) > BUCKETS_MAX:
                del of[next(iter(of))]

    def count_taken(self, lane: str) -> None:
        """Count a request taken from its lane."""
        self._count("lanes", lane, "taken")

    def count_ended(self, lane: str) -> None:
        """Count a request of that lane that has its outcome."""
        self._count("lanes", lane, "ended")

    def note_term(self, term: int) -> None:
        """Note that this process leads, in that term."""
        if term != self._own_term:
            self._own_term = term
            self._begin()
            self._terms = [*self._terms, (self._clock.utc_ms(), term)][-TERMS_MAX:]

    # ------------------------------------------------------------------ reporting

    def stated(self, limit: str, metric: str, capacity: int) -> StatedLevel | None:
        """Return what was last stated of the limit's bucket of that metric and size, if anything was."""
        return self._stated.get(limit, {}).get((metric, capacity))

    def shown(self) -> dict[str, Any]:
        """Return rates, 429s and the series of each limit, lane and meaning; the last slot is the present one."""
        now_ms = self._clock.utc_ms()
        last = now_ms // _SLOT_MS
        self._forget(last)
        since_ms = max(now_ms if self._since_ms is None else self._since_ms, (last + 1 - SLOTS) * _SLOT_MS)
        rated_s = max(1.0, (now_ms - max(since_ms, (last + 1 - RATE_SLOTS) * _SLOT_MS)) / 1_000)
        calls, recent = self._calls(last, RATE_SLOTS), self._calls(last, SHARE_SLOTS)
        refused = Meaning.RATE_LIMITED.value
        return {
            "slot_s": SLOT_S,
            "until": _wire((last + 1) * _SLOT_MS),
            "since": _wire(since_ms),
            "calls_per_second": {name: round(count / rated_s, 3) for name, count in sorted(calls.items())},
            "refused_share": round(recent[refused] / recent.total(), 4) if recent else None,
            "refused": {
                "minute": self._calls(last, MINUTE_SLOTS)[refused],
                "quarter": self._calls(last, SLOTS)[refused],
            },
            **{table: self._series(table, last) for table in SERIES},
            "terms": [{"at": _wire(at_ms), "term": term} for at_ms, term in self._terms if at_ms >= since_ms],
        }

    def inherit(self, left: Any) -> None:
        """Go on from what a predecessor has left, in the form of `shown`; what cannot be read is passed over."""
        if not isinstance(left, Mapping) or left.get("slot_s") != SLOT_S:
            return
        until_ms, since_ms = _instant_ms(left.get("until")), _instant_ms(left.get("since"))
        if until_ms is None or since_ms is None or until_ms > self._clock.utc_ms() + 2 * _SLOT_MS:
            return
        first = until_ms // _SLOT_MS - SLOTS
        for key, counts in _read_series(left):
            for place, count in enumerate(counts):
                if count:  # it may have gone on from our own, which must not count twice
                    slot = self._slot(first + place)
                    slot[key] = max(slot[key], count)
        self._since_ms = since_ms if self._since_ms is None else min(self._since_ms, since_ms)
        terms = left.get("terms")
        for each in terms if isinstance(terms, list) else ():
            at_ms, term = (_instant_ms(each.get("at")), each.get("term")) if isinstance(each, Mapping) else (None, None)
            if at_ms is not None and isinstance(term, int):
                self._terms.append((at_ms, term))
        self._terms = sorted(set(self._terms))[-TERMS_MAX:]
        self._forget(self._clock.utc_ms() // _SLOT_MS)

    # ------------------------------------------------------------------ internals

    def _calls(self, last: int, slots: int) -> Counter[str]:
        found = Counter[str]()
        for number, slot in self._slots.items():
            if last - slots < number <= last:
                found.update({name: count for (table, name, _), count in slot.items() if table == "calls"})
        return found

    def _series(self, table: str, last: int) -> dict[str, dict[str, list[int]]]:
        """Return the series of each name, those with the largest sums first."""
        series: dict[str, dict[str, list[int]]] = {}
        weight = Counter[str]()
        for number, slot in self._slots.items():
            place = number - (last + 1 - SLOTS)
            for (of, name, kind), count in slot.items() if 0 <= place < SLOTS else ():
                if of == table:
                    known = series.setdefault(name, {each: [0] * SLOTS for each in SERIES[table]})
                    known[kind][place] += count
                    weight[name] += count
        return {name: series[name] for name, _ in weight.most_common(SHOWN_MAX)}

    def _begin(self) -> None:
        if self._since_ms is None:
            self._since_ms = self._clock.utc_ms()

    def _count(self, table: str, name: str, kind: str, count: int = 1) -> None:
        self._begin()
        slot, key = self._slot(self._clock.utc_ms() // _SLOT_MS), (table, name, kind)
        if key in slot or sum(of == table for of, _, _ in slot) < len(SERIES[table]) * NAMES_MAX:
            slot[key] += min(max(0, count), _COUNT_MAX)

    def _slot(self, number: int) -> Counter[_Key]:
        if number not in self._slots:
            self._slots[number] = Counter()
            if len(self._slots) > 2 * SLOTS:
                self._forget(number)
        return self._slots[number]

    def _forget(self, last: int) -> None:
        """Forget slots that are too old, or that a wrong clock has put into the future."""
        for number in [each for each in self._slots if not last - SLOTS < each <= last + 1]:
            del self._slots[number]


def _read_series(left: Mapping[str, Any]) -> Iterator[tuple[_Key, list[int]]]:
    for table, kinds in SERIES.items():
        names = left.get(table)
        for name, series in list(names.items())[:SHOWN_MAX] if isinstance(names, Mapping) else ():
            for kind in kinds:
                counts = series.get(kind) if isinstance(series, Mapping) else None
                if isinstance(counts, list) and len(counts) == SLOTS and all(map(_is_count, counts)):
                    yield (table, str(name), kind), counts


def _is_count(told: Any) -> bool:
    return isinstance(told, int) and not isinstance(told, bool) and 0 <= told <= _COUNT_MAX


def _instant_ms(told: Any) -> int | None:
    try:
        return round(from_wire(str(told)).timestamp() * 1_000)
    except ValueError:
        return None


def _wire(ms: int) -> str:
    return to_wire(datetime.fromtimestamp(ms / 1_000, UTC))
