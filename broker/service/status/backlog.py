"""Time that a lane's backlog takes, by its slowest constraint: a bucket, a cap or a pause of its limits."""

from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.service.status.queue_position import QueueTotals
from headrace.broker.service.status.start_estimate import flows_in_ms


def backlog_ms(limits: Scheduler, lane: str, now_ms: int) -> int:
    """Return the time from now until all the lane's waiting requests could have been called: the longest of its limits.

    It includes what is known: tokens and requests of each period, a cap of the operator's own, a pause that the server
    asked for. The reserve of idle lanes above is left to them; what other lanes wait for is left out.
    """
    longest_ms = 0
    for desk in limits.limit_queues().values():
        queue = desk.lanes.queue(lane)
        if len(queue):
            crowd = QueueTotals(len(queue), queue.waiting_tokens)
            longest_ms = max(longest_ms, flows_in_ms(desk.budget, crowd, desk.lanes.reserved_ppm(lane), now_ms))
    return longest_ms
