"""Size that a server assumes for the output of a request that states no cap on it.

Where a law charges the cap at admission, a request without one costs what the server puts in its place: 16 tokens at
OpenAI once, 16,384 at Cerebras (cline#7881), nothing by OpenAI's documentation. It is learned from the charges that
refusals state, where they are so far above the body's own that no error in the input explains them. Before the first,
the law `documented` takes the output for as long as recent ones were. Calls that are admitted correct a size that is
too large: what they took, as levels show, is the most that it can be.
"""

from typing import Final

from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.debit_history import DebitSpan
from headrace.broker.core.pricing.laws import LEGACY_OUTPUT_TOKENS, PRICE_MAX, Prices
from headrace.broker.core.pricing.output_lengths import OutputLengths
from headrace.broker.core.pricing.surplus import Surplus
from headrace.broker.core.units import ROUNDING_TOKENS

FIRST_MAX: Final = 32_768
"""The most that the first figure counts for, of each answer: twice the largest size known."""
LEAST_TIMES: Final = 2  # a charge below so many times the body's own is one of its input, which a markup answers
DISPROVED_AFTER: Final = 2  # admitted calls in a row that took less: one figure alone may be stale
CHARGED: Final = frozenset({Law.DOCUMENTED, Law.CHAT_LEGACY})  # the laws by which a cap is charged


class UncappedOutput:
    """The assumed size of one endpoint's outputs, in tokens of each answer."""

    __slots__ = ("_disproofs", "_outputs", "_stated")

    def __init__(self, outputs: OutputLengths) -> None:
        """`outputs` are the lengths of recent outputs."""
        self._outputs = outputs
        self._stated: Surplus | None = None
        self._disproofs = 0

    @property
    def stated(self) -> bool:
        """Whether refusals have stated a size, and nothing has disproved it since."""
        return self._stated is not None

    def size(self, law: Law | None) -> int:
        """Return what prices by that law depend on; 0 if they do not."""
        if law not in CHARGED:
            return 0
        if self._stated is not None:
            return self._stated.tokens
        return self._outputs.reserved if law is Law.DOCUMENTED else 0

    def applied(self, law: Law, tokens: int, answers: int, outputs: OutputLengths | None = None) -> int:
        """Return the charge by that law of a call for `answers` without a cap, whose body costs `tokens`.

        `outputs` are the lengths of calls like it, if they are known apart.
        """
        if law not in CHARGED:
            return tokens
        if self._stated is None:
            recent = self._outputs if outputs is None else outputs
            return max(tokens, recent.reserved) if law is Law.DOCUMENTED else tokens
        assumed = answers * self._stated.tokens
        if law is Law.CHAT_LEGACY:
            assumed += tokens - answers * LEGACY_OUTPUT_TOKENS
        return max(tokens, min(PRICE_MAX, assumed))

    def record_stated(self, law: Law | None, tokens: int, answers: int, requested: int) -> bool:
        """Learn from the server's own charge for such a call; return whether a size explains it by that law."""
        if law not in CHARGED:
            return False
        known = 0 if self._stated is None else self.applied(law, tokens, answers)
        if abs(known - requested) <= ROUNDING_TOKENS:
            return True
        if requested < LEAST_TIMES * tokens:
            if known > requested:
                self._stated = None
            return False
        self._learn(_rest(law, tokens, answers, requested))
        return True

    def record_admission(self, law: Law | None, prices: Prices, span: DebitSpan | None) -> None:
        """Learn from an admitted call with which `span` ends: what it took is the most that it was charged."""
        if law is None or law not in CHARGED or span is None:
            return
        index = prices.laws.index(law)
        tokens = prices.tokens[index]
        most = tokens + max(0, span.predicted(index)[1] + ROUNDING_TOKENS * span.calls - span.remaining)
        if self.applied(law, tokens, prices.uncapped) <= most:
            self._disproofs = 0
            return
        self._disproofs += 1
        if self._disproofs >= DISPROVED_AFTER:
            self._stated, self._disproofs = None, 0
            if most >= LEAST_TIMES * tokens:
                self._learn(_rest(law, tokens, prices.uncapped, most))

    def _learn(self, size: int) -> None:
        if self._stated is None:
            self._stated, size = Surplus(), min(size, FIRST_MAX)
        self._stated.learn(size)


def _rest(law: Law, tokens: int, answers: int, charged: int) -> int:
    """Return what is left of a charge for each answer without a cap."""
    shown = tokens - answers * LEGACY_OUTPUT_TOKENS if law is Law.CHAT_LEGACY else 0
    return -(-(min(PRICE_MAX, charged) - shown) // answers)
