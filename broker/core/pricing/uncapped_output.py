"""Size that a server assumes for the output of a request that states no cap on it.

Where a law charges the cap at admission, a request without one costs what the server puts in its place: 16 tokens at
OpenAI once, 16,384 at Cerebras (cline#7881), nothing by OpenAI's documentation. It is learned from the charges that
refusals state. Before the first, the law `documented` takes the output for as long as recent ones were.
"""

from typing import Final

from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.laws import LEGACY_OUTPUT_TOKENS, PRICE_MAX
from headrace.broker.core.pricing.output_lengths import OutputLengths
from headrace.broker.core.pricing.surplus import Surplus

CHARGED: Final = frozenset({Law.DOCUMENTED, Law.CHAT_LEGACY})  # the laws by which a cap is charged


class UncappedOutput:
    """The assumed size of one endpoint's outputs, in tokens of each answer."""

    __slots__ = ("_outputs", "_stated")

    def __init__(self, outputs: OutputLengths) -> None:
        """`outputs` are the lengths of recent outputs."""
        self._outputs = outputs
        self._stated: Surplus | None = None

    def size(self, law: Law | None) -> int:
        """Return what prices by that law depend on; 0 if they do not."""
        if law not in CHARGED:
            return 0
        if self._stated is not None:
            return self._stated.tokens
        return self._outputs.reserved if law is Law.DOCUMENTED else 0

    def applied(self, law: Law, tokens: int, answers: int) -> int:
        """Return the charge by that law of a call for `answers` without a cap, whose body costs `tokens`."""
        if law not in CHARGED:
            return tokens
        if self._stated is None:
            return max(tokens, self._outputs.reserved) if law is Law.DOCUMENTED else tokens
        assumed = answers * self._stated.tokens
        if law is Law.CHAT_LEGACY:
            assumed += tokens - answers * LEGACY_OUTPUT_TOKENS
        return max(tokens, min(PRICE_MAX, assumed))

    def record_stated(self, law: Law | None, tokens: int, answers: int, requested: int) -> bool:
        """Learn from the server's own charge for such a call; return whether that law leaves room for it."""
        if law not in CHARGED or requested <= tokens:
            return False
        rest = min(PRICE_MAX, requested) - (tokens - answers * LEGACY_OUTPUT_TOKENS if law is Law.CHAT_LEGACY else 0)
        self._stated = Surplus() if self._stated is None else self._stated
        self._stated.add(-(-rest // answers))
        return True
