"""How long a rate or a cap that a refusal has set stays as it is, before it is raised to look for more.

Each look costs a refusal. So where refusals come at the same figure again and again, the looks become rare: the time
doubles with each one that confirms the one before. A figure near the one that the operator or the server states is
confirmed by that, and held longest at once. Where the figure moves, because others spend too, it is not held.
"""

from typing import Final

from headrace.broker.core.units import PPM

FIRST_MS: Final = 60_000  # once a second look has confirmed a figure
LONGEST_MS: Final = 240_000
CONFIRMED_PPM: Final = 40_000  # of the last figure: a refusal no farther from it confirms it
STATED_PPM: Final = 60_000  # of a stated figure: one no farther from it is confirmed by that


class Hold:
    """The hold of one figure.

    Attributes:
        figure: The rate or cap at which the last refusal came, in the unit of its owner.
        until_ms: When it ends.
    """

    __slots__ = ("_next_ms", "figure", "until_ms")

    def __init__(self) -> None:
        self.until_ms = 0
        self.figure = 0
        self._next_ms = 0

    def begin(self, figure: int, now_ms: int, *, isolated: bool, stated: int = 0) -> None:
        """Hold a figure at which a refusal came.

        `isolated`: not soon after another one, which shows less. `stated`: the figure that the operator or the server
        states, in the same unit; 0: neither does.
        """
        looked = isolated and now_ms >= self.until_ms
        confirmed = looked and abs(figure - self.figure) * PPM <= CONFIRMED_PPM * self.figure
        self._next_ms = min(LONGEST_MS, max(FIRST_MS, 2 * self._next_ms)) if confirmed else 0
        if isolated and abs(figure - stated) * PPM <= STATED_PPM * stated:
            self._next_ms = LONGEST_MS
        self.figure, self.until_ms = figure, now_ms + self._next_ms

    def end(self, now_ms: int) -> None:
        """Hold the figure no longer: something else explains the refusals."""
        self.until_ms = min(self.until_ms, now_ms)

    def reprice(self, ppm: int) -> None:
        """Let the figure be this part of what it was."""
        self.figure = self.figure * ppm // PPM
