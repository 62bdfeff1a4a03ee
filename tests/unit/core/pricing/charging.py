"""A server that charges by one law, and the identification that hears its answers."""

from headrace.broker.core.endpoints import ENDPOINT_TABLE, Law
from headrace.broker.core.pricing.law_identification import (
    LawIdentification,
    Remaining,
    TokenUsage,
)
from headrace.broker.core.pricing.laws import RequestSize, prices

CHAT = "chat.completions"


def size(number: int = 0, *, tools: bool = False) -> RequestSize:
    """Every third body names a cap of 300, and texts differ."""
    text = 400 + 40 * (number % 7)
    cap = 300 if number % 3 else None
    return RequestSize(text, 1, 1, 0, cap, 40 + text // 4, function_tools=tools, embedding_tokens=None)


class Server:
    """Charges by one law, one call at a time."""

    def __init__(self, law: Law, *, endpoint: str = CHAT, level: int = 20_000) -> None:
        self.place = ENDPOINT_TABLE[endpoint].laws.index(law)
        self.witness = LawIdentification(prices(endpoint, size()), None)
        self.endpoint = endpoint
        self.level, self.now_ms, self.number = level, 0, 0

    def call(
        self,
        *,
        lasts_ms: int = 400,
        output: int = 150,
        foreign: int = 0,
        capacity: int = 60_000,
        early: bool = False,
        step: int = 1,
    ) -> None:
        """One call, with headers as of its admission; with `usage` as of its end, unless they come early.

        They are rounded down to multiples of `step`.
        """
        asked = prices(self.endpoint, size(self.number))
        sent = self.witness.record_send(asked, self.now_ms)
        self.level -= asked.tokens[self.place] + foreign
        admitted = self.level
        self.level += lasts_ms * capacity // 60_000
        self.now_ms += lasts_ms
        is_usage = asked.laws[self.place] is Law.USAGE
        self.level -= output if is_usage else 0
        shown = self.level if is_usage and not early else admitted
        remaining = Remaining(shown // step * step, capacity, 60_000)
        usage = TokenUsage(size(self.number).input_tokens, output)
        self.witness.record_answer(sent, remaining, usage, self.now_ms, early=early)
        self.number += 1
