"""A trial: measurements are followed for some minutes, and judged by what the mirrors had achieved before.

They settle for half a minute, which does not count, and are judged by the minute of waiting after it. A *search* is a
trial beyond a limit that nothing states: it must find more, and its first refusal ends it, unless it has found that by
then, and what the mirrors had left besides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS
from headrace.broker.core.budget.achievement import Achieved, Bound
from headrace.broker.core.units import PPM

WORSE_PPM: Final = 30_000  # by so much less, and no more, a trial may achieve and stay
MORE_PPM: Final = 30_000  # by so much more than the mirrors knew of a search must find
SETTLES_MS: Final = 30_000  # of a trial, which do not count
TRIED_MS: Final = 60_000  # those that do
IN_VAIN: Final = 6  # refusals in a row at the beginning of a trial
IN_VAIN_LONG: Final = 2  # where a limit of an hour or longer is believed to be spent
TRIAL_LASTS_MS: Final = 900_000  # at most: in light traffic nothing can be compared


class Outcome(Enum):
    """What has become of a trial."""

    GOES_ON = "it goes on"
    WON = "the measurements achieve as much, or more"
    LOST = "the mirrors achieved more"
    NO_MORE = "a search found no more"


@dataclass(frozen=True, slots=True)
class Search:
    """A trial for more than the mirrors know of.

    Attributes:
        begin: All by its begin.
        mirrored: Tokens a minute that the mirrors had achieved, or would let through.
        left: Tokens that they had left.
    """

    begin: Achieved
    mirrored: int
    left: int

    @classmethod
    def of(cls, bounds: Sequence[Bound], begin: Achieved, lately: Achieved) -> "Search":
        """Return a search beyond the first of what holds requests back."""
        first = bounds[0] if bounds and not bounds[0].of_calls else None
        if first is None:
            return cls(begin, lately.per_minute, 0)
        return cls(begin, max(lately.per_minute, first.per_minute), first.level)

    @property
    def sought(self) -> int:
        """The tokens a minute that it must achieve."""
        return self.mirrored + self.mirrored * MORE_PPM // PPM

    def repriced(self, ppm: int) -> "Search":
        """Return the same search at other prices."""
        return Search(self.begin.repriced(ppm), self.mirrored * ppm // PPM, self.left * ppm // PPM)

    def finds_more(self, all_by_now: Achieved) -> bool:
        """Return whether more was let through than the mirrors would have spent, and what they had left."""
        found = all_by_now.since(self.begin)
        known = self.mirrored * found.waited_ms // MINUTE_MS
        return found.tokens >= known + known * MORE_PPM // PPM + self.left


class Trial:
    """One trial.

    Attributes:
        mirrored: What the mirrors had achieved in the minute before it.
        sought: Tokens a minute that a search must achieve; None: it is none.
        utility: What the measurements have achieved in it; 0 until that is known.
    """

    __slots__ = ("_began_ms", "_begin", "_in_vain", "_search", "_settled", "mirrored", "sought", "utility")

    def __init__(
        self, begin: Achieved, mirrored: Achieved, now_ms: int, *, long: bool = False, search: Search | None = None
    ) -> None:
        """`begin`: all by now; `long`: a limit of an hour or longer is believed to be spent."""
        self.mirrored = mirrored
        self.sought = None if search is None else search.sought
        self.utility = 0
        self._begin = begin
        self._began_ms = now_ms
        self._in_vain = IN_VAIN_LONG if long else IN_VAIN
        self._search = search  # until it has met a refusal
        self._settled = False

    def reprice(self, ppm: int) -> None:
        """Go on with other prices, at which every call paid this part of what it paid."""
        self._begin, self.mirrored = self._begin.repriced(ppm), self.mirrored.repriced(ppm)
        self._search = None if self._search is None else self._search.repriced(ppm)
        self.sought = None if self.sought is None else self.sought * ppm // PPM

    def so_far(self, by_now: Achieved) -> int:
        """Return the utility of what the measurements have achieved by now, once they have settled."""
        return by_now.since(self._begin).utility

    def judge(self, by_now: Achieved, refused_in_a_row: int, now_ms: int) -> Outcome:
        """Return what has become of it, by all that has been achieved by now and by the latest refusals in a row."""
        tried = by_now.since(self._begin)
        if now_ms - self._began_ms >= TRIAL_LASTS_MS:
            return Outcome.LOST
        if self._search is not None and by_now.refused > self._search.begin.refused:
            search, self._search = self._search, None
            if not search.finds_more(by_now):
                return Outcome.NO_MORE
        if not self._settled:
            if not tried.calls and refused_in_a_row >= self._in_vain:
                return Outcome.LOST
            if tried.waited_ms >= SETTLES_MS:
                self._settled, self._begin = True, replace(by_now)
            return Outcome.GOES_ON
        return Outcome.GOES_ON if tried.waited_ms < TRIED_MS else self._compare(tried)

    def _compare(self, tried: Achieved) -> Outcome:
        self.utility = tried.utility
        if self.sought is not None and self.utility < self.sought:
            return Outcome.NO_MORE
        if not self.utility or self.utility * PPM < self.mirrored.utility * (PPM - WORSE_PPM):
            return Outcome.LOST
        return Outcome.WON
