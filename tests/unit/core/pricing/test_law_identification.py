"""Calls of one endpoint against a server that charges by one of the laws: a thousand tokens a second."""

from collections.abc import Callable

import pytest

from headrace.broker.core.answers.refill_detection import Refill, RefillPattern
from headrace.broker.core.endpoints import ENDPOINT_TABLE, Law
from headrace.broker.core.pricing.law_evidence import SETTLED_ANSWERS, SILENT_ANSWERS_MAX
from headrace.broker.core.pricing.law_identification import (
    GLANCE_EVERY_MS,
    KNOWN_AFTER,
    PIECE_EVERY_MS,
    THOROUGH_EVERY,
    LawIdentification,
    Remaining,
    TokenUsage,
)
from headrace.broker.core.pricing.laws import Prices, RequestSize, prices
from headrace.broker.core.pricing.references import Reference, ReferenceKind
from tests.unit.core.pricing.charging import CHAT, Server, size


def test_each_law_of_chat_is_found_out_and_fits_without_error() -> None:
    for law in ENDPOINT_TABLE[CHAT].laws:
        server = Server(law)
        for number in range(20):
            server.call(lasts_ms=400 + 90 * (number % 4), output=150 + 60 * (number % 3))
        assert (server.witness.evidence.believed, server.witness.evidence.identified) == (law, True)
        assert server.witness.settles == (law is Law.USAGE)
        assert server.witness.errors_seen > 0
        assert set(server.witness.errors) == {0}
        assert server.witness.outputs.outstanding() == 0


def test_an_error_is_shown_a_call_as_what_we_take_more() -> None:
    server = Server(Law.CHAT_2025)
    for _ in range(6):
        server.call()
    server.call(foreign=500)
    assert server.witness.evidence.believed is Law.CHAT_2025
    assert -500 <= server.witness.errors[-1] < -400
    server = Server(Law.CHAT_2025)
    for _ in range(6):
        server.call()
    server.call(foreign=-100)
    assert 0 < server.witness.errors[-1] <= 100


def test_answers_at_the_same_time_tell_no_more_than_one_of_them() -> None:
    server = Server(Law.CHAT_2025)
    server.call()
    seen = server.witness.evidence.pieces
    for _ in range(10):
        server.call(lasts_ms=PIECE_EVERY_MS // 10)
    assert server.witness.evidence.pieces <= seen + 1


def test_a_new_limit_begins_a_new_course() -> None:
    server = Server(Law.CHAT_2025)
    for _ in range(6):
        server.call()
    server.level = 5_000
    server.call(capacity=30_000)
    server.call(capacity=30_000)
    assert server.witness.evidence.believed is Law.CHAT_2025
    assert set(server.witness.errors) == {0}


def test_a_refusal_that_names_its_charge_tells_the_law_at_once() -> None:
    witness = LawIdentification(prices(CHAT, size(1)), None)
    sent = witness.record_send(prices(CHAT, size(1)), 0)
    witness.record_refusal(sent, charged=False)
    assert witness.record_stated_charge(sent.prices, 300)
    assert witness.evidence.believed is Law.DOCUMENTED
    assert list(witness.errors) == [], "nothing was believed before"
    assert witness.record_stated_charge(sent.prices, sent.prices.tokens[0] + 2)
    assert list(witness.errors) == [300 - sent.prices.tokens[0] - 2]
    assert not witness.record_stated_charge(sent.prices, 10_000)


def test_an_answer_that_states_its_charge_tells_the_law_that_settles_by_its_usage() -> None:
    witness = LawIdentification(prices(CHAT, size(1)), None)
    sent = witness.record_send(prices(CHAT, size(1)), 0)
    total = TokenUsage(1_000, 500)
    assert witness.record_stated_charge(sent.prices, 1_502, total), "within the rounding"
    assert witness.evidence.believed is Law.USAGE
    assert not witness.record_stated_charge(sent.prices, 1_503, total)
    one_law = LawIdentification(prices("embeddings", size(1)), None)
    sent = one_law.record_send(prices("embeddings", size(1)), 0)
    assert one_law.record_stated_charge(sent.prices, sent.prices.tokens[0], total)


def test_what_was_refused_took_nothing_unless_the_server_charges_for_it() -> None:
    for charged in (False, True):
        server = Server(Law.CHAT_2025)
        for _ in range(6):
            server.call()
        asked = prices(CHAT, size(1))
        server.witness.record_refusal(server.witness.record_send(asked, server.now_ms), charged=charged)
        server.level -= asked.tokens[server.place] if charged else 0
        server.now_ms += 1_000
        server.level += 1_000
        server.call()
        assert server.witness.errors[-1] == 0


def test_a_span_with_a_lost_call_or_one_of_another_endpoint_says_nothing() -> None:
    server = Server(Law.CHAT_2025)
    for _ in range(6):
        server.call()
    pieces = server.witness.evidence.pieces
    server.witness.record_loss(server.witness.record_send(prices(CHAT, size(1)), server.now_ms))
    server.now_ms += 100
    server.call(foreign=900)
    server.witness.record_foreign_send(server.now_ms)
    server.now_ms += 100
    server.call(foreign=900)
    assert server.witness.evidence.pieces == pieces
    assert server.witness.outputs.outstanding() == 0


def test_an_answer_without_figures_is_silence_and_one_without_usage_says_nothing_of_usage() -> None:
    witness = LawIdentification(prices(CHAT, size()), None)
    for number in range(SILENT_ANSWERS_MAX):
        witness.record_answer(witness.record_send(prices(CHAT, size()), number), None, None, number)
    assert witness.evidence.believed is Law.CHAT_2025
    sent = witness.record_send(prices(CHAT, size(1)), 100_000)
    witness.record_answer(sent, Remaining(60_000 - 300, 60_000, 60_000), None, 101_000)
    assert witness.evidence.possible() == [1, 2, 3]


def test_an_endpoint_with_one_law_is_believed_and_its_error_is_seen() -> None:
    flat = Prices.flat(400)
    witness = LawIdentification(flat, None)
    assert not witness.has_alternatives
    for number, level in enumerate((20_000, 20_600, 21_500)):
        sent = witness.record_send(flat, 1_000 * number)
        witness.record_answer(sent, Remaining(level, 60_000, 60_000), TokenUsage(10, 20), 1_000 * number + 500)
    assert witness.evidence.believed is Law.DOCUMENTED
    assert list(witness.errors) == [0, 0, 274]


def test_responses_settles_what_its_overhead_has_not_covered() -> None:
    asked = prices("responses", size(tools=True))
    assert asked.covered > 0
    witness = LawIdentification(asked, None)
    now_ms, level = 0, 20_000
    for output in (900, 700, 100, 800):
        sent = witness.record_send(asked, now_ms)
        level += 1_000 - asked.tokens[-1] - max(0, output - asked.covered)
        now_ms += 1_000
        witness.record_answer(sent, Remaining(level, 60_000, 60_000), TokenUsage(size().input_tokens, output), now_ms)
    assert witness.evidence.believed is Law.USAGE


def test_each_output_is_reserved_for_beyond_what_the_price_covers() -> None:
    witness = LawIdentification(prices(CHAT, size()), None)
    asked = prices(CHAT, size())
    witness.record_answer(witness.record_send(asked, 0), None, TokenUsage(100, asked.covered + 70), 0)
    assert witness.outputs.reserved == 70
    witness.record_answer(witness.record_send(asked, 0), None, None, 0)
    assert witness.outputs.reserved == 70


def test_where_the_believed_law_was_not_judged_no_error_is_noted() -> None:
    witness = LawIdentification(prices(CHAT, size()), Law.USAGE)
    sent = witness.record_send(prices(CHAT, size()), 0)
    witness.record_answer(sent, Remaining(59_000, 60_000, 60_000), None, 1_000)
    assert (witness.evidence.believed, witness.errors_seen) == (Law.USAGE, 0)


def test_bodies_that_do_not_tell_two_laws_apart_leave_both_however_long_one_looks() -> None:
    asked = Prices(CHAT, ENDPOINT_TABLE[CHAT].laws[:3], (900, 400, 400))
    witness, level = LawIdentification(asked, None), 20_000
    for number in range(12):
        sent = witness.record_send(asked, 1_000 * number)
        level += 1_000 - 400
        witness.record_answer(sent, Remaining(level, 60_000, 60_000), None, 1_000 * number + 300)
    assert witness.evidence.possible() == [1, 2]
    assert witness.evidence.believed is Law.DOCUMENTED


def settled(law: Law) -> Server:
    """A server whose law is known, by the law's own answers."""
    server = Server(law)
    for _ in range(2 * SETTLED_ANSWERS):
        server.call()
    assert server.witness.evidence.settled
    return server


@pytest.mark.parametrize(("known", "more"), [(True, 0), (False, 2)])
def test_where_a_law_is_settled_answers_are_held_against_it_alone(*, known: bool, more: int) -> None:
    """But for one in eight as long as it is not known."""
    server = settled(Law.CHAT_2025)
    pieces = server.witness.evidence.pieces = KNOWN_AFTER if known else KNOWN_AFTER - 3
    seen = server.witness.errors_seen
    for _ in range(2 * THOROUGH_EVERY):
        server.call()
    assert server.witness.evidence.pieces == pieces + more
    assert server.witness.errors_seen == seen + 2 * THOROUGH_EVERY
    assert set(server.witness.errors) == {0}


def test_where_a_law_is_settled_answers_that_come_in_one_moment_are_one() -> None:
    server = settled(Law.CHAT_2025)
    server.call()
    seen = server.witness.errors_seen
    for _ in range(GLANCE_EVERY_MS // PIECE_EVERY_MS - 1):
        server.call(lasts_ms=PIECE_EVERY_MS)
    assert server.witness.errors_seen == seen
    server.call(lasts_ms=PIECE_EVERY_MS)
    assert server.witness.errors_seen == seen + 1


def test_a_settled_law_that_changes_is_noticed_within_three_answers() -> None:
    for before, after in ((Law.CHAT_2025, Law.CHAT_LEGACY), (Law.CHAT_LEGACY, Law.CHAT_2025)):
        server = settled(before)
        server.place = ENDPOINT_TABLE[CHAT].laws.index(after)
        for _ in range(4):  # a body in three names no cap, and one call's answer is as of its admission
            server.call()
        assert server.witness.evidence.believed is after


UNCAPPED = RequestSize(160, 1, 1, 0, None, 44, function_tools=False, embedding_tokens=None)
SMALL = prices(CHAT, UNCAPPED)
LIMIT = 60_000, 60_000  # a token flows in each millisecond


def overtaken(server: Server, by_ms: int) -> None:
    """A small call is sent, so much later a larger one that is there before it; both are answered in 400 ms."""
    witness, larger = server.witness, prices(CHAT, size(server.number))
    first = witness.record_send(SMALL, server.now_ms)
    second = witness.record_send(larger, server.now_ms + by_ms)
    at_second = server.level + by_ms - larger.tokens[server.place]
    at_first = at_second - SMALL.tokens[server.place]
    server.now_ms += by_ms + 400
    witness.record_answer(second, Remaining(at_second, *LIMIT), None, server.now_ms)
    server.now_ms += PIECE_EVERY_MS
    witness.record_answer(first, Remaining(at_first, *LIMIT), None, server.now_ms)
    server.level = at_first + 400 + PIECE_EVERY_MS


def test_a_law_is_not_known_so_soon_that_it_explains_away_what_speaks_against_it() -> None:
    for pieces, errs in ((KNOWN_AFTER - 2, True), (KNOWN_AFTER, False)):
        server = settled(Law.CHAT_LEGACY)
        server.witness.evidence.pieces = pieces
        overtaken(server, 60)
        assert (max(server.witness.errors) > 0) == errs


def crowd(server: Server, foreign: int, bodies: Callable[[int], RequestSize] = size) -> None:
    """A dozen calls leave at once, and others spend; the answers come one by one."""
    witness, calls = server.witness, []
    for number in range(12):
        asked = prices(CHAT, bodies(number))
        sent = witness.record_send(asked, server.now_ms)
        server.level -= asked.tokens[server.place] + (foreign if number == 0 else 0)
        calls.append((sent, Remaining(server.level, *LIMIT)))
    for sent, remaining in calls:
        server.now_ms += PIECE_EVERY_MS
        witness.record_answer(sent, remaining, None, server.now_ms)
    server.level += 12 * PIECE_EVERY_MS


def test_what_others_spend_at_once_speaks_once_against_a_law_that_is_known() -> None:
    """Every answer of the crowd tells of it, and so much as others spent a dearer law would have taken."""
    server = settled(Law.CHAT_2025)
    for _ in range(3):
        crowd(server, foreign=2_000)
        assert server.witness.evidence.believed is Law.CHAT_2025
        for _ in range(4):
            server.call()
    assert min(server.witness.errors) < 0


def test_a_settled_law_that_fits_each_short_span_of_many_calls_is_found_out_by_a_long_one() -> None:
    """Of a dozen calls that left together each may have come first, and two laws differ by 16 tokens."""
    server = settled(Law.CHAT_2025)
    server.witness.evidence.pieces = KNOWN_AFTER
    server.place, fitted = ENDPOINT_TABLE[CHAT].laws.index(Law.CHAT_LEGACY), 0
    while server.witness.evidence.believed is Law.CHAT_2025:
        assert server.now_ms < 60_000
        fitted += server.witness.evidence.settled
        crowd(server, 0, lambda _: UNCAPPED)
    assert fitted > 2


def late(server: Server, by_ms: int) -> None:
    """Two calls end, one right after the other; what the first has to say is so much longer on its way back."""
    witness, asked = server.witness, prices(CHAT, size(server.number))
    calls = [witness.record_send(asked, server.now_ms) for _ in range(2)]
    server.level -= 2 * asked.tokens[server.place]
    server.level, server.now_ms = server.level + 400, server.now_ms + 400
    ends = []
    for output in (25, 30):
        server.level -= output
        ends.append((Remaining(server.level, *LIMIT), TokenUsage(size(server.number).input_tokens, output)))
    witness.record_answer(calls[1], *ends[1], server.now_ms)
    server.level, server.now_ms = server.level + by_ms, server.now_ms + by_ms
    witness.record_answer(calls[0], *ends[0], server.now_ms)
    server.level, server.now_ms = server.level + 400, server.now_ms + 400
    server.number += 2


@pytest.mark.parametrize(("law", "disturb"), [(Law.CHAT_LEGACY, overtaken), (Law.USAGE, late)], ids=["there", "back"])
@pytest.mark.parametrize("by_ms", [60, 190, 380])
def test_what_overtakes_on_a_long_way_says_nothing_against_a_law_that_is_known(
    law: Law, disturb: Callable[[Server, int], None], by_ms: int
) -> None:
    server = settled(law)
    for _ in range(6):
        disturb(server, by_ms)
        assert server.witness.evidence.believed is law
        server.call()
        assert server.witness.evidence.believed is law


def test_a_settled_law_that_charges_when_calls_end_is_held_against_its_own_course() -> None:
    server = settled(Law.USAGE)
    pieces = server.witness.evidence.pieces
    for _ in range(4):
        server.call()
    assert server.witness.evidence.pieces == pieces + 4


def test_a_settled_law_is_held_against_all_where_no_span_ends() -> None:
    server = settled(Law.CHAT_2025)
    seen = server.witness.errors_seen
    server.witness.record_loss(server.witness.record_send(prices(CHAT, size()), server.now_ms))
    server.call()
    assert server.witness.errors_seen == seen
    server.call()
    assert server.witness.errors_seen > seen


def test_what_calls_were_charged_is_the_believed_laws_sum_or_the_dearest() -> None:
    witness = LawIdentification(prices(CHAT, size()), None)
    witness.record_send(prices(CHAT, size()), 0)
    assert witness.charged_tokens == max(prices(CHAT, size()).tokens)
    known = LawIdentification(prices(CHAT, size()), Law.CHAT_2025)
    for now_ms in (0, 100):
        known.record_send(prices(CHAT, size()), now_ms)
    assert known.charged_tokens == 2 * prices(CHAT, size()).tokens[ENDPOINT_TABLE[CHAT].laws.index(Law.CHAT_2025)]


@pytest.mark.parametrize("anew", [False, True])
def test_how_tokens_return_is_learned_with_or_without_what_was_heard_before(anew: bool) -> None:  # noqa: FBT001
    server = Server(Law.DOCUMENTED)
    for _ in range(4):
        server.call()
    assert server.witness.evidence.believed is Law.DOCUMENTED
    pieces = server.witness.evidence.pieces
    server.witness.refill_by(RefillPattern(Refill.FIXED, 60_000, 50_000), anew=anew)
    assert server.witness.evidence.pieces == (0 if anew else pieces)
    for _ in range(4):
        server.level -= 400  # of a counter, into which nothing flows
        server.call()
    assert server.witness.evidence.believed is Law.DOCUMENTED
    assert server.witness.evidence.pieces > (0 if anew else pieces)


def named(input_tokens: int = 100) -> Prices:
    size_ = RequestSize(400, 1, 1, 0, None, input_tokens, function_tools=False, embedding_tokens=None)
    return prices("responses", size_, references=(Reference(ReferenceKind.FILE, b"f"),))


@pytest.mark.parametrize(
    ("law", "step", "lasts_ms"),
    [
        (Law.CHAT_2025, 3_000, 60),
        (Law.CHAT_LEGACY, 1_500, 60),
        (Law.DOCUMENTED, 1_500, 60),
        (Law.CHAT_LEGACY, 600, 150),
    ],
)
def test_a_law_is_known_by_figures_that_are_rounded_to_more_than_a_call_takes(
    law: Law, step: int, lasts_ms: int
) -> None:
    """Before: the dearest law fitted the steps, and calls paid twice their charge for ever.

    What was taken for evidence before the step was known is forgotten: in the last case another law had seemed to fit.
    """
    server = Server(law, level=59_000)
    for _ in range(150):
        server.call(lasts_ms=lasts_ms, step=step)
    assert server.witness.evidence.believed is law
    assert server.witness.evidence.identified
