"""Upper bound of the share of calls' tokens that a limit's windows of tokens count: see `charged_share`.

An answer may show one window or several. All of them are charged the same for a call, so the least share that any of
them shows is a bound for all. (A limit of input may count another part in each window, so there the greatest share
counts: see `side_limit`.)
"""

from collections.abc import Mapping, Sequence
from typing import Final

from headrace.broker.core.answers.refill_detection import SHORT_MS, Refill
from headrace.broker.core.budget.charged_share import ChargedShare
from headrace.broker.core.budget.mirror_list import AnyMirror
from headrace.broker.core.budget.sent_calls import AdmissionOrder

_TELLING: Final = frozenset({Refill.SLIDING, Refill.TWO})


class ChargedShares:
    """The shares that the windows of one limit's tokens show."""

    __slots__ = ("_shares",)

    def __init__(self) -> None:
        self._shares: dict[int, ChargedShare] = {}  # by the size of the window

    @property
    def ppm(self) -> int | None:
        """The least share that a window shows; None: none shows any."""
        return min((share.ppm for share in self._shares.values() if share.ppm is not None), default=None)

    def observe(
        self,
        mirrors: Sequence[AnyMirror],
        carried: int,
        levels: Mapping[int, int],
        order: AdmissionOrder,
        oldest_ms: int,
    ) -> None:
        """Process the levels that headers show right after a call that carried `carried`, by our law.

        `mirrors` are those of tokens whose sizes the server states; `levels` is what is left in each size that the
        answer shows, of the account's; `oldest_ms`: when the oldest call without an answer was sent. A project's
        windows may have the size of the account's, so they tell nothing.
        """
        telling = {mirror.capacity: mirror for mirror in mirrors if not mirror.project and _tells(mirror)}
        if self._shares.keys() - telling.keys():
            self._shares = {size: share for size, share in self._shares.items() if size in telling}
        for size, mirror in telling.items():
            share = self._shares.get(size)
            if share is None:
                share = self._shares[size] = ChargedShare()
            remaining = levels.get(size)
            if remaining is None:
                share.record_unshown(carried, order)
            else:
                share.observe(mirror, carried, remaining, order, oldest_ms)


def _tells(mirror: AnyMirror) -> bool:
    """Return whether a window's levels show a share.

    Those of buckets and of counters that begin anew correct their mirrors; but the answers of a counter of a second or
    two come when it has begun anew. What counts in another window of that length is not known well enough.
    """
    return mirror.refill is Refill.FIXED if mirror.period_ms <= SHORT_MS else mirror.refill in _TELLING
