"""The period that laws are judged by, where one answer of a window, or of an odd bucket, computes to any."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, SECOND_MS, LimitMetric, Reading
from headrace.broker.core.answers.refill_detection import Refill, RefillPattern
from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.law_identification import Remaining
from headrace.broker.core.pricing.laws import RequestSize, prices
from headrace.broker.core.pricing.tariff import Tariff
from tests.unit.core.specimens import verdict

CHAT = "chat.completions"
ASKED = prices(CHAT, RequestSize(400, 1, 1, 0, 300, 107, function_tools=False, embedding_tokens=None))
PERIOD, CAPACITY = 10_000, 60_000
COUNTED = RefillPattern(Refill.FIXED, PERIOD, 0)


def by(law: Law) -> int:
    return ASKED.tokens[ASKED.laws.index(law)]


def shown(remaining: int, now_ms: int) -> Reading:
    """What the headers of a counter state, and the period that its reset computes to."""
    full_in_ms = PERIOD - now_ms % PERIOD
    return Reading(LimitMetric.TOKENS, CAPACITY, remaining, full_in_ms * CAPACITY // (CAPACITY - remaining), full_in_ms)


def test_a_law_that_changes_in_a_window_is_noticed_though_each_answer_computes_to_another_period() -> None:
    """Before: each answer was taken for one of another limit, so no two were ever compared."""
    tariff, charge = Tariff({CHAT: Law.CHAT_2025}), by(Law.CHAT_2025)
    tariff.refill_by(COUNTED)
    level, beliefs = CAPACITY, []
    for attempt in range(60):
        now_ms = 100 + 200 * attempt
        charge = by(Law.CHAT_LEGACY) if attempt >= 20 else charge
        level = (CAPACITY if now_ms % PERIOD < 200 else level) - charge
        tariff.record_send(attempt, ASKED, now_ms)
        tariff.observe(attempt, replace(verdict(), readings=(shown(level, now_ms),)), None, now_ms + 100)
        beliefs.append(tariff.laws()[CHAT])
    assert set(beliefs[:20]) == {Law.CHAT_2025}
    assert set(beliefs[24:]) == {Law.CHAT_LEGACY}


@pytest.mark.parametrize(("named", "law"), [(True, Law.DOCUMENTED), (False, Law.CHAT_2025)])
def test_a_period_that_the_header_names_is_that_of_its_limit(*, named: bool, law: Law) -> None:
    """A second brings back 1,000 tokens by the minute that is named, and 60,000 by what else is shown."""
    tariff = Tariff({CHAT: Law.CHAT_2025})
    tariff.refill_by(RefillPattern(Refill.BUCKET, SECOND_MS))
    for attempt, remaining in enumerate((20_000, 20_700, 21_400)):
        reading = Reading(LimitMetric.TOKENS, CAPACITY, remaining, MINUTE_MS, None, named)
        tariff.record_send(attempt, ASKED, SECOND_MS * attempt)
        tariff.observe(attempt, replace(verdict(), readings=(reading,)), None, SECOND_MS * attempt + 500)
    assert tariff.laws() == {CHAT: law}


def test_a_limit_that_takes_longer_to_refill_than_is_assumed_tells_no_charge_until_its_period_is_known() -> None:
    """Before: a minute's refill was expected of an hour's limit, and the dearest law explained its level (96010)."""
    tariff = Tariff()
    slow = Reading(LimitMetric.TOKENS, 4_584_463, 4_355_237, None, 3_408_000)
    assert tariff._remaining(replace(verdict(), readings=(slow,))) is None
    quick = replace(slow, full_in_ms=3_000)
    assert tariff._remaining(replace(verdict(), readings=(quick,))) == Remaining(4_355_237, 4_584_463, 60_000)
    known = replace(slow, period_ms=3_600_000)
    assert tariff._remaining(replace(verdict(), readings=(known,))) == Remaining(4_355_237, 4_584_463, 3_600_000)
    assert tariff._remaining(replace(verdict(), readings=(slow,))) is not None
