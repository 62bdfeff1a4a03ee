"""Belief about the charge law of one limit and endpoint, as far as answers tell.

Every answer that can be compared with the laws is a piece of evidence: for each law it shows that the law fits, charges
more than the server did, or less. A law is *refuted* when at least half of its recent evidence, by weight, misfits, and
*supported* when it has been judged and is not refuted. The belief:

- Before any evidence there is none: a call is priced by the law that is dearest for it. That costs little, since the
  first answers give the excess back.
- Then the supported law that fits best, the dearest of those that fit equally. It stays until it is refuted, or fits
  clearly worse than another. Few pieces count, the last ones most: a law that changes is noticed within three, or at
  the first refusal that names its own charge.
- Where no law is supported, because none fits or because a server states nothing, the law that was recorded of OpenAI.
  Such a server refutes nothing, and the dearest law would leave most of its quota unused for ever; its refusals are
  answered by waiting, which is right for any law. It is also believed where it misfits no more of the evidence than the
  believed law, and `SILENT_ANSWERS_MAX` answers in a row have told nothing.

A law that charges less than the server did may still be right, with another client's spending on top. Such a misfit
counts only if another law fits that very piece; a law that charges more always misfits. A piece that every law fits,
because the bodies do not tell them apart, shows nothing, and nothing depends on it. Nor does a piece that the believed
law fits support another law.

Where no law is right, such as before a factor is known, chance fits one and then another. Each change of belief prices
all calls anew. So the more changes there were, the more pieces count, and the longer a belief lasts.
"""

from collections.abc import Sequence
from typing import Final

from headrace.broker.core.endpoints import Law
from headrace.broker.core.units import PPM

REFUTED_PPM: Final = PPM // 2
PREFERRED_PPM: Final = PPM // 4  # a law that misfits by this much more than another is not believed, though not refuted
MEMORY: Final = 4  # once this many came, each new piece weighs one part in this many
CHANGES_USUAL: Final = 4  # after every so many changes of belief, twice as many pieces count
DOUBLED_MAX: Final = 3
STATED_WEIGHT: Final = 3  # a charge that the server itself names is exact: a single one changes a belief
SILENT_ANSWERS_MAX: Final = 16  # answers in a row without evidence before the recorded law is believed
SETTLED_ANSWERS: Final = 16  # in a row that the believed law fits, whether or not they distinguish it from others


class LawEvidence:
    """Evidence for and against each law.

    Attributes:
        believed: The law that calls are priced by; None: the dearest for each call.
        pieces: The number of pieces of evidence so far.
        turns: The number of times that a law was refuted, or ceased to be.
    """

    def __init__(self, laws: Sequence[Law], recorded: Law, believed: Law | None = None) -> None:
        """`recorded` is the law to believe without evidence; `believed` the one that a predecessor found."""
        self._laws = tuple(laws)
        self._recorded = recorded if recorded in laws else self._laws[0]
        self._inherited = believed if believed in self._laws else None
        self._judged = [0] * len(self._laws)
        self._misfit_ppm = [0] * len(self._laws)
        self._silent = 0
        self._agreed = 0
        self._stated = False
        self.pieces = self.turns = 0
        self._memory, self._changes = MEMORY, 0
        self.believed = self._laws[0] if len(self._laws) == 1 else self._inherited

    def restart(self) -> None:
        """Forget the evidence of levels, which rested on a wrong assumption: believe what a predecessor found.

        Where the server has named charges, these are evidence enough, and all stands.
        """
        if self._stated:
            return
        count = len(self._laws)
        self._judged, self._misfit_ppm = [0] * count, [0] * count
        self.pieces = self._agreed = self._silent = 0
        self.turns += 1
        if count > 1 and self.believed is not None:
            self.believed = self._inherited or self._recorded

    @property
    def identified(self) -> bool:
        """Whether answers support the law that is believed."""
        return self.believed is not None and self._supported(self._laws.index(self.believed))

    @property
    def settled(self) -> bool:
        """Whether the believed law has fitted every recent answer."""
        return self._agreed >= SETTLED_ANSWERS

    def possible(self) -> list[int]:
        """Return the indices of the laws that are not refuted; all if every one is."""
        indices = range(len(self._laws))
        return [index for index in indices if self._misfit_ppm[index] < REFUTED_PPM] or list(indices)

    def weigh(self, excesses: Sequence[int | None], costs: Sequence[int], weight: int = 1) -> None:
        """Process a piece of evidence: each law's excess over the server's charge; None: nothing about that law.

        `costs` is what each law has charged so far: of laws that fit equally, the dearest is believed.
        """
        before = self.believed
        self._stated = self._stated or weight >= STATED_WEIGHT
        if is_telling(excesses):
            self._weigh(excesses, costs, weight)
        else:
            self.record_silence()
        self._agree(excesses, before)

    def record_silence(self) -> None:
        """Record an answer that is no evidence."""
        self._silent += 1
        if self._silent >= SILENT_ANSWERS_MAX and self.believed is not self._recorded and self._recorded_fits_as_well():
            self.believed = self._recorded

    def _recorded_fits_as_well(self) -> bool:
        """Return whether the recorded law misfits no more of the evidence than the believed one, if there is one."""
        if self.believed is None:
            return True
        recorded, believed = self._laws.index(self._recorded), self._laws.index(self.believed)
        return self._supported(recorded) and self._misfit_ppm[recorded] <= self._misfit_ppm[believed]

    def _weigh(self, excesses: Sequence[int | None], costs: Sequence[int], weight: int) -> None:
        fits = 0 in excesses
        believed = self._laws.index(self.believed) if self.believed is not None else None
        explained = believed is not None and excesses[believed] == 0
        self.pieces += 1
        self._silent = 0
        for _ in range(weight if weight == 1 else weight * self._memory // MEMORY):
            for index, excess in enumerate(excesses):
                if excess == 0 and explained and index != believed:
                    continue
                if excess is not None and (excess >= 0 or fits):
                    self._count(index, fits=excess == 0)
        former = self.believed
        self._choose(costs)
        if former is not None and self.believed is not former:
            self._changes += 1
            self._memory = MEMORY << min(DOUBLED_MAX, self._changes // CHANGES_USUAL)

    def _agree(self, excesses: Sequence[int | None], before: Law | None) -> None:
        """Count the consecutive answers that the believed law fits; an answer that does not judge it does not count."""
        if self.believed is None or self.believed is not before:
            self._agreed = 0
            return
        excess = excesses[self._laws.index(self.believed)]
        if excess is not None:
            self._agreed = 0 if excess else self._agreed + 1

    def _count(self, index: int, *, fits: bool) -> None:
        self._judged[index] = min(self._memory, self._judged[index] + 1)
        misfit_ppm, before_ppm = 0 if fits else PPM, self._misfit_ppm[index]
        self._misfit_ppm[index] += (misfit_ppm - before_ppm) // self._judged[index]
        self.turns += (before_ppm < REFUTED_PPM) != (self._misfit_ppm[index] < REFUTED_PPM)

    def _supported(self, index: int) -> bool:
        return self._judged[index] > 0 and self._misfit_ppm[index] < REFUTED_PPM

    def _choose(self, costs: Sequence[int]) -> None:
        supported = [index for index in range(len(self._laws)) if self._supported(index)]
        if not supported:
            self.believed = self._recorded
            return
        best = min(supported, key=lambda index: (self._misfit_ppm[index], -costs[index]))
        index = self._laws.index(self.believed) if self.believed is not None else -1
        if index not in supported or self._misfit_ppm[index] > self._misfit_ppm[best] + PREFERRED_PPM:
            self.believed = self._laws[best]


def is_telling(excesses: Sequence[int | None]) -> bool:
    """Return whether a piece of evidence tells laws apart: one charges too much, or some fit and some do not."""
    spoken = [excess for excess in excesses if excess is not None]
    return any(excess > 0 for excess in spoken) or (0 in spoken and any(spoken))
