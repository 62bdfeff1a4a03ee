"""What a limit's mirrors, or its measurements, have achieved, and what holds requests back: the two are compared."""

from dataclasses import dataclass, replace
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import HOUR_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.answers.refill_detection import BUCKET
from headrace.broker.core.budget.mirror_list import AnyMirror
from headrace.broker.core.units import PPM

COMPARED_MS: Final = 20_000  # of waiting, at least: less shows nothing
# These four were chosen by `make bench-limiters`.
LAGS_PPM: Final = 920_000  # less than this part of the stated rate is a small lag, which what others spent may explain
LASTS_MS: Final = 110_000  # for which a small lag must last: a large call may be held back for a minute
OWN_PPM: Final = 550_000  # less than this is a large lag, whatever others may have spent
SPENT_PPM: Final = 700_000  # a limit of which this part was spent explains why others were left unused
SPENT_IN_MS: Final = 15_000  # in which a window may be spent
NORMAL_PPM: Final = 10_000
REFUSAL_COSTS: Final = 3  # refusals of one call in a hundred are worth three tokens in a hundred
REFUSED_PPM: Final = 15_000  # of calls are a doubt
REFUSED_EARLY_PPM: Final = 60_000  # if requests have waited less than twice `COMPARED_MS`
REFUSED_MIN: Final = 4
EVENTS_MIN: Final = 2
MANY: Final = 40
STORM_PPM: Final = 300_000  # refused calls of all, of many


@dataclass(slots=True)
class Achieved:
    """What was achieved while requests waited. Refusals count whenever their calls were sent.

    Attributes:
        waited_ms: How long they did.
        held_ms: How much of that they were held back; the rest lies between calls that followed each other soon.
        tokens: Sent, less those of refused calls.
        started: Calls sent, less those refused.
        calls: Admitted, of those sent while requests waited.
        refused: Refused calls, of all.
        theirs: Those of them that what others have spent explains.
        tests: Those that were sent when the refusal before was known, and began no new event: single calls that test a
            wait, which any way of spending would have sent.
        events: Those that were sent when the refusal before was known: one wave is one event.
        foreign: Tokens that headers showed to be missing and no call of ours explains.
        tokens_at_once: Sent while no request waited, less those of refused calls: they may have spent what had been
            saved before, for a call that was cancelled or as a reserve.
        started_at_once: Those calls.
    """

    waited_ms: int = 0
    held_ms: int = 0
    tokens: int = 0
    started: int = 0
    calls: int = 0
    refused: int = 0
    events: int = 0
    foreign: int = 0
    tokens_at_once: int = 0
    started_at_once: int = 0
    theirs: int = 0
    tests: int = 0

    def since(self, before: "Achieved") -> "Achieved":
        """Return what was achieved since."""
        return Achieved(
            self.waited_ms - before.waited_ms,
            self.held_ms - before.held_ms,
            self.tokens - before.tokens,
            self.started - before.started,
            self.calls - before.calls,
            self.refused - before.refused,
            self.events - before.events,
            self.foreign - before.foreign,
            self.tokens_at_once - before.tokens_at_once,
            self.started_at_once - before.started_at_once,
            self.theirs - before.theirs,
            self.tests - before.tests,
        )

    def repriced(self, ppm: int) -> "Achieved":
        """Return the same calls at other prices: each paid this part of what it paid."""
        return replace(self, tokens=self.tokens * ppm // PPM, tokens_at_once=self.tokens_at_once * ppm // PPM)

    @property
    def per_minute(self) -> int:
        """Tokens admitted in a minute, measured over a third of one or more."""
        return self.tokens * MINUTE_MS // max(COMPARED_MS, self.waited_ms)

    @property
    def refused_ppm(self) -> int:
        """Refused calls of all."""
        return self.refused * PPM // max(1, self.calls + self.refused)

    @property
    def ours(self) -> int:
        """Refusals that the way of spending must answer for."""
        return self.refused - self.theirs - self.tests

    @property
    def is_storm(self) -> bool:
        """Whether very many calls were refused, of all, in more than one wave."""
        return self.events >= EVENTS_MIN and self.refused >= MANY and self.refused_ppm >= STORM_PPM

    @property
    def is_refused_much(self) -> bool:
        """Whether many calls were refused, in more than one wave, beyond those that others' spending explains."""
        if self.is_storm:
            return True
        if self.events < EVENTS_MIN or self.waited_ms < COMPARED_MS or self.ours < REFUSED_MIN:
            return False
        early = self.waited_ms < 2 * COMPARED_MS
        return self.ours * PPM > (self.calls + self.ours) * (REFUSED_EARLY_PPM if early else REFUSED_PPM)

    def is_refused_still(self, recent: "Achieved") -> bool:
        """Return whether any call was refused in the later half of this time, the `recent` one.

        Otherwise the mirrors have learned what refused the calls of the first half.
        """
        return self.is_storm or recent.ours > 0

    @property
    def utility(self) -> int:
        """Tokens a minute, less `REFUSAL_COSTS` times the share of refusals above what is normal."""
        cost_ppm = REFUSAL_COSTS * max(0, self.refused_ppm - NORMAL_PPM)
        return self.per_minute - self.per_minute * min(PPM, cost_ppm) // PPM


NOTHING: Final = Achieved()


@dataclass(frozen=True, slots=True)
class Bound:
    """What holds requests back, as far as the mirrors know.

    Attributes:
        per_minute: Tokens or calls.
        of_calls: It counts calls.
        counts_windows: It begins anew once a minute or less, or counts each charge for that long.
        long: It is a limit of an hour or longer.
        level: What it holds already for the request that waits.
        needs_ms: How long that request may have to wait for it, beside the reserve that it must leave.
        reserved: What each window leaves unused for that reserve. A bucket fills it once, and loses nothing after that.
    """

    per_minute: int
    of_calls: bool
    counts_windows: bool
    long: bool
    level: int
    needs_ms: int
    reserved: int = 0

    @classmethod
    def of(cls, mirror: AnyMirror, paid: int, now_ms: int, reserved_ppm: int = 0) -> "Bound":
        """Return what a mirror bounds, and for how long it holds back a request that pays so many tokens.

        `reserved_ppm`: the share of it that the request must leave to others.
        """
        per_minute = mirror.capacity * MINUTE_MS // mirror.period_ms
        of_calls, counts_windows = mirror.metric is LimitMetric.REQUESTS, mirror.refill is not BUCKET
        level = max(0, mirror.low(now_ms))
        long, reserved = mirror.period_ms >= HOUR_MS, mirror.capacity * reserved_ppm // PPM
        if counts_windows:
            return cls(per_minute, of_calls, counts_windows, long, level, mirror.period_ms, reserved)
        amount = 1 if of_calls else paid
        needed = max(amount, min(amount + reserved, mirror.capacity))  # a full bucket is enough, see `BoundedBucket`
        return cls(per_minute, of_calls, counts_windows, long, level, needed * mirror.period_ms // mirror.capacity)

    @property
    def spendable(self) -> int:
        """Tokens or calls a minute beside the reserve."""
        return self.per_minute - self.reserved * MINUTE_MS // self.needs_ms if self.reserved else self.per_minute

    def stalls(self, lately: Achieved, held_ms: int) -> bool:
        """Return whether nothing was sent for longer than a request has to wait; one has waited for `held_ms` now."""
        waited_ms = max(lately.waited_ms, held_ms)
        return lately.tokens <= 0 and waited_ms >= max(COMPARED_MS, self.needs_ms + SPENT_IN_MS)

    def explains(self, lately: Achieved) -> bool:
        """Return whether most of what this limit lets through was spent, so that others may have been left unused."""
        own = (lately.started if self.of_calls else lately.tokens) * MINUTE_MS
        return own * PPM >= max(COMPARED_MS, lately.waited_ms) * self.spendable * SPENT_PPM

    def lags(self, lately: Achieved) -> bool:
        """Return whether less was spent than this limit lets through; what others may have spent explains a part.

        A small lag must last. And no more is due to this limit than the part of the time in which requests were held
        back: calls that follow each other soon may be all that is asked for.
        """
        if lately.waited_ms < max(2 * COMPARED_MS, self.needs_ms):
            return False
        if (spent := self._spent(lately, max(0, self.level - self.reserved))) is None:
            return False
        own, explained, due = spent
        held_ppm = lately.held_ms * PPM // lately.waited_ms
        if own * PPM < due * OWN_PPM and held_ppm > PPM - OWN_PPM:
            return True
        lasts = lately.waited_ms >= LASTS_MS and held_ppm > PPM - LAGS_PPM
        return lasts and (own + explained) * PPM < due * LAGS_PPM

    def keeps_up(self, lately: Achieved) -> bool:
        """Return whether no less was sent than this limit lets through; False where no window is whole."""
        spent = None if lately.waited_ms < COMPARED_MS else self._spent(lately, 0)
        return spent is not None and (spent[0] + spent[1]) * PPM >= spent[2] * LAGS_PPM

    def _spent(self, lately: Achieved, held: int) -> tuple[int, int, int] | None:
        """Return what was spent in a minute, what others may have spent, and what was due; None: no window is whole.

        What is `held` for the request that waits is spent as well. A window lets through what it holds beside the
        reserve, which expires with it each time. A part of a window may hold all that is spent in it, or nothing, so
        only whole windows are judged. And one call may belong to either of two windows: so much of each is not due.
        """
        minutes_ms = lately.waited_ms
        if self.counts_windows:
            minutes_ms = (minutes_ms - min(SPENT_IN_MS, self.needs_ms)) // self.needs_ms * self.needs_ms
        if minutes_ms <= 0:
            return None
        waited, at_once = lately.tokens, lately.tokens_at_once
        mean = max(0, lately.tokens) // lately.started if lately.started > 0 else 0
        if self.of_calls:
            waited, at_once, mean = lately.started, lately.started_at_once, 1
        own = (waited + at_once + held) * MINUTE_MS // minutes_ms
        explained = 0 if self.of_calls else lately.foreign * MINUTE_MS // minutes_ms
        due = self.spendable
        if self.counts_windows:
            due -= min(due // 2, mean * MINUTE_MS // self.needs_ms)
        return own, explained, due
