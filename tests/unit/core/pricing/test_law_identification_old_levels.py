"""A server that repeats for some seconds what it has looked up."""

from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.law_identification import LawIdentification, Remaining, TokenUsage
from headrace.broker.core.pricing.laws import prices
from tests.unit.core.pricing.charging import CHAT, Server, size


def told_old_levels(age_ms: int) -> LawIdentification:
    """A minute and a half before a server that looks its levels up every three seconds; `age_ms`: what is known of it.

    It charges by the legacy law, some more than flows in.
    """
    capacity, every_ms = 180_000, 100
    server = Server(Law.CHAT_LEGACY, level=capacity)
    witness = LawIdentification(prices(CHAT, size()), None)
    witness.age_ms = age_ms
    looked_up, until_ms = 0, 0
    for number in range(900):
        now_ms = every_ms * number
        asked = prices(CHAT, size(number))
        sent = witness.record_send(asked, now_ms)
        server.level -= asked.tokens[server.place]
        if now_ms >= until_ms:
            looked_up, until_ms = server.level, now_ms + 3_000
        server.level = min(capacity, server.level + capacity * every_ms // 60_000)
        usage = TokenUsage(size(number).input_tokens, 10)
        witness.record_answer(sent, Remaining(looked_up, capacity, 60_000), usage, now_ms + every_ms)
    return witness


def test_a_law_is_found_out_by_levels_that_are_as_old_as_is_known() -> None:
    """Before: short spans convicted each law by turns, and calls were priced by another one every few seconds."""
    assert told_old_levels(0).evidence.believed is not Law.CHAT_LEGACY
    assert told_old_levels(3_000).evidence.believed is Law.CHAT_LEGACY


def test_a_glance_allows_for_the_age_of_levels_too() -> None:
    """Before: the believed law fitted no shortest span, so each glance ended in a comparison with every law."""
    witness = told_old_levels(3_000)
    assert witness.evidence.settled
    assert witness._fits(899, Remaining(0, 180_000, 60_000), 1)
