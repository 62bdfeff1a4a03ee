"""The law of a server whose levels are rounded by a step that is not known yet."""

from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.law_identification import LawIdentification, Remaining, TokenUsage
from headrace.broker.core.pricing.laws import prices
from tests.unit.core.pricing.charging import CHAT, size

CAPACITY = 600_000  # ten tokens a millisecond, if it is that of a minute


def test_a_level_that_stays_tells_no_law() -> None:
    """Before: a law by which calls cost what returns meanwhile was believed, and calls paid twice their charge."""
    asked = prices(CHAT, size(1))
    dear = asked.tokens[asked.laws.index(Law.CHAT_LEGACY)]
    witness = LawIdentification(asked, None)
    for number in range(40):
        now_ms = number * dear // 10
        sent = witness.record_send(asked, now_ms)
        usage = TokenUsage(size(1).input_tokens, 150)
        witness.record_answer(sent, Remaining(540_000, CAPACITY, 60_000), usage, now_ms + 5)
    assert witness.evidence.believed is Law.CHAT_2025
    assert not witness.evidence.identified
