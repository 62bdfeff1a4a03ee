"""Whether a limit's mirrors are followed, or its own measurements (`headrace.broker.core.budget.rate_control`).

The mirrors follow what a server says. Where that contradicts what the server does, they leave most of the quota unused
or collect refusals, and no header shows it. So both are compared by what they achieve while requests wait: the tokens
admitted in a minute, less a penalty for refusals. A request waits while it is held back, and between calls that follow
each other soon; time in which something else holds it back does not count, such as the operator's cap.

- *Doubt*: over the last minute or two the mirrors have spent less than the stated rate, or nothing at all for longer
  than the request that waits needs, beside the reserve that it must leave; or more than 15 of 1,000 calls were refused
  (60 before 40 s of waiting), some in the later half of that time, beyond those that others' spending explains and
  those that tested a wait, or many in a row.
  Where only a refusal has named the limit, that none was refused for two minutes is a doubt as well: more may be had.
- *Trial* (`headrace.broker.core.budget.trial`): then the measurements are followed. If they achieve no less they stay,
  else the mirrors return, and the next trial comes after twice as long; not for ten minutes while they achieve as much.
- *Return*: meanwhile the mirrors go on predicting. If they foresee the refusals, also the trial's where headers show
  levels, and hold back next to nothing that is admitted, they are followed again; each time it takes twice as long.
- *Regret*: if they then achieve far less than the measurements did, a trial begins at once. And if the measurements
  achieve far less than the mirrors did when they won, the mirrors are followed again.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from headrace.broker.core.budget.achievement import LASTS_MS, NOTHING, Achieved, Bound
from headrace.broker.core.budget.last_trial import NO_TRIAL, REGRETTED_PPM, LastTrial
from headrace.broker.core.budget.rate_control import GONE_MS
from headrace.broker.core.budget.trial import Outcome, Search, Trial
from headrace.broker.core.units import PPM

SOON_MS: Final = 250  # a call that follows another one sooner was wanted, whether or not it was held back
MARKED_EVERY_MS: Final = 1_000
LATELY_MS: Final = 60_000
REMEMBERED_MS: Final = 140_000
ADMITTED_MIN: Final = 30  # without a refusal, where no answer shows what is left
REVIEWED_MS: Final = 50_000  # of waiting in the last minute, by which measurements that have won are judged
REVIEWED_EVERY_MS: Final = 10_000
STORM: Final = 12  # refusals without an admission between them, each known when the next call was sent
STORM_MS: Final = 10_000
TRIAL_FIRST_MS: Final = 60_000
TRIAL_MAX_MS: Final = 1_800_000
MORE_FIRST_MS: Final = 300_000  # from a trial for more that found none until the next; then twice as long
FORESEEN_MIN: Final = 4  # refusals, three of four foreseen, before the mirrors return
_NEVER_MS: Final = 1 << 62
EVENTS_REMEMBERED: Final = 8
FORESEEN_CALLS: Final = 128  # admitted while measurements are followed, before the mirrors return
HELD_BACK_MAX: Final = 2  # of those calls


class MirrorTrust:
    """Trust in the mirrors of one limit.

    Attributes:
        measures_since_ms: Since when the limit's own measurements are followed; None: the mirrors are.
    """

    __slots__ = (
        "_all",
        "_at_once",
        "_base",
        "_beaten",
        "_counted",
        "_explained",
        "_foreseen",
        "_held",
        "_held_long",
        "_held_since_ms",
        "_held_until_ms",
        "_in_debt",
        "_last_trial",
        "_marks",
        "_more_every_ms",
        "_next_more_ms",
        "_next_return_ms",
        "_next_review_ms",
        "_next_trial_ms",
        "_refused_in_a_row",
        "_renewed",
        "_repriced_ms",
        "_return_every_ms",
        "_row_ms",
        "_sent_ms",
        "_sought",
        "_told_ms",
        "_trial",
        "_trial_every_ms",
        "measures_since_ms",
    )

    def __init__(self, now_ms: int) -> None:
        """Begin with trust."""
        self.measures_since_ms: int | None = None
        self._all = Achieved()
        self._base = NOTHING  # all when the mirrors were followed last
        self._marks: deque[tuple[int, Achieved]] | None = None  # at most one a second: when, and all by then
        self._trial: Trial | None = None
        self._sought: int | None = None  # tokens a minute that the last trial, a search, had to achieve
        self._counted: dict[int, int] = {}  # calls without an answer, sent while requests waited, and their tokens
        self._at_once: dict[int, int] = {}  # the same of calls sent while none waited
        self._held_since_ms: int | None = None  # since when requests have been held back without a call
        self._held_until_ms = now_ms
        self._held_long = False  # by a limit of an hour or longer
        self._sent_ms = now_ms  # when the last call was sent, or may have been held back first
        self._refused_in_a_row = 0  # calls that were sent when the refusal before was known
        self._row_ms = _NEVER_MS  # when the first of them was refused
        self._told_ms, self._repriced_ms = 0, now_ms
        self._next_trial_ms = self._next_more_ms = self._next_review_ms = self._next_return_ms = 0
        self._trial_every_ms = self._return_every_ms = TRIAL_FIRST_MS
        self._more_every_ms = MORE_FIRST_MS
        self._beaten: int | None = None  # the utility of the mirrors, when the measurements won
        self._in_debt = False  # the mirrors are followed again, and have not allowed a call yet
        self._last_trial = NO_TRIAL
        self._foreseen: deque[bool] | None = None  # of the last events, while measurements are followed
        self._held: deque[bool] | None = None  # of the last admitted calls
        self._renewed = self._explained = False  # the mirrors were replaced since they were doubted; refusals told how

    @property
    def tries(self) -> bool:
        """Whether a trial is under way."""
        return self._trial is not None

    @property
    def sought(self) -> int | None:
        """The tokens a minute that the last trial had to achieve if it was a search; None: it was none."""
        return self._sought

    def lately(self, now_ms: int, span_ms: int = LATELY_MS) -> Achieved:
        """Return what was achieved in the last `span_ms`, or since the mirrors have been followed, if that is later."""
        before = self._base
        for at_ms, all_by_then in self._marks or ():
            if at_ms > now_ms - span_ms:
                break
            before = all_by_then
        achieved = self._all.since(before)
        if (since_ms := self._held_at(now_ms)) is not None:
            held_ms = min(span_ms, now_ms - since_ms)
            achieved.waited_ms += held_ms
            achieved.held_ms += held_ms
        return achieved

    def record_wait(self, until_ms: int, now_ms: int, *, long: bool = False) -> None:
        """Record that a request is held back until an instant, or until it is asked about again before that.

        `long`: a limit of an hour or longer holds it back. That wait says nothing of other limits once it is over.
        """
        if self._held_at(now_ms) is None:
            soon = now_ms - self._sent_ms <= SOON_MS
            self._held_since_ms = self._sent_ms if soon else now_ms
        self._held_until_ms, self._held_long = until_ms, long

    def forget_wait(self) -> None:
        """Record that something else holds requests back: their wait says nothing of the mirrors."""
        self._held_since_ms = None

    def _held_at(self, now_ms: int) -> int | None:
        """Return since when requests have been held back; None: none is, or it was not asked about in its time."""
        return self._held_since_ms if now_ms <= self._held_until_ms + GONE_MS else None

    def record_send(self, attempt: int, tokens: int, now_ms: int) -> None:
        """Record a call that is sent now."""
        since_ms = None if self._held_long else self._held_at(now_ms)
        if since_ms is not None or self._marks is not None:
            self._mark(now_ms)
        if since_ms is not None:
            self._include(since_ms, now_ms)
        elif now_ms - self._sent_ms <= SOON_MS:
            since_ms = self._sent_ms
            self._all.waited_ms += now_ms - since_ms
        if since_ms is not None:
            self._all.tokens += tokens
            self._all.started += 1
            self._counted[attempt] = tokens
        elif self._marks is not None:  # requests have waited before, and something may have been saved meanwhile
            self._all.tokens_at_once += tokens
            self._all.started_at_once += 1
            self._at_once[attempt] = tokens
        self._held_since_ms, self._held_long, self._sent_ms = None, False, now_ms
        if self._in_debt and self.measures_since_ms is None:  # what was spent beyond the mirrors has been paid
            self._in_debt, self._base, self._marks = False, replace(self._all), None

    def _include(self, since_ms: int, now_ms: int) -> None:
        """Include a wait that is over; a mark that was made during it includes what had passed of it by then."""
        self._all.held_ms += now_ms - since_ms
        self._all.waited_ms += now_ms - since_ms
        for at_ms, all_by_then in reversed(self._marks or ()):
            if at_ms <= since_ms:
                break
            all_by_then.held_ms += at_ms - since_ms
            all_by_then.waited_ms += at_ms - since_ms

    def _mark(self, now_ms: int) -> None:
        """Remember what has been achieved by now."""
        if self._marks is None:
            self._marks = deque()
        if not self._marks or now_ms - self._marks[-1][0] >= MARKED_EVERY_MS:
            self._marks.append((now_ms, replace(self._all)))
            while len(self._marks) > 1 and self._marks[1][0] <= now_ms - REMEMBERED_MS:
                self._marks.popleft()

    def record_loss(self, attempt: int) -> None:
        """Record a call that ended without an answer."""
        self._admit(attempt)

    def record_unsent(self, attempt: int) -> None:
        """Record a call that was not sent after all."""
        self._take_back(attempt)

    def _take_back(self, attempt: int) -> None:
        if (tokens := self._counted.pop(attempt, None)) is not None:
            self._all.tokens -= tokens
            self._all.started -= 1
        if (tokens := self._at_once.pop(attempt, None)) is not None:
            self._all.tokens_at_once -= tokens
            self._all.started_at_once -= 1

    def _admit(self, attempt: int) -> None:
        self._at_once.pop(attempt, None)
        if self._counted.pop(attempt, None) is not None:
            self._all.calls += 1

    def record_admission(self, attempt: int, *, held: bool) -> None:
        """Record an admitted call; `held`: the mirrors would have held it back."""
        self._refused_in_a_row, self._row_ms = 0, _NEVER_MS
        if self._held is not None:
            self._held.append(held)
        self._admit(attempt)
        self._reconsider()

    def record_refusal(  # noqa: PLR0913 — three of them keyword-only
        self, attempt: int, sent_ms: int, now_ms: int, *, held: bool, is_event: bool, theirs: bool = False
    ) -> None:
        """Record a refused call; `is_event`: it is no consequence of one before it; `theirs`: others explain it."""
        if sent_ms >= self._told_ms:  # the refusal before was known by then
            self._all.tests += self._told_ms > 0 and not (is_event or theirs)
            self._refused_in_a_row += 1
            self._all.events += 1
            self._told_ms = now_ms
            self._row_ms = min(self._row_ms, now_ms)
        self._take_back(attempt)
        self._all.refused += 1
        self._all.theirs += theirs
        if is_event and self._foreseen is not None:
            self._foreseen.append(held)
        self._reconsider()

    def reprice(self, ppm: int) -> None:
        """Go on with other prices, at which every call paid this part of what it paid.

        What was refused at the former ones is no doubt of these, unless prices changed within the last minute as well.
        """
        if self._sent_ms >= self._repriced_ms + LATELY_MS:
            self.judge_anew()
        self._repriced_ms = self._sent_ms
        self._all, self._base = self._all.repriced(ppm), self._base.repriced(ppm)
        if self._marks is not None:
            self._marks = deque((at_ms, by_then.repriced(ppm)) for at_ms, by_then in self._marks)
        if self._trial is not None:
            self._trial.reprice(ppm)
        self._last_trial.reprice(ppm)
        self._beaten = None if self._beaten is None else self._beaten * ppm // PPM
        self._counted = {attempt: tokens * ppm // PPM for attempt, tokens in self._counted.items()}
        self._at_once = {attempt: tokens * ppm // PPM for attempt, tokens in self._at_once.items()}

    # ------------------------------------------------------------------ trials

    def may_begin(self, now_ms: int) -> bool:
        """Return whether a trial could begin now: cheap to ask for each call that is held back."""
        return self.measures_since_ms is None and (
            self._last_trial.utility is not None or now_ms >= self._next_trial_ms
        )

    def begins_trial(self, bounds: Sequence[Bound], now_ms: int, *, foreign: int, told: bool) -> bool:
        """Begin a trial if the mirrors are in doubt; return whether one has begun.

        The first of `bounds` is what holds requests back, as far as the mirrors know; `foreign` are all tokens that
        headers showed to be missing and no call of ours explains; `told`: headers or the operator state
        that limit.
        """
        long, since_ms = bool(bounds) and bounds[0].long, self._held_at(now_ms)
        if not self.may_begin(now_ms) or (long and since_ms is not None and now_ms - since_ms < LATELY_MS):
            return False
        self._all.foreign = foreign
        self._mark(now_ms)
        lately, searches = self.lately(now_ms), False
        if not self._last_trial.is_regretted(lately, bounds, now_ms):
            if now_ms < self._next_trial_ms or self._last_trial.answers(lately, now_ms):
                return False
            storms = self._refused_in_a_row >= STORM and now_ms - self._row_ms >= STORM_MS
            if not (storms or self._is_refused(lately, now_ms) or self._lags(bounds, now_ms)):
                if told or now_ms < self._next_more_ms or not self._none_refused_for_long(now_ms):
                    return False
                searches = True
        if since_ms is not None and not self._held_long:
            self._include(since_ms, now_ms)
        self.measures_since_ms = now_ms
        search = Search.of(bounds, replace(self._all), lately) if searches else None
        self._trial = Trial(replace(self._all), lately, now_ms, long=long, search=search)
        self._sought = self._trial.sought
        self._sent_ms, self._told_ms, self._refused_in_a_row = now_ms, now_ms, 0
        self._held_since_ms = None
        return True

    def judge_anew(self) -> None:
        """Begin to compare anew: a limit has another size from now on."""
        self._base, self._marks = replace(self._all), None

    def renew(self, *, explained: bool = False) -> None:
        """Let mirrors return in the place of doubted ones; those that refusals have `explained` amid a trial too."""
        self._renewed = self.measures_since_ms is not None
        if self._renewed and (explained or self._held is not None):
            self._explained, self._held = explained, None
            self.watch_mirrors()

    def _lags(self, bounds: Sequence[Bound], now_ms: int) -> bool:
        """Return whether nothing was sent for too long, or less than what the first limit, and the others, explain."""
        if not bounds:
            return False
        first, *others = bounds
        lately, longer, since_ms = self.lately(now_ms), self.lately(now_ms, REMEMBERED_MS), self._held_at(now_ms)
        held_ms = 0 if since_ms is None else now_ms - since_ms  # which may be longer than what is remembered
        if first.stalls(lately, held_ms):
            return True
        if any(other.explains(span) for other in others for span in (lately, longer)):
            return False  # by the longer one too: a window may be spent at once, just before a minute began
        return first.lags(lately) or (first.lags(longer) and not first.keeps_up(lately))

    def _is_refused(self, lately: Achieved, now_ms: int) -> bool:
        """Return whether many calls were refused, and still are."""
        if not lately.is_refused_much:
            return False
        half_ms = self._all.waited_ms - lately.waited_ms // 2
        later = next(
            (by_then for _, by_then in reversed(self._marks or ()) if by_then.waited_ms <= half_ms), self._base
        )
        return lately.is_refused_still(self._all.since(later))

    def _none_refused_for_long(self, now_ms: int) -> bool:
        """Return whether no call was refused lately, and enough were admitted in a time that is long enough to say."""
        longer = self.lately(now_ms, REMEMBERED_MS)
        return not longer.refused and longer.calls >= ADMITTED_MIN and longer.waited_ms >= LASTS_MS

    def end_trial(self, now_ms: int) -> None:
        """End a trial that is decided, and follow what has achieved more; later, review that from time to time."""
        trial = self._trial
        if trial is None:
            self._review(now_ms)
            return
        if (outcome := trial.judge(self._all, self._refused_in_a_row, now_ms)) is Outcome.GOES_ON:
            return
        self._trial = None
        if outcome is Outcome.WON:
            self.watch_mirrors()
            self._beaten = trial.mirrored.utility
        else:
            self._follow_mirrors(trial.utility if (lost := outcome is Outcome.LOST) else 0, now_ms, lost=lost)
        if outcome is Outcome.NO_MORE:
            self._next_more_ms = now_ms + self._more_every_ms
            self._more_every_ms = min(TRIAL_MAX_MS, 2 * self._more_every_ms)

    def _review(self, now_ms: int) -> None:
        """Follow the mirrors again if the measurements achieve far less by now than the mirrors did."""
        if self._beaten is None or now_ms < self._next_review_ms:
            return
        self._next_review_ms = now_ms + REVIEWED_EVERY_MS
        lately = self.lately(now_ms)
        if lately.waited_ms >= REVIEWED_MS and lately.utility * PPM < self._beaten * REGRETTED_PPM:
            self._follow_mirrors(lately.utility, now_ms)

    def follow_measurements(self, now_ms: int) -> None:
        """Follow the measurements from the start, as a predecessor did."""
        self.measures_since_ms = now_ms
        self.watch_mirrors()

    def watch_mirrors(self) -> None:
        """Observe from now on, or still, whether mirrors foresee what the server does; they return after a trial."""
        if self._held is None:
            self._foreseen, self._held = deque(maxlen=EVENTS_REMEMBERED), deque(maxlen=FORESEEN_CALLS)

    def _follow_mirrors(self, measured: int, now_ms: int, *, lost: bool = False) -> None:
        self.measures_since_ms = self._trial = None
        self._last_trial = LastTrial(measured, now_ms, lost=lost)
        self._next_trial_ms = now_ms + self._trial_every_ms
        self._trial_every_ms = min(TRIAL_MAX_MS, 2 * self._trial_every_ms)
        self._next_return_ms = now_ms + self._return_every_ms
        self._return_every_ms = min(TRIAL_MAX_MS, 2 * self._return_every_ms)
        self._refused_in_a_row, self._renewed, self._explained = 0, False, False
        self._foreseen = self._held = self._beaten = None
        self._base, self._marks = replace(self._all), None
        self._in_debt = True

    def _reconsider(self) -> None:
        """Follow the mirrors again if they foresee what the server does."""
        held, foreseen = self._held, self._foreseen
        if held is None or foreseen is None or len(held) < FORESEEN_CALLS or (self.tries and not self._explained):
            return
        foresee = self._renewed or (len(foreseen) >= FORESEEN_MIN and 4 * sum(foreseen) >= 3 * len(foreseen))
        if foresee and sum(held) <= HELD_BACK_MAX and self._sent_ms >= self._next_return_ms:
            trial, lately = self._trial, self.lately(self._sent_ms)
            self._follow_mirrors(lately.utility if trial is None else trial.so_far(self._all), self._sent_ms)
