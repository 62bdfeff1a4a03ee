"""A constant factor between what a server charges and what a law says, from charges that the server has stated.

Some servers charge a law's figure times a factor of their own. Where they name the charges of calls, in the bodies of
429s or beside answers, these show it to a token: only the right law has one factor for calls of different sizes.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from headrace.broker.core.units import PPM, ROUNDING_TOKENS

SAMPLES: Final = 3  # charges that one factor must explain
DIFFERING_PPM: Final = 100_000  # by so much at least the largest exceeds the smallest: any law fits calls of one size
NEAR_PARTS: Final = 100  # charges may be off by one part of them, beside rounding, while a law's factor stays
OFF_TOKENS: Final = 1  # the server rounds, and so do we
NARROW_PARTS: Final = 50  # of a factor that is believed: charges of a few tokens show none, but any surcharge of two
FACTOR_PPM: Final = (PPM // 4, 4 * PPM)  # beyond that, something else explains the charges


class _Sample(NamedTuple):
    """A charge: what each law says, and what the server stated."""

    tokens: tuple[int, ...]
    requested: int


class PriceFactor:
    """The factor of one endpoint's charges at one limit.

    Attributes:
        ppm: The factor, in millionths; `PPM` until one has been found.
        law: The index of the law that it belongs to; None: none has been found.
    """

    __slots__ = ("_never", "_samples", "law", "ppm")

    def __init__(self, never: int | None = None, ppm: int = PPM) -> None:
        """`never` is the index of a law that has no factor: it charges what was billed. `ppm`: found before."""
        self.ppm = ppm if FACTOR_PPM[0] <= ppm <= FACTOR_PPM[1] else PPM
        self.law: int | None = None
        self._never = never
        self._samples: tuple[_Sample, ...] = ()

    def record(self, tokens: Sequence[int], requested: int) -> bool:
        """Record a charge that the server has stated, and what each law says; return whether the factor changes.

        A factor stays while its law fits the last charges and it is near them, or no law fits. That of a predecessor
        belongs to the first law that it is near.
        """
        self._samples = (*self._samples[1 - SAMPLES :], _Sample(tuple(tokens), requested))
        if len(self._samples) < SAMPLES:
            return False
        fitting = {law: span for law in range(len(tokens)) if (span := self._explains(law)) is not None}
        near = [law for law in fitting if self.ppm != PPM and self._is_near(law)]
        if near and self.law in {None, *near}:
            self.law = near[0] if self.law is None else self.law
            return False
        if not fitting:
            return False
        before = self.ppm
        law, (low, high) = next(
            ((law, span) for law, span in fitting.items() if _contains(span, PPM)), next(iter(fitting.items()))
        )
        self.law, self.ppm = law, PPM if _contains((low, high), PPM) else (low + high) // 2
        return self.ppm != before

    def _is_near(self, law: int) -> bool:
        """Return whether the present factor explains all samples but for a little: each change reprices all calls."""
        return all(
            NEAR_PARTS * (abs(self.applied(each.tokens[law]) - each.requested) - ROUNDING_TOKENS) <= each.requested
            for each in self._samples
        )

    def _explains(self, law: int) -> tuple[int, int] | None:
        """Return the least and the greatest factor, in ppm, by which a law explains all samples; None: none does."""
        said = [sample.tokens[law] for sample in self._samples]
        if law == self._never or max(said) * PPM < min(said) * (PPM + DIFFERING_PPM):
            return None
        low = max((each.requested - OFF_TOKENS) * PPM // each.tokens[law] for each in self._samples)
        high = min(-(-(each.requested + OFF_TOKENS) * PPM // each.tokens[law]) for each in self._samples)
        if not FACTOR_PPM[0] <= low <= high <= FACTOR_PPM[1] or (high - low) * NARROW_PARTS > low:
            return None
        is_exact = all(abs(each.requested - each.tokens[law]) <= ROUNDING_TOKENS for each in self._samples)
        return (min(low, PPM), max(high, PPM)) if is_exact else (low, high)

    def applied(self, tokens: int) -> int:
        """Return the charge of a call for which the law says `tokens`."""
        return tokens if self.ppm == PPM else max(1, (tokens * self.ppm + PPM // 2) // PPM)

    def applied_to(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """Return the charge by each law."""
        if self.ppm == PPM:
            return tuple(tokens)
        return tuple([each if law == self._never else self.applied(each) for law, each in enumerate(tokens)])


def _contains(span: tuple[int, int], ppm: int) -> bool:
    return span[0] <= ppm <= span[1]
