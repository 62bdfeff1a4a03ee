"""Which evidence counts against a law that is known: others' spending looks as if calls were charged more.

The believed law falls short of every span that contains this spending, and sooner or later a dearer law fits one of
them by chance. So only spans count that begin after the last one that counted. But a law that has changed is fitted by
another one in every span, also in those that overlap; chance does not do that for as long as a span is.
"""

from headrace.broker.core.pricing.debit_history import DebitSpan


class OthersSpending:
    """The spans of one history of debits in which the believed law fell short."""

    __slots__ = ("_counted", "_fitting", "_since")

    def __init__(self) -> None:
        self._counted = -1  # the end of the last span that counted
        self._fitting: frozenset[int] = frozenset()  # laws that have fitted every span since
        self._since = -1  # the end of the first of these

    def unspent(self, span: DebitSpan | None, excesses: list[int | None], believed: int) -> list[int | None]:
        """Return the excesses that count; `span` is that of the believed law, whose index is `believed`."""
        if (excesses[believed] or 0) >= 0:
            self._fitting = frozenset()
            return excesses
        if span is None:
            return _too_dear(excesses)
        fitting = frozenset(index for index, excess in enumerate(excesses) if excess == 0)
        if not self._fitting & fitting:
            self._since = span.end
        self._fitting = self._fitting & fitting or fitting
        lasts = bool(self._fitting) and span.start >= self._since
        if lasts or span.start >= self._counted:
            self._counted = max(self._counted, span.end)
            return excesses
        return _too_dear(excesses)


def _too_dear(excesses: list[int | None]) -> list[int | None]:
    return [excess if excess is not None and excess > 0 else None for excess in excesses]
