"""What the status says of how a limit's calls are spent: by the server's own numbers, or by a measured rate."""

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.admission_guide import AdmissionGuide
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.budget.sliding_sum import SlidingSum
from headrace.broker.service.status.status import FOLLOWS, MEASURES
from headrace.schemas.instants import to_wire
from tests.unit.core.budgets import UNKNOWN
from tests.unit.core.specimens import verdict
from tests.unit.service.rig import MODEL, Process, World, led, until
from tests.virtual_time import VIRTUAL_TIME


@VIRTUAL_TIME
async def test_a_limit_says_what_it_follows_and_since_when_it_measures() -> None:
    process = Process(World(latency_s=0.1), "a")
    process.start()
    await led(process)
    process.world.submit("lead-1", body={"model": MODEL, "messages": [{"role": "user", "content": "hello"}]})
    await until(lambda: len(process.world.outcomes()) == 1)
    now_ms = process.clock.now_ms()
    follows = process.status.snapshot(now_ms)["limits"][MODEL]
    process.core.limits.limit_queues()[MODEL].budget.guide.inherit(20_000, now_ms)
    since = to_wire(process.status.clock.utc_now())
    measures = process.status.snapshot(now_ms)["limits"][MODEL]
    await process.end()
    assert (follows["budget"], follows["measured_tokens_per_minute"]) == (FOLLOWS, None)
    assert (measures["budget"], measures["measured_tokens_per_minute"]) == (f"{MEASURES}, since {since}", 20_000)


@VIRTUAL_TIME
async def test_where_no_limit_of_tokens_is_stated_it_says_so() -> None:
    process = Process(World(), "a")
    guide = AdmissionGuide(UNKNOWN, BucketSet(SentCalls()), SlidingSum(), 0, known=True)
    guide.record_send(1, 400, 0)
    call = Reservation(0, 400, 400, stated=False, sent_ms=0, burst=0, endpoint="", unsettled=0)
    guide.record_end(1, call, verdict(Meaning.RATE_LIMITED), 10)
    assert process.status._course(guide, 10) == f"{MEASURES}: no limit of tokens is stated"
