"""A small row of the limits benchmark over HTTP: real services and processes, and a record that adds up."""

from benchmarks.limits.calls import calls_of
from benchmarks.limits.measure import figures
from benchmarks.limits.over_http import dispatch_over_http
from benchmarks.limits.processes import staged
from benchmarks.limits.rows import Row, Way
from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.pricing import ChatLaw

ROW = Row("bucket-small", ("bucket",), None, Way.HTTP, 120, first_s=3.0, tokens_per_minute=30_000, latency_s=(0.1, 0.3))


async def test_every_call_of_a_row_is_admitted_and_the_record_is_what_was_charged(services: LocalServices) -> None:
    asked, told = calls_of(ROW), list[int]()
    async with staged(services) as on:
        record = await dispatch_over_http(on, ROW, asked, told.append)
    assert (record.calls, record.lost) == (120, 0)
    assert told == sorted(told)
    assert told[-1] == 120
    assert record.charged == sum(call.charge(ChatLaw.CHAT_2025) for call in asked)
    assert record.admitted == sorted(record.admitted)
    own = figures(ROW, asked, record)
    assert 0.5 < own.whole.share <= 1.0
    assert own.first.calls < own.whole.calls
