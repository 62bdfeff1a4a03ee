"""Charges that a server names to a token, and that several laws fit nearly."""

from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.law_identification import LawIdentification
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.units import ROUNDING_TOKENS
from tests.unit.core.pricing.charging import CHAT

LAWS = (Law.CHAT_LEGACY, Law.DOCUMENTED, Law.CHAT_2025)


def believed_after(*charges: tuple[int, int, int, int]) -> Law | None:
    """Return what is believed after calls that cost so much by each law, and were charged the last figure."""
    witness = LawIdentification(Prices(CHAT, LAWS, charges[0][:3]), None)
    for *tokens, requested in charges:
        assert witness.record_stated_charge(Prices(CHAT, LAWS, tuple(tokens)), requested)
    return witness.evidence.believed


def test_of_laws_that_differ_by_their_rounding_the_one_is_believed_that_fits_exactly() -> None:
    """Before: the dearest of them, which nothing corrected where no header shows levels (seed 92331: 79 %, now 96)."""
    assert believed_after((613, 313, 314, 314)) is Law.CHAT_2025
    assert believed_after((613, 314, 313, 314), (613, 400, 313, 400)) is Law.DOCUMENTED


def test_where_none_fits_exactly_all_within_the_rounding_do() -> None:
    assert believed_after((613, 313, 314, 314 + ROUNDING_TOKENS - 1)) is Law.DOCUMENTED


def test_a_law_that_is_off_by_its_rounding_is_believed_once_no_other_fits() -> None:
    assert believed_after((613, 313, 314, 314), (613, 513, 314, 514)) is Law.DOCUMENTED
