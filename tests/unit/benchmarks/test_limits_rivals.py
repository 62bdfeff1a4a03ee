"""The rivals do what they are said to do, no worse: they pace, count, retry and give up as their libraries would."""

from dataclasses import replace

import pytest

from benchmarks.limits.calls import calls
from benchmarks.limits.rivals import OwnBucket, counting, workers
from benchmarks.limits.rows import Row
from headrace.broker.simulator.pricing import ChatLaw

ROW = Row("bucket", ("bucket",), None, tokens_per_minute=60_000, calls=400)
ASKED = calls(400)


def test_a_counting_client_has_every_call_admitted_and_spends_what_it_counts() -> None:
    record = counting(ROW, ASKED)
    assert (record.calls, record.lost, record.refused) == (400, 0, [])
    assert record.charged == sum(call.charge(ChatLaw.CHAT_2025) for call in ASKED)
    counted = sum(call.size.input_tokens + call.output_tokens for call in ASKED)
    seconds = (record.last_us - record.first_us) / 1_000_000
    assert seconds == pytest.approx((counted - 60_000) / 1_000, rel=0.1)  # 1,000 tokens a second by its own count


def test_a_counting_client_that_is_refused_tries_again_until_it_is_admitted() -> None:
    row = replace(ROW, plays=("limit-halved:at_s=1",))
    record = counting(row, ASKED)
    assert (record.calls, record.lost) == (400, 0)
    assert len(record.refused) > 100


def test_workers_pace_their_requests_and_lose_what_the_sdk_gives_up() -> None:
    record = workers(ROW, ASKED)
    assert record.lost > 0
    assert record.calls + record.lost == 400
    assert len(record.refused) >= 3 * record.lost  # the first try and two more
    first_s = sum(1 for at_us, _, _ in record.admitted if at_us - record.first_us < 5_000_000) / 5
    assert first_s == pytest.approx(4 * 6, rel=0.1)  # 60 a minute at 10,000 tokens, so six times that, by four


def test_workers_who_ask_for_less_than_there_is_lose_nothing() -> None:
    record = workers(ROW, ASKED[:100])
    assert (record.calls, record.lost, record.refused) == (100, 0, [])


def test_a_bucket_of_ones_own_waits_until_it_can_pay_and_lets_nothing_wait_for_ever() -> None:
    bucket = OwnBucket(60)
    assert bucket.wait_us(60, 0) == 0
    bucket.level -= 60
    assert bucket.wait_us(1, 0) == pytest.approx(1_000_000, abs=2)
    assert bucket.wait_us(1, 1_000_000) == 0
    assert bucket.wait_us(600, 60_000_000) == 0
