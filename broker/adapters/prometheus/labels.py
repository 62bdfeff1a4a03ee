"""Names as labels of metrics, few of them, and levels of those that share a label.

Producers choose the names of models and service tiers. If the first names seen got the labels, requests with invented
names, each a mere refusal, would use them up, and every name that comes later would be `other` for the life of the
process. So only some labels are for names of which nothing is known; the rest are for names that an answer confirmed.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from prometheus_client import Gauge

OTHER: Final = "other"
"""The label that all names share which have none of their own."""

ACCOUNT: Final = "(account)"
"""The account, where models and limits have their names: it always has a label of its own."""

NAME_MAX: Final = 100

Names = tuple[str, ...]


class BoundedNames:
    """Names chosen by others, as labels: few, short, and always encodable."""

    def __init__(self, labels_max: int, *, unconfirmed_max: int | None = None, known: Iterable[str] = ()) -> None:
        """Bound the labels.

        Args:
            labels_max: Number of labels, those of `known` not counted.
            unconfirmed_max: How many of these names without an answer may have; None: all.
            known: Names that have labels from the beginning.
        """
        self._known = frozenset(known)
        self._labels_max = labels_max
        self._unconfirmed_max = labels_max if unconfirmed_max is None else unconfirmed_max
        self._labels: dict[str, str] = {}
        self._unconfirmed: set[str] = set()

    def label(self, name: str) -> str:
        """Return a name's label: its own, or `OTHER`."""
        short = shortened(name)
        if short in self._known:
            return short
        own = self._labels.get(short)
        if own is not None:
            return own
        if len(self._unconfirmed) >= self._unconfirmed_max or not self._give(short):
            return OTHER
        self._unconfirmed.add(short)
        return self._labels[short]

    def confirm(self, name: str) -> None:
        """Record that an answer came for this name: it has a label of its own from now on, if one is left."""
        short = shortened(name)
        self._unconfirmed.discard(short)
        if short not in self._known and short not in self._labels:
            self._give(short)

    def _give(self, short: str) -> bool:
        """Give a name a label; return whether one was left."""
        if len(self._labels) >= self._labels_max or short == OTHER:
            return False
        self._labels[short] = text_of(short)
        return True


class FoldedGauge:
    """Gauge of one level for each name; the levels of names that share the label `OTHER` are joined.

    If the last one set were shown, an empty queue would hide 500 requests that wait in another one.
    """

    def __init__(self, gauge: Gauge, join: Callable[[Iterable[float]], float]) -> None:
        """`join` makes one level of those that share a label."""
        self._gauge = gauge
        self._join = join
        self._levels: dict[Names, dict[Names, float]] = {}
        """By labels, the levels of the names that share them, without those of 0."""
        self._folded: dict[Names, Names] = {}
        """The labels that each of these names shares."""

    def set(self, figure: float, names: Names, labels: Names) -> None:
        """Set the level of `names`, of which each has the label at the same place in `labels`."""
        self._unfold(names)
        if OTHER not in labels:
            self._gauge.labels(*labels).set(figure)
            return
        levels = self._levels.get(labels)
        if levels is None:
            levels = self._levels[labels] = {}
            self._gauge.labels(*labels).set_function(lambda: self._join((0.0, *levels.values())))
        if figure:
            levels[names] = figure
            self._folded[names] = labels

    def withdraw(self, names: Names, labels: Names) -> None:
        """Show `names` no more: their own level is gone, and a joined one goes on without theirs."""
        self._unfold(names)
        if OTHER not in labels:
            with suppress(KeyError):
                self._gauge.remove(*labels)

    def forget(self, first: str) -> None:
        """Forget the joined levels of all names whose first one is `first`."""
        for names in [names for names in self._folded if names[0] == first]:
            self._unfold(names)

    def _unfold(self, names: Names) -> None:
        labels = self._folded.pop(names, None)
        if labels is not None:
            del self._levels[labels][names]


def shortened(name: str) -> str:
    """Return the beginning of a name, by which it is told from others."""
    return str(name)[:NAME_MAX]


def text_of(label: str) -> str:
    """Make a label short and encodable: half a surrogate pair would break every scrape from then on."""
    return shortened(label).encode("utf-8", "replace").decode()
